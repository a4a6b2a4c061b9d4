//! Tables of roles, their bindings, and priority classes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, items, name, text};
use super::columns::{AGE, Column, NAME};

/// Kinds of which only the age is worth showing.
pub const CREATED: &[Column] = &[
    NAME,
    Column("Created At", "date", 0, "When the object was created."),
];

/// Role bindings and cluster role bindings.
pub const BINDINGS: &[Column] = &[
    NAME,
    Column("Role", "string", 0, "The role that is given."),
    AGE,
    Column("Users", "string", 1, "Users who have it."),
    Column("Groups", "string", 1, "Groups that have it."),
    Column(
        "ServiceAccounts",
        "string",
        1,
        "Service accounts that have it.",
    ),
];

/// `scheduling.k8s.io/v1 PriorityClass`
pub const PRIORITIES: &[Column] = &[
    NAME,
    Column("Value", "integer", 0, "The priority."),
    Column(
        "Global-Default",
        "boolean",
        0,
        "Whether pods get it that name none.",
    ),
    AGE,
    Column(
        "PreemptionPolicy",
        "string",
        0,
        "Whether it drives out others.",
    ),
];

/// The cells of a kind of which only the age is worth showing.
pub fn created(object: &Value, _now: Timestamp) -> Vec<Value> {
    let at = text(&object["metadata"]["creationTimestamp"], "");
    vec![name(object), json!(at)]
}

/// A binding's cells.
pub fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = &binding["roleRef"];
    let of_kind = |kind: &str| {
        let subjects = items(&binding["subjects"]).iter();
        let names: Vec<String> = subjects
            .filter(|subject| subject["kind"] == kind)
            .map(|subject| {
                let name = text(&subject["name"], "");
                match subject["namespace"].as_str() {
                    Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                    _ => name.to_owned(),
                }
            })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(binding),
        json!(format!(
            "{}/{}",
            text(&role["kind"], ""),
            text(&role["name"], "")
        )),
        age(binding, now),
        of_kind("User"),
        of_kind("Group"),
        of_kind("ServiceAccount"),
    ]
}

/// A priority class's cells.
pub fn priority(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(class),
        json!(class["value"].as_i64().unwrap_or(0)),
        json!(class["globalDefault"] == true),
        age(class, now),
        json!(text(&class["preemptionPolicy"], "")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_shows_who_has_the_role() {
        let object = json!({
            "metadata": {"name": "b"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
                {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
        });
        let row = binding(&object, Timestamp::now());
        assert_eq!(row[1], "Role/r");
        assert_eq!(row[3..], ["u, v", "", "n/s"].map(|it| json!(it)));
    }
}
