//! Tables of volumes, claims and storage classes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, items, name, text};
use super::columns::{AGE, Column, NAME};

const MODE: Column = Column("VolumeMode", "string", 1, "Files or a block device.");
const CLASS: Column = Column("StorageClass", "string", 0, "Class of its storage.");
const ATTRIBUTES: Column = Column(
    "VolumeAttributesClass",
    "string",
    0,
    "Class of its attributes.",
);

/// `v1 PersistentVolume`
pub const VOLUMES: &[Column] = &[
    NAME,
    Column("Capacity", "string", 0, "How much it holds."),
    Column("Access Modes", "string", 0, "How it can be mounted."),
    Column(
        "Reclaim Policy",
        "string",
        0,
        "What becomes of it when it is free.",
    ),
    Column("Status", "string", 0, "Whether a claim has it."),
    Column("Claim", "string", 0, "The claim that has it."),
    CLASS,
    ATTRIBUTES,
    Column("Reason", "string", 0, "Why it is in this state."),
    AGE,
    MODE,
];

/// `v1 PersistentVolumeClaim`
pub const CLAIMS: &[Column] = &[
    NAME,
    Column("Status", "string", 0, "Whether it has a volume."),
    Column("Volume", "string", 0, "The volume it has."),
    Column("Capacity", "string", 0, "How much the volume holds."),
    Column("Access Modes", "string", 0, "How it can be mounted."),
    CLASS,
    ATTRIBUTES,
    AGE,
    MODE,
];

/// `storage.k8s.io/v1 StorageClass`
pub const CLASSES: &[Column] = &[
    NAME,
    Column("Provisioner", "string", 0, "Who makes its volumes."),
    Column(
        "ReclaimPolicy",
        "string",
        0,
        "What becomes of volumes that are free.",
    ),
    Column("VolumeBindingMode", "string", 0, "When a volume is made."),
    Column(
        "AllowVolumeExpansion",
        "string",
        0,
        "Whether volumes can grow.",
    ),
    AGE,
];

/// The annotation of the class that claims get which name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// A volume's cells.
pub fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&volume["spec"], &volume["status"]);
    let claim = match &spec["claimRef"] {
        Value::Null => String::new(),
        claim => format!(
            "{}/{}",
            text(&claim["namespace"], ""),
            text(&claim["name"], "")
        ),
    };
    vec![
        name(volume),
        json!(text(&spec["capacity"]["storage"], "0")),
        json!(modes(&spec["accessModes"])),
        json!(text(&spec["persistentVolumeReclaimPolicy"], "")),
        json!(phase(volume)),
        json!(claim),
        json!(text(&spec["storageClassName"], "")),
        json!(text(&spec["volumeAttributesClassName"], "<unset>")),
        json!(text(&status["reason"], "")),
        age(volume, now),
        json!(text(&spec["volumeMode"], "<unset>")),
    ]
}

/// A claim's cells.
pub fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let volume = text(&spec["volumeName"], "");
    let (capacity, access) = if volume.is_empty() {
        ("", String::new())
    } else {
        (
            text(&status["capacity"]["storage"], "0"),
            modes(&status["accessModes"]),
        )
    };
    vec![
        name(claim),
        json!(phase(claim)),
        json!(volume),
        json!(capacity),
        json!(access),
        json!(text(&spec["storageClassName"], "")),
        json!(text(&spec["volumeAttributesClassName"], "<unset>")),
        age(claim, now),
        json!(text(&spec["volumeMode"], "<unset>")),
    ]
}

fn phase(object: &Value) -> &str {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating";
    }
    text(&object["status"]["phase"], "")
}

/// Access modes in kubectl's letters, each once, in the order in which it
/// writes them.
fn modes(modes: &Value) -> String {
    let letters = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let named: Vec<&str> = letters
        .into_iter()
        .filter(|(mode, _)| items(modes).iter().any(|it| it == mode))
        .map(|(_, letters)| letters)
        .collect();
    named.join(",")
}

/// A storage class's cells.
pub fn class(class: &Value, now: Timestamp) -> Vec<Value> {
    let mut name = text(&class["metadata"]["name"], "").to_owned();
    if class["metadata"]["annotations"][DEFAULT_CLASS] == "true" {
        name.push_str(" (default)");
    }
    vec![
        json!(name),
        json!(text(&class["provisioner"], "")),
        json!(text(&class["reclaimPolicy"], "Delete")),
        json!(text(&class["volumeBindingMode"], "<unset>")),
        json!(class["allowVolumeExpansion"] == true),
        age(class, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_shows_its_volume_only_once_it_has_one() {
        let mut object = json!({
            "metadata": {"name": "c"},
            "spec": {"storageClassName": "fast", "volumeMode": "Filesystem"},
            "status": {"phase": "Pending", "capacity": {"storage": "1Gi"},
                       "accessModes": ["ReadWriteMany", "ReadWriteOnce"]},
        });
        let row = |object: &Value| claim(object, Timestamp::now());
        assert_eq!(
            row(&object)[1..6],
            ["Pending", "", "", "", "fast"].map(|it| json!(it))
        );
        object["spec"]["volumeName"] = json!("v");
        assert_eq!(
            row(&object)[2..5],
            ["v", "1Gi", "RWO,RWX"].map(|it| json!(it))
        );
    }

    #[test]
    fn the_default_class_is_marked() {
        let object = json!({"metadata": {"name": "s", "annotations": {DEFAULT_CLASS: "true"}}});
        assert_eq!(class(&object, Timestamp::now())[0], "s (default)");
    }
}
