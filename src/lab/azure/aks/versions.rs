//! Versions of Kubernetes that clusters may be asked to have.

use serde_json::{Map, Value, json};

use super::super::answer::{Answer, ArmError};
use super::super::call::Call;
use super::super::world::World;
use super::bad;

/// Minor versions, their patches, the newest first, and whether they are for
/// long-term support only.
const VERSIONS: [(&str, &[&str], bool); 4] = [
    ("1.36", &["1.36.2", "1.36.1"], false),
    ("1.35", &["1.35.6", "1.35.5"], false),
    ("1.34", &["1.34.9", "1.34.8"], false),
    ("1.33", &["1.33.13"], true),
];
/// The one that a cluster gets which asks for none.
const USUAL: &str = "1.35";

/// The version that is meant: a minor one is its newest patch, nothing is the
/// usual one.
///
/// # Errors
/// *400* for one that is not supported.
pub fn resolve(asked: &str, cluster: &str) -> Result<&'static str, ArmError> {
    let asked = if asked.is_empty() { USUAL } else { asked };
    for (minor, patches, _) in VERSIONS {
        if asked == minor {
            return Ok(patches[0]);
        }
        if let Some(patch) = patches.iter().find(|it| **it == asked) {
            return Ok(patch);
        }
    }
    Err(bad(
        "K8sVersionNotSupported",
        format!(
            "Managed cluster {cluster} is on version {asked} which is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region. For more information, please check https://aka.ms/supported-version-list"
        ),
    ))
}

/// `GET …/locations/{location}/kubernetesVersions`
pub fn list(_world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let values = VERSIONS.map(|(minor, patches, long_term)| {
        let plans: &[&str] = if long_term {
            &["AKSLongTermSupport"]
        } else {
            &["KubernetesOfficial", "AKSLongTermSupport"]
        };
        let newer = |at: usize| json!({"upgrades": patches[..at]});
        let patches: Map<String, Value> = patches
            .iter()
            .enumerate()
            .map(|(at, patch)| ((*patch).to_owned(), newer(at)))
            .collect();
        let mut version = json!({
            "version": minor,
            "isPreview": null,
            "capabilities": {"supportPlan": plans},
            "patchVersions": patches,
        });
        if minor == USUAL {
            version["isDefault"] = json!(true);
        }
        version
    });
    Ok(Answer::ok(json!({"values": values})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_it_says_or_the_newest_patch() {
        let resolved = |asked| resolve(asked, "c").ok();
        assert_eq!(resolved(""), Some("1.35.6"));
        assert_eq!(resolved("1.34"), Some("1.34.9"));
        assert_eq!(resolved("1.36.1"), Some("1.36.1"));
        assert_eq!(resolved("1.20.0"), None);
    }
}
