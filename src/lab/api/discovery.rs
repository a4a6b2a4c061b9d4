//! What the server says it can do: groups, kinds, verbs.
//!
//! It is read off the table of kinds; access reviews answer from it too, so
//! that the lab never promises what it does not serve.

use serde_json::{Value, json};

use super::metrics::{self, Measured};
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
    if about.scale.is_some() {
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

/// The groups and their versions, core excepted, in the order in which they
/// are listed.
fn groups(kinds: &[Resource]) -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = kinds
        .iter()
        .map(|resource| (resource.names().group, resource.names().version))
        .chain(
            Review::ALL
                .into_iter()
                .map(|review| (review.names().0, "v1")),
        )
        .chain([(metrics::GROUP, metrics::VERSION)])
        .filter(|(group, _)| !group.is_empty())
        .collect();
    groups.sort_unstable_by(|a, b| a.0.cmp(b.0).then_with(|| rank(b.1).cmp(&rank(a.1))));
    groups.dedup();
    groups
}

/// The versions of a group, the preferred one first.
fn versions(kinds: &[Resource], name: &str) -> Vec<&'static str> {
    let groups = groups(kinds).into_iter();
    let versions: Vec<&str> = groups
        .filter(|(group, _)| *group == name)
        .map(|(_, version)| version)
        .collect();
    match (name, versions.is_empty()) {
        ("", _) => vec!["v1"],
        _ => versions,
    }
}

/// How preferred a version is: stable ones before betas before alphas, newer
/// before older, and other names last.
fn rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (major, tail) = rest.split_at(end);
    let number = |text: &str| text.parse::<u32>().ok();
    match (number(major), tail) {
        (Some(major), "") => (3, major, 0),
        (Some(major), tail) => {
            let beta = tail
                .strip_prefix("beta")
                .and_then(number)
                .map(|it| (2, major, it));
            let alpha = tail
                .strip_prefix("alpha")
                .and_then(number)
                .map(|it| (1, major, it));
            beta.or(alpha).unwrap_or((0, 0, 0))
        }
        (None, _) => (0, 0, 0),
    }
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
pub fn group_list(kinds: &[Resource]) -> Value {
    let mut names: Vec<&str> = groups(kinds).into_iter().map(|(group, _)| group).collect();
    names.dedup();
    let groups: Vec<Value> = names
        .into_iter()
        .map(|name| group_object(kinds, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`; none when there is no such group.
pub fn group(kinds: &[Resource], name: &str) -> Option<Value> {
    (!name.is_empty() && !versions(kinds, name).is_empty()).then(|| {
        let mut group = group_object(kinds, name);
        group["kind"] = json!("APIGroup");
        group["apiVersion"] = json!("v1");
        group
    })
}

fn group_object(kinds: &[Resource], name: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// `/api/v1` and `/apis/GROUP/VERSION`; none when it is not served.
pub fn resource_list(kinds: &[Resource], group: &str, version: &str) -> Option<Value> {
    if !versions(kinds, group).contains(&version) {
        return None;
    }
    let mut resources = Vec::new();
    for resource in in_version(kinds, group, version) {
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
    for review in reviews(group, version) {
        let (_, plural, kind) = review.names();
        resources.push(json!({
            "name": plural,
            "singularName": kind.to_lowercase(),
            "namespaced": review.namespaced(),
            "kind": kind,
            "verbs": ["create"],
        }));
    }
    if group == metrics::GROUP {
        resources.extend(Measured::ALL.into_iter().map(measured_entry));
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

fn measured_entry(of: Measured) -> Value {
    let (plural, kind, namespaced) = of.names();
    json!({
        "name": plural,
        "singularName": "",
        "namespaced": namespaced,
        "kind": kind,
        "verbs": metrics::VERBS,
    })
}

/// `/api` (with `core`) or `/apis` in one document.
pub fn aggregated(kinds: &[Resource], core: bool) -> Value {
    let mut names = vec![""];
    if !core {
        names = groups(kinds).into_iter().map(|(group, _)| group).collect();
        names.dedup();
    }
    let items: Vec<Value> = names
        .into_iter()
        .map(|name| aggregated_group(kinds, name))
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(kinds: &[Resource], group: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, group)
        .into_iter()
        .map(|version| {
            let resources = aggregated_version(kinds, group, version);
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    let mut metadata = json!({});
    if !group.is_empty() {
        metadata["name"] = json!(group);
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_version(kinds: &[Resource], group: &str, version: &str) -> Vec<Value> {
    let kind = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let mut resources = Vec::new();
    for resource in in_version(kinds, group, version) {
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
    for review in reviews(group, version) {
        let (group, plural, name) = review.names();
        resources.push(json!({
            "resource": plural,
            "responseKind": kind((group, "v1", name)),
            "scope": if review.namespaced() { "Namespaced" } else { "Cluster" },
            "singularResource": name.to_lowercase(),
            "verbs": ["create"],
        }));
    }
    if group == metrics::GROUP {
        for of in Measured::ALL {
            let (plural, name, namespaced) = of.names();
            resources.push(json!({
                "resource": plural,
                "responseKind": kind((group, metrics::VERSION, name)),
                "scope": if namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": "",
                "verbs": metrics::VERBS,
            }));
        }
    }
    resources
}

fn in_version(kinds: &[Resource], group: &str, version: &str) -> impl Iterator<Item = Resource> {
    kinds.iter().copied().filter(move |resource| {
        let names = resource.names();
        names.group == group && names.version == version
    })
}

fn reviews(group: &str, version: &str) -> impl Iterator<Item = Review> {
    let stable = version == "v1";
    Review::ALL
        .into_iter()
        .filter(move |it| stable && it.names().0 == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_discovery_say_the_same() {
        for (group, version) in groups(&Resource::ALL).into_iter().chain([("", "v1")]) {
            let list = resource_list(&Resource::ALL, group, version).unwrap();
            let plain: Vec<(String, Value)> = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| (it["name"].as_str().unwrap().to_owned(), it["verbs"].clone()))
                .collect();
            let mut whole = Vec::new();
            for it in aggregated_group(&Resource::ALL, group)["versions"][0]["resources"]
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
    fn stable_versions_come_before_betas_and_alphas() {
        let mut versions = ["v1alpha1", "foo", "v2", "v1beta2", "v10", "v1beta10", "v1"];
        versions.sort_by_key(|it| std::cmp::Reverse(rank(it)));
        let sorted = ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"];
        assert_eq!(versions, sorted);
    }

    #[test]
    fn only_what_is_served_is_promised() {
        assert!(resource_list(&Resource::ALL, "apps", "v1beta1").is_none());
        assert!(resource_list(&Resource::ALL, "autoscaling", "v1").is_none());
    }
}
