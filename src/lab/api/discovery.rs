//! What the server says it can do: groups, kinds, verbs.
//!
//! It is read off the table of kinds; access reviews answer from it too, so
//! that the lab never promises what it does not serve.

use serde_json::{Value, json};

use super::path::Review;
use crate::lab::kinds::Resource;

/// The format name under which clients ask for everything in one document.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub use crate::lab::kinds::Subresource;

const STATUS: &[&str] = &["get", "patch", "update"];

/// What can be done with a kind's objects.
pub const fn verbs(resource: Resource) -> &'static [&'static str] {
    resource.about().verbs
}

/// The subresources of a kind, in the order of their names.
pub fn subresources(resource: Resource) -> Vec<Subresource> {
    let about = resource.about();
    let names = about.names;
    let mut parts = about.parts.to_vec();
    if about.scale {
        parts.push(Subresource {
            name: "scale",
            kind: ("autoscaling", "v1", "Scale"),
            verbs: STATUS,
        });
    }
    if about.status {
        parts.push(Subresource {
            name: "status",
            kind: (names.group, names.version, names.kind),
            verbs: STATUS,
        });
    }
    parts.sort_by_key(|part| part.name);
    parts
}

/// The groups, core excepted, in the order in which they are listed.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = Resource::ALL
        .into_iter()
        .map(|resource| resource.names().group)
        .chain(Review::ALL.into_iter().map(|review| review.names().0))
        .filter(|group| !group.is_empty())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// `/api`.
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub fn group_list() -> Value {
    let groups: Vec<Value> = groups().into_iter().map(group_object).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`; none when there is no such group.
pub fn group(name: &str) -> Option<Value> {
    groups().contains(&name).then(|| {
        let mut group = group_object(name);
        group["kind"] = json!("APIGroup");
        group["apiVersion"] = json!("v1");
        group
    })
}

fn group_object(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// `/api/v1` and `/apis/GROUP/VERSION`; none when it is not served.
pub fn resource_list(group: &str, version: &str) -> Option<Value> {
    if version != "v1" || !(group.is_empty() || groups().contains(&group)) {
        return None;
    }
    let mut resources = Vec::new();
    for resource in in_group(group) {
        let names = resource.names();
        let mut entry = json!({
            "name": names.plural,
            "singularName": names.singular,
            "namespaced": names.namespaced,
            "kind": names.kind,
            "verbs": verbs(resource),
        });
        if !names.short.is_empty() {
            entry["shortNames"] = json!(names.short);
        }
        if !names.categories.is_empty() {
            entry["categories"] = json!(names.categories);
        }
        resources.push(entry);
        for part in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", names.plural, part.name),
                "singularName": "",
                "namespaced": names.namespaced,
                "kind": part.kind.2,
                "verbs": part.verbs,
            });
            if part.kind.0 != group {
                entry["group"] = json!(part.kind.0);
                entry["version"] = json!(part.kind.1);
            }
            resources.push(entry);
        }
    }
    for review in Review::ALL.into_iter().filter(|it| it.names().0 == group) {
        let (_, plural, kind) = review.names();
        resources.push(json!({
            "name": plural,
            "singularName": kind.to_lowercase(),
            "namespaced": false,
            "kind": kind,
            "verbs": ["create"],
        }));
    }
    let version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": resources,
    }))
}

/// `/api` (with `core`) or `/apis` in one document.
pub fn aggregated(core: bool) -> Value {
    let groups = if core { vec![""] } else { groups() };
    let items: Vec<Value> = groups.into_iter().map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &str) -> Value {
    let kind = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let mut resources = Vec::new();
    for resource in in_group(group) {
        let names = resource.names();
        let parts: Vec<Value> = subresources(resource)
            .into_iter()
            .map(|part| {
                json!({
                    "subresource": part.name,
                    "responseKind": kind(part.kind),
                    "verbs": part.verbs,
                })
            })
            .collect();
        let mut entry = json!({
            "resource": names.plural,
            "responseKind": kind((names.group, names.version, names.kind)),
            "scope": if names.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": names.singular,
            "verbs": verbs(resource),
            "shortNames": names.short,
            "categories": names.categories,
        });
        if !parts.is_empty() {
            entry["subresources"] = json!(parts);
        }
        resources.push(entry);
    }
    for review in Review::ALL.into_iter().filter(|it| it.names().0 == group) {
        let (group, plural, name) = review.names();
        resources.push(json!({
            "resource": plural,
            "responseKind": kind((group, "v1", name)),
            "scope": "Cluster",
            "singularResource": name.to_lowercase(),
            "verbs": ["create"],
        }));
    }
    let mut metadata = json!({});
    if !group.is_empty() {
        metadata["name"] = json!(group);
    }
    json!({
        "metadata": metadata,
        "versions": [{"version": "v1", "freshness": "Current", "resources": resources}],
    })
}

/// Whether the lab serves a verb on a kind, or on one of its subresources.
pub fn serves(group: &str, plural: &str, subresource: &str, verb: &str) -> bool {
    let Some(resource) = Resource::find(group, plural) else {
        let review = Review::ALL
            .into_iter()
            .find(|review| review.names().0 == group && review.names().1 == plural);
        return review.is_some() && subresource.is_empty() && verb == "create";
    };
    if subresource.is_empty() {
        return verbs(resource).contains(&verb);
    }
    subresources(resource)
        .iter()
        .any(|part| part.name == subresource && part.verbs.contains(&verb))
}

fn in_group(group: &str) -> impl Iterator<Item = Resource> {
    Resource::ALL
        .into_iter()
        .filter(move |resource| resource.names().group == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_discovery_say_the_same() {
        for group in groups().into_iter().chain([""]) {
            let list = resource_list(group, "v1").unwrap();
            let plain: Vec<(String, Value)> = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| (it["name"].as_str().unwrap().to_owned(), it["verbs"].clone()))
                .collect();
            let mut whole = Vec::new();
            for it in aggregated_group(group)["versions"][0]["resources"]
                .as_array()
                .unwrap()
            {
                let name = it["resource"].as_str().unwrap();
                whole.push((name.to_owned(), it["verbs"].clone()));
                for part in it["subresources"].as_array().into_iter().flatten() {
                    let part_name = part["subresource"].as_str().unwrap();
                    whole.push((format!("{name}/{part_name}"), part["verbs"].clone()));
                }
            }
            assert_eq!(plain, whole, "{group}");
        }
    }

    #[test]
    fn only_what_is_served_is_promised() {
        assert!(serves("", "pods", "", "delete"));
        assert!(serves("", "pods", "exec", "create"));
        assert!(serves("apps", "deployments", "scale", "patch"));
        assert!(serves(
            "authorization.k8s.io",
            "selfsubjectaccessreviews",
            "",
            "create"
        ));
        assert!(!serves("", "pods", "portforward", "create"));
        assert!(!serves("apps", "daemonsets", "", "list"));
        assert!(!serves("", "namespaces", "", "deletecollection"));
        assert!(resource_list("apps", "v1beta1").is_none());
        assert!(resource_list("autoscaling", "v1").is_none());
    }
}
