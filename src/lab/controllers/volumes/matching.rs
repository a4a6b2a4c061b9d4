//! Which volume a claim may have: decided from the two objects alone.

use std::sync::Arc;

use serde_json::Value;

use crate::lab::quantity;
use crate::lab::selector::LabelSelector;

/// The volume a claim is to have, of those there are: one that was made for it
/// by name, else the smallest that fits. When the claim waits for its first
/// consumer only one made for it will do.
pub(super) fn choose<'a>(
    claim: &Value,
    volumes: &'a [Arc<Value>],
    waits: bool,
) -> Option<&'a Arc<Value>> {
    let fitting = || volumes.iter().filter(|volume| fits(claim, volume));
    let reserved = fitting().find(|volume| is_reserved(claim, volume));
    reserved.or_else(|| {
        let free = fitting().filter(|volume| volume["spec"]["claimRef"].is_null());
        free.filter(|_| !waits)
            .min_by_key(|volume| capacity(volume))
    })
}

/// Whether a volume names this claim as its own.
pub(super) fn is_reserved(claim: &Value, volume: &Value) -> bool {
    let reference = &volume["spec"]["claimRef"];
    let metadata = &claim["metadata"];
    let uid = reference["uid"].as_str().unwrap_or_default();
    reference["name"] == metadata["name"]
        && reference["namespace"] == metadata["namespace"]
        && (uid.is_empty() || metadata["uid"] == uid)
}

/// Whether the volume is what the claim asks for, and is to be had.
fn fits(claim: &Value, volume: &Value) -> bool {
    let (asked, given) = (&claim["spec"], &volume["spec"]);
    let free = given["claimRef"].is_null() || is_reserved(claim, volume);
    let ending = volume["metadata"]["deletionTimestamp"].is_string();
    let released = matches!(
        volume["status"]["phase"].as_str(),
        Some("Released" | "Failed")
    );
    let mode = |spec: &Value| {
        spec["volumeMode"]
            .as_str()
            .unwrap_or("Filesystem")
            .to_owned()
    };
    let chosen = LabelSelector::from_object(&asked["selector"]);
    free && !ending
        && !released
        && class(claim) == class(volume)
        && mode(asked) == mode(given)
        && has_modes(asked, given)
        && chosen.is_none_or(|selector| selector.matches(&volume["metadata"]["labels"]))
        && capacity(volume) >= request(claim)
}

fn has_modes(asked: &Value, given: &Value) -> bool {
    let given = given["accessModes"].as_array();
    let asked = asked["accessModes"].as_array();
    asked
        .into_iter()
        .flatten()
        .all(|mode| given.is_some_and(|given| given.contains(mode)))
}

/// The storage class of a claim or a volume, empty for none.
pub(super) fn class(object: &Value) -> &str {
    object["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default()
}

/// What a claim asks for, in thousandths of a byte.
pub(super) fn request(claim: &Value) -> u128 {
    let text = claim["spec"]["resources"]["requests"]["storage"].as_str();
    text.and_then(quantity::milli).unwrap_or(0)
}

/// How much a volume has, in thousandths of a byte.
pub(super) fn capacity(volume: &Value) -> u128 {
    let text = volume["spec"]["capacity"]["storage"].as_str();
    text.and_then(quantity::milli).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(spec: &Value) -> Value {
        let mut claim = json!({
            "metadata": {"name": "c", "namespace": "d", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "",
                "resources": {"requests": {"storage": "5Gi"}}},
        });
        json_patch::merge(&mut claim["spec"], spec);
        claim
    }

    fn volume(name: &str, size: &str, spec: &Value) -> Arc<Value> {
        let mut volume = json!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"], "capacity": {"storage": size}},
            "status": {"phase": "Available"},
        });
        json_patch::merge(&mut volume["spec"], spec);
        Arc::new(volume)
    }

    fn chosen(claim: &Value, volumes: &[Arc<Value>], waits: bool) -> Option<String> {
        let found = choose(claim, volumes, waits)?;
        found["metadata"]["name"].as_str().map(str::to_owned)
    }

    #[test]
    fn the_smallest_that_fits_is_chosen() {
        let volumes = [
            volume("small", "1Gi", &json!({})),
            volume("large", "100Gi", &json!({})),
            volume("right", "5Gi", &json!({})),
            volume("other", "5Gi", &json!({"storageClassName": "azurefile"})),
            volume("once", "5Gi", &json!({"accessModes": ["ReadWriteOnce"]})),
        ];
        assert_eq!(
            chosen(&claim(&json!({})), &volumes, false).unwrap(),
            "right"
        );
        let picky = claim(&json!({"selector": {"matchLabels": {"disk": "large"}}}));
        assert_eq!(chosen(&picky, &volumes, false).unwrap(), "large");
        let classed = claim(&json!({"storageClassName": "azurefile"}));
        assert_eq!(chosen(&classed, &volumes, false).unwrap(), "other");
        assert_eq!(chosen(&classed, &volumes, true), None);
    }

    #[test]
    fn a_volume_made_for_a_claim_is_its_own_and_nobody_elses() {
        let for_it = json!({"claimRef": {"name": "c", "namespace": "d"}});
        let for_other = json!({"claimRef": {"name": "x", "namespace": "d"}});
        let for_former = json!({"claimRef": {"name": "c", "namespace": "d", "uid": "old"}});
        let volumes = [
            volume("free", "5Gi", &json!({})),
            volume("mine", "50Gi", &for_it),
            volume("theirs", "5Gi", &for_other),
            volume("former", "5Gi", &for_former),
        ];
        assert_eq!(chosen(&claim(&json!({})), &volumes, true).unwrap(), "mine");
        assert_eq!(chosen(&claim(&json!({})), &volumes[2..], false), None);
    }
}
