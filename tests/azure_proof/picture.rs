//! What there is in a service, in words that are the same for two services in which
//! the same was done: ids, times and other accidents are left out.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// What there is, by id.
pub type Picture = BTreeMap<String, String>;

/// What is in `world`.
pub fn of(world: &Value) -> Picture {
    let accidents = accidents();
    let plain = |text: &str| {
        accidents
            .iter()
            .fold(text.to_owned(), |text, (accident, word)| {
                accident.replace_all(&text, *word).into_owned()
            })
    };
    let resources = world["resources"].as_object().unwrap();
    resources
        .values()
        .map(|resource| {
            let id = resource["id"].as_str().unwrap();
            (plain(id), plain(&resource["body"].to_string()))
        })
        .collect()
}

/// Holds two pictures against each other, and says only where they differ.
#[track_caller]
pub fn same(now: &Picture, wanted: &Picture, about: &str) {
    let ids = now.keys().chain(wanted.keys());
    let differences: BTreeMap<_, _> = ids
        .filter(|id| now.get(*id) != wanted.get(*id))
        .map(|id| (id, (now.get(id), wanted.get(id))))
        .collect();
    assert!(differences.is_empty(), "{about}: {differences:#?}");
}

fn accidents() -> Vec<(Regex, &'static str)> {
    [
        (
            r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
            "GUID",
        ),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"-\d{8}\b", "-HASH"),
        (r"0x[0-9A-F]+", "ETAG"),
        (r"127\.0\.0\.1:\d+", "HERE"),
    ]
    .into_iter()
    .map(|(accident, word)| (Regex::new(accident).unwrap(), word))
    .collect()
}

/// The names of what is there, as `type/name`, without the groups that clusters have
/// for their machines.
pub fn names(world: &Value) -> Vec<String> {
    let resources = world["resources"].as_object().unwrap();
    let mut names: Vec<String> = resources
        .values()
        .map(|resource| resource["id"].as_str().unwrap())
        .filter(|id| !id.contains("/MC_"))
        .map(|id| {
            let mut parts: Vec<&str> = id.rsplit('/').take(2).collect();
            parts.reverse();
            parts.join("/")
        })
        .collect();
    names.sort();
    names
}

/// How often each resource was created or changed.
pub fn writes(world: &Value) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for entry in world["activity"].as_array().unwrap() {
        let action = entry["operationName"]["value"].as_str().unwrap();
        if action.ends_with("/write") && entry["status"]["value"] == "Succeeded" {
            let id = entry["resourceId"].as_str().unwrap().to_ascii_lowercase();
            *writes.entry(id).or_default() += 1;
        }
    }
    writes
}
