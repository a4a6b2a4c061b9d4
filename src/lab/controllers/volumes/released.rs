//! A volume: to be had, had, and what becomes of it when its claim is gone.

use std::io;

use serde_json::{Value, json};

use super::{VOLUME_FINALIZER, provision, remove_finalizer};
use crate::lab::controllers::Surroundings;
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::shares;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// Writes a volume's phase; a released one goes, with what it holds, if that is
/// its reclaim policy.
pub fn reconcile(store: &Store, key: &Key, volume: &Value, disks: &Surroundings) {
    let claimed = is_claimed(store, volume);
    if volume["metadata"]["deletionTimestamp"].is_string() && !claimed {
        remove_finalizer(store, key, VOLUME_FINALIZER);
        return;
    }
    let reference = &volume["spec"]["claimRef"];
    let reserved = reference["uid"].as_str().unwrap_or_default().is_empty();
    if reference.is_null() || reserved {
        phase(store, key, "Available", None);
    } else if claimed {
        phase(store, key, "Bound", None);
    } else {
        release(store, key, volume, disks);
    }
}

/// Whether the claim that has the volume is there.
fn is_claimed(store: &Store, volume: &Value) -> bool {
    let reference = &volume["spec"]["claimRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let claim = Key::new(
        Resource::PersistentVolumeClaims,
        text("namespace"),
        text("name"),
    );
    let found = store.get(&claim);
    found.is_some_and(|claim| claim["metadata"]["uid"] == reference["uid"])
}

fn release(store: &Store, key: &Key, volume: &Value, disks: &Surroundings) {
    if volume["status"]["phase"] != "Failed" {
        phase(store, key, "Released", None);
    }
    match volume["spec"]["persistentVolumeReclaimPolicy"].as_str() {
        Some("Delete") => {
            let driver = volume["metadata"]["annotations"][provision::PROVISIONED_BY].as_str();
            if driver.and_then(provision::ours).is_none() {
                let why = format!(
                    "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched",
                    key.name
                );
                fail(store, key, volume, "VolumeFailedDelete", &why);
                return;
            }
            if let Err(error) = empty(&volume["spec"], disks) {
                fail(store, key, volume, "VolumeFailedDelete", &error.to_string());
                return;
            }
            // Somebody else may have deleted it: just as well.
            let _ = store.delete(key, &Deletion::default());
        }
        Some("Recycle") => {
            let why = "No recycler plugin found for the volume!";
            fail(store, key, volume, "VolumeFailedRecycle", why);
        }
        _ => {}
    }
}

/// Removes what a volume holds.
fn empty(volume: &Value, disks: &Surroundings) -> io::Result<()> {
    if let (Some(bounded), Some((name, _))) = (disks.bounded.clone(), shares::bounded(volume)) {
        tokio::spawn(async move {
            if let Err(why) = bounded.remove(&name).await {
                tracing::warn!("the volume {name} stays: {why}");
            }
        });
    }
    let shares = disks.shares.as_deref();
    shares.map_or(Ok(()), |shares| shares::remove(shares, volume))
}

fn fail(store: &Store, key: &Key, volume: &Value, reason: &str, why: &str) {
    if volume["status"]["phase"] == "Failed" {
        return;
    }
    phase(store, key, "Failed", Some(why));
    let recorder = Recorder::new(store.clone(), "persistentvolume-controller", None);
    let note = Note {
        severity: Severity::Warning,
        reason,
        message: why,
        part: "",
    };
    recorder.record(volume, note);
}

fn phase(store: &Store, key: &Key, phase: &str, message: Option<&str>) {
    // Gone in the meantime: nobody asks for it.
    let _ = store.update_with(key, |volume| {
        if volume["status"]["phase"] != phase {
            volume["status"]["phase"] = json!(phase);
            volume["status"]["lastPhaseTransitionTime"] =
                json!(crate::lab::store::timestamp(jiff::Timestamp::now()));
        }
        match (message, volume["status"].as_object_mut()) {
            (Some(message), Some(status)) => {
                status.insert("message".to_owned(), json!(message));
            }
            (None, Some(status)) => {
                status.remove("message");
            }
            _ => {}
        }
        Ok::<(), StoreError>(())
    });
}
