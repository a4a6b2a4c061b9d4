//! Making a volume for a claim, as the drivers of AKS do.

use serde_json::{Value, json};

use super::matching;
use crate::lab::shares::{DISK_DRIVER, FILE_DRIVER};

/// Label of the lab's own storage classes, as AKS marks its own.
const ADDON: &str = "addonmanager.kubernetes.io/mode";
/// Annotation of the class that a claim has when it names none.
pub(super) const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Annotation of a volume with the driver that made it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The storage classes that a cluster of AKS has from its start.
pub(super) fn classes() -> Vec<Value> {
    [
        ("default", DISK_DRIVER, "StandardSSD_LRS"),
        ("managed-csi", DISK_DRIVER, "StandardSSD_LRS"),
        ("azurefile", FILE_DRIVER, "Standard_LRS"),
        ("azurefile-csi", FILE_DRIVER, "Standard_LRS"),
    ]
    .into_iter()
    .map(|(name, driver, sku)| {
        let file = driver == FILE_DRIVER;
        let mut class = json!({
            "metadata": {"name": name, "labels": {ADDON: "EnsureExists", "kubernetes.io/cluster-service": "true"}},
            "provisioner": driver,
            "parameters": {"skuName": sku},
            "reclaimPolicy": "Delete",
            "allowVolumeExpansion": true,
            "volumeBindingMode": if file { "Immediate" } else { "WaitForFirstConsumer" },
        });
        if file {
            class["mountOptions"] = json!([
                "mfsymlinks", "actimeo=30", "nosharesock",
            ]);
        }
        if name == "default" {
            class["metadata"]["annotations"] = json!({DEFAULT_CLASS: "true"});
        }
        class
    })
    .collect()
}

/// The driver of that name, if the lab plays it.
pub(super) fn ours(driver: &str) -> Option<&'static str> {
    [FILE_DRIVER, DISK_DRIVER]
        .into_iter()
        .find(|ours| *ours == driver)
}

/// The volume that a class makes for a claim.
///
/// # Errors
/// Why its driver makes none, as the driver says it.
pub(super) fn volume(claim: &Value, class: &Value) -> Result<Value, String> {
    let driver = class["provisioner"].as_str().unwrap_or_default();
    let (metadata, spec) = (&claim["metadata"], &claim["spec"]);
    if spec["selector"].is_object() {
        return Err("claim Selector is not supported".to_owned());
    }
    if spec["dataSource"].is_object() || spec["dataSourceRef"].is_object() {
        return Err(refused(class, "the lab makes empty volumes only"));
    }
    let modes = spec["accessModes"].as_array();
    let shared = |mode: &&Value| matches!(mode.as_str(), Some("ReadWriteMany" | "ReadOnlyMany"));
    if driver == DISK_DRIVER
        && let Some(mode) = modes.into_iter().flatten().find(shared)
    {
        let mode = if *mode == "ReadWriteMany" {
            "MULTI_NODE_MULTI_WRITER"
        } else {
            "MULTI_NODE_READER_ONLY"
        };
        return Err(refused(
            class,
            &format!("mountVolume is not supported for access mode: {mode}"),
        ));
    }
    if spec["volumeMode"] == "Block" {
        return Err(refused(class, "the lab has no block devices"));
    }
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let name = format!("pvc-{uid}");
    let handle = if driver == FILE_DRIVER {
        format!(
            "lab#lab#{name}##{}",
            metadata["namespace"].as_str().unwrap_or_default()
        )
    } else {
        format!("/subscriptions/lab/resourceGroups/lab/providers/Microsoft.Compute/disks/{name}")
    };
    let mut attributes = class["parameters"].as_object().cloned().unwrap_or_default();
    if driver == FILE_DRIVER {
        attributes.insert("shareName".to_owned(), json!(name));
    }
    let mut volume = json!({
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED_BY: driver},
            "finalizers": [super::VOLUME_FINALIZER],
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "claimRef": super::reference(claim),
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": matching::class(claim),
            "volumeMode": "Filesystem",
            "csi": {
                "driver": driver,
                "volumeHandle": handle,
                "volumeAttributes": attributes,
            },
        },
        "status": {"phase": "Pending"},
    });
    if class["mountOptions"].is_array() {
        volume["spec"]["mountOptions"] = class["mountOptions"].clone();
    }
    Ok(volume)
}

fn refused(class: &Value, why: &str) -> String {
    let class = class["metadata"]["name"].as_str().unwrap_or_default();
    format!(
        "failed to provision volume with StorageClass {class:?}: rpc error: code = InvalidArgument desc = {why}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Value {
        let all = classes();
        let found = all.into_iter().find(|it| it["metadata"]["name"] == name);
        found.unwrap()
    }

    fn claim(mode: &str) -> Value {
        json!({
            "metadata": {"name": "c", "namespace": "d", "uid": "u"},
            "spec": {"accessModes": [mode], "storageClassName": "azurefile",
                "resources": {"requests": {"storage": "5Gi"}}},
        })
    }

    #[test]
    fn a_volume_is_what_its_claim_and_class_say() {
        let made = volume(&claim("ReadWriteMany"), &class("azurefile")).unwrap();
        assert_eq!(made["metadata"]["name"], "pvc-u");
        assert_eq!(made["spec"]["capacity"]["storage"], "5Gi");
        assert_eq!(made["spec"]["persistentVolumeReclaimPolicy"], "Delete");
        assert_eq!(
            crate::lab::shares::directory(&made["spec"]).unwrap(),
            std::path::Path::new("file/pvc-u")
        );
        let disk = volume(&claim("ReadWriteOnce"), &class("managed-csi")).unwrap();
        assert!(
            crate::lab::shares::directory(&disk["spec"])
                .unwrap()
                .starts_with("disk")
        );
    }

    #[test]
    fn a_disk_is_for_one_node() {
        let error = volume(&claim("ReadWriteMany"), &class("default")).unwrap_err();
        assert!(
            error.ends_with("access mode: MULTI_NODE_MULTI_WRITER"),
            "{error}"
        );
    }
}
