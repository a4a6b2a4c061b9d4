//! What a deployment would change, with what the services fill in by themselves
//! folded away.

use serde_json::Value;

use super::template::Deployable;
use crate::core::{
    azure::plan::{Action, Change, Delta, kind_and_name},
    workload::text::quote,
};

/// The changes that an answer to what-if tells of.
pub fn changes(answer: &Value, wanted: &Deployable) -> Vec<Change> {
    let list = |key: &str| {
        [answer, &answer["properties"]]
            .into_iter()
            .find_map(|value| value[key].as_array())
            .cloned()
            .unwrap_or_default()
    };
    let mut changes: Vec<_> = list("changes")
        .iter()
        .chain(&list("potentialChanges"))
        .map(|change| read(change, wanted))
        .collect();
    changes.sort_by_key(|change| {
        (
            change.action == Action::Ignore,
            change.kind.to_ascii_lowercase(),
            change.name.clone(),
        )
    });
    changes.dedup_by(|a, b| a.id.eq_ignore_ascii_case(&b.id));
    changes
}

fn read(change: &Value, wanted: &Deployable) -> Change {
    let id = change["resourceId"].as_str().unwrap_or_default().to_owned();
    let (kind, name) = kind_and_name(&id);
    let set = set_by_template(wanted, &kind);
    let mut found = Found::default();
    walk(&change["delta"], "", &set, &mut found);
    let action = match change["changeType"].as_str().unwrap_or_default() {
        "Create" => Action::Create,
        "Delete" => Action::Delete,
        "Modify" if found.deltas.is_empty() => Action::Keep,
        "Modify" => Action::Modify,
        "NoChange" => Action::Keep,
        "Ignore" => Action::Ignore,
        _ => Action::Unknown,
    };
    if action == Action::Unknown
        && let Some(reason) = change["unsupportedReason"].as_str()
    {
        found.deltas.push(Delta {
            path: "not predictable".to_owned(),
            before: None,
            after: Some(quote(reason)),
        });
    }
    Change {
        id,
        kind,
        name,
        action,
        deltas: found.deltas,
        folded: found.folded,
    }
}

#[derive(Default)]
struct Found {
    deltas: Vec<Delta>,
    folded: usize,
}

/// Takes the leaves of a delta apart into what matters and what does not.
fn walk(delta: &Value, path: &str, set: &[String], found: &mut Found) {
    for item in delta.as_array().into_iter().flatten() {
        let own = item["path"].as_str().unwrap_or_default();
        let path = if path.is_empty() {
            own.to_owned()
        } else {
            format!("{path}.{own}")
        };
        let children = &item["children"];
        if children
            .as_array()
            .is_some_and(|children| !children.is_empty())
        {
            walk(children, &path, set, found);
            continue;
        }
        let how = item["propertyChangeType"].as_str().unwrap_or_default();
        if is_noise(how, &path, &item["before"], &item["after"], set) {
            found.folded += 1;
        } else {
            found.deltas.push(Delta {
                path,
                before: shown(&item["before"]),
                after: shown(&item["after"]),
            });
        }
    }
}

/// Whether a difference is only what the service makes of what was asked.
fn is_noise(how: &str, path: &str, before: &Value, after: &Value, set: &[String]) -> bool {
    let text = |value: &Value| {
        value.as_str().map(|text| {
            text.split_whitespace()
                .collect::<String>()
                .to_ascii_lowercase()
        })
    };
    match how {
        "NoEffect" => true,
        // A default of the service's: it is not in the template, so it is not taken away.
        "Delete" => !is_set(path, set),
        _ => {
            let same = text(before).is_some() && text(before) == text(after);
            // Not known before the deployment: `[reference(…)]`.
            let unresolved = after
                .as_str()
                .is_some_and(|text| text.starts_with('[') && text.ends_with(']'));
            // Empty means: as the service likes.
            let indifferent = after.as_str() == Some("");
            same || unresolved || indifferent
        }
    }
}

fn is_set(path: &str, set: &[String]) -> bool {
    let general: Vec<&str> = path
        .split('.')
        .filter(|key| !key.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    let general = general.join(".").to_ascii_lowercase();
    set.iter().any(|known| {
        *known == general
            || known.starts_with(&format!("{general}."))
            || general.starts_with(&format!("{known}."))
    })
}

/// The properties that the template sets in resources of `kind`, lower case, without
/// the numbers of lists.
fn set_by_template(wanted: &Deployable, kind: &str) -> Vec<String> {
    let mut set = Vec::new();
    for resource in wanted.template["resources"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if resource["type"]
            .as_str()
            .is_some_and(|own| own.eq_ignore_ascii_case(kind))
        {
            leaves(resource, String::new(), &mut set);
        }
    }
    set
}

fn leaves(value: &Value, path: String, set: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.to_ascii_lowercase();
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                leaves(value, path, set);
            }
        }
        Value::Array(list) => list
            .iter()
            .for_each(|value| leaves(value, path.clone(), set)),
        _ => set.push(path),
    }
}

/// A value on one line; keys are never part of what-if, but what is long is cut.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(quote(text)),
        other => Some(quote(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Deployable {
        Deployable {
            template: serde_json::from_str(super::super::template::TEMPLATE).unwrap(),
            parameters: json!({}),
        }
    }

    const CLUSTER: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";

    #[test]
    fn what_the_service_fills_in_is_folded_away() {
        let answer = json!({"status": "Succeeded", "properties": {"changes": [{
            "resourceId": CLUSTER, "changeType": "Modify", "delta": [
                {"path": "properties.kubernetesVersion", "propertyChangeType": "Modify", "before": "1.35.6", "after": ""},
                {"path": "properties.autoUpgradeProfile", "propertyChangeType": "Delete", "before": {"nodeOSUpgradeChannel": "NodeImage"}},
                {"path": "location", "propertyChangeType": "Modify", "before": "East US", "after": "eastus"},
                {"path": "properties.agentPoolProfiles", "propertyChangeType": "Array", "children": [
                    {"path": "0", "propertyChangeType": "Modify", "children": [
                        {"path": "count", "propertyChangeType": "Modify", "before": 2, "after": 3},
                        {"path": "osDiskSizeGB", "propertyChangeType": "Delete", "before": 128}]}]}]}]}});
        let found = changes(&answer, &wanted());
        assert_eq!(found[0].action, Action::Modify);
        assert_eq!(
            found[0].deltas,
            [Delta {
                path: "properties.agentPoolProfiles.0.count".to_owned(),
                before: Some("2".to_owned()),
                after: Some("3".to_owned()),
            }]
        );
        assert_eq!(found[0].folded, 4);
    }

    #[test]
    fn a_change_that_is_all_noise_is_none() {
        let answer = json!({"properties": {"changes": [
            {"resourceId": CLUSTER, "changeType": "Modify", "delta": [
                {"path": "properties.dnsPrefix", "propertyChangeType": "NoEffect", "before": "a", "after": "b"}]},
            {"resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/other", "changeType": "Ignore"}]}});
        let found = changes(&answer, &wanted());
        assert_eq!(found[0].action, Action::Keep);
        assert_eq!(
            (found[1].action, found[1].name.as_str()),
            (Action::Ignore, "other")
        );
    }

    #[test]
    fn taking_away_what_the_template_sets_is_no_noise() {
        let account =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
        let answer = json!({"changes": [{"resourceId": account, "changeType": "Modify", "delta": [
            {"path": "properties.minimumTlsVersion", "propertyChangeType": "Delete", "before": "TLS1_2"},
            {"path": "tags.mine", "propertyChangeType": "Delete", "before": "x"}]}]});
        let found = changes(&answer, &wanted());
        let paths: Vec<_> = found[0]
            .deltas
            .iter()
            .map(|delta| delta.path.as_str())
            .collect();
        assert_eq!(paths, ["properties.minimumTlsVersion", "tags.mine"]);
    }
}
