//! A claim: bound to a volume that fits, or to one that is made for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CLAIM_FINALIZER, SELECTED_NODE, claims_of, matching, provision, reference, remove_finalizer,
    waits_for_consumer,
};
use crate::lab::controllers::Surroundings;
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::runtime::Bounded;
use crate::lab::shares;
use crate::lab::store::{Key, Store, StoreError};

/// Annotation of a claim whose binding is done.
const BOUND: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a claim or a volume whose other half was chosen for it.
const CHOSEN: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation of a claim with the driver that makes its volume.
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

/// How long after a volume could not be made it is tried again.
const RETRY: Duration = Duration::from_secs(15);

/// Takes a claim the next step towards its volume, or towards its end. Says
/// when to look again, if only time may help.
pub fn reconcile(
    store: &Store,
    key: &Key,
    claim: &Value,
    around: &Surroundings,
) -> Option<Duration> {
    let look = Look {
        store,
        key,
        claim,
        bounded: around.bounded.as_ref(),
    };
    if claim["metadata"]["deletionTimestamp"].is_string() {
        if !look.is_used() {
            remove_finalizer(store, key, CLAIM_FINALIZER);
        }
        return None;
    }
    match claim["spec"]["volumeName"].as_str().unwrap_or_default() {
        "" => return look.find_volume(),
        name if claim["metadata"]["annotations"][BOUND] == "yes" => look.check_volume(name),
        name => look.take_named(name),
    }
    None
}

struct Look<'a> {
    store: &'a Store,
    key: &'a Key,
    claim: &'a Value,
    bounded: Option<&'a Bounded>,
}

impl Look<'_> {
    /// Whether a pod that has not ended uses the claim.
    fn is_used(&self) -> bool {
        let pods = self.store.list(Resource::Pods, Some(&self.key.namespace));
        pods.items.iter().any(|pod| {
            let phase = pod["status"]["phase"].as_str();
            !matches!(phase, Some("Succeeded" | "Failed"))
                && claims_of(pod).any(|name| name == self.key.name)
        })
    }

    /// Whether the scheduler has chosen a node for a pod that uses the claim, or
    /// somebody else has given one its node.
    fn has_consumer(&self) -> bool {
        if self.claim["metadata"]["annotations"][SELECTED_NODE].is_string() {
            return true;
        }
        let pods = self.store.list(Resource::Pods, Some(&self.key.namespace));
        pods.items.iter().any(|pod| {
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            !node.is_empty() && claims_of(pod).any(|name| name == self.key.name)
        })
    }

    /// Binds the claim to a volume that is there, or has one made.
    fn find_volume(&self) -> Option<Duration> {
        let class_name = matching::class(self.claim);
        let class = Key::new(Resource::StorageClasses, "", class_name);
        let class = self.store.get(&class).filter(|_| !class_name.is_empty());
        let waits = waits_for_consumer(self.store, self.claim);
        let volumes = self.store.list(Resource::PersistentVolumes, None).items;
        // With a consumer any volume will do: there is one disk for all nodes.
        let waits = waits && !self.has_consumer();
        if let Some(volume) = matching::choose(self.claim, &volumes, waits) {
            self.bind(volume);
            return None;
        }
        self.write_pending();
        if waits {
            self.say(
                Severity::Normal,
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            );
            return None;
        }
        match class {
            Some(class) if class["provisioner"] != "kubernetes.io/no-provisioner" => {
                return self.provision(&class);
            }
            None if !class_name.is_empty() => self.say(
                Severity::Warning,
                "ProvisioningFailed",
                &format!("storageclass.storage.k8s.io {class_name:?} not found"),
            ),
            _ => self.say(
                Severity::Normal,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            ),
        }
        None
    }

    fn provision(&self, class: &Value) -> Option<Duration> {
        let driver = class["provisioner"].as_str().unwrap_or_default();
        // Gone in the meantime: nobody needs a volume.
        let _ = self.store.update_with(self.key, |claim| {
            claim["metadata"]["annotations"][PROVISIONER] = json!(driver);
            Ok::<(), StoreError>(())
        });
        let Some(driver) = provision::ours(driver) else {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{driver}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
            );
            self.say(Severity::Normal, "ExternalProvisioning", &message);
            return None;
        };
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let message =
            format!("External provisioner is provisioning volume for claim \"{namespace}/{name}\"");
        self.say_as(driver, Severity::Normal, "Provisioning", &message);
        let made = provision::volume(self.claim, class)
            .and_then(|volume| self.fits(&volume).map(|()| volume));
        match made {
            Err(why) => {
                self.say_as(driver, Severity::Warning, "ProvisioningFailed", &why);
                Some(RETRY)
            }
            Ok(volume) => {
                let created = self.store.create(Resource::PersistentVolumes, volume);
                let volume = created.ok()?;
                let message = format!(
                    "Successfully provisioned volume {}",
                    volume["metadata"]["name"].as_str().unwrap_or_default()
                );
                self.say_as(driver, Severity::Normal, "ProvisioningSucceeded", &message);
                self.bind(&volume);
                None
            }
        }
    }

    /// The volume that a person named, if it is to be had.
    fn take_named(&self, name: &str) {
        let volume = self
            .store
            .get(&Key::new(Resource::PersistentVolumes, "", name));
        let Some(volume) = volume else {
            self.write_pending();
            return;
        };
        let taken =
            !volume["spec"]["claimRef"].is_null() && !matching::is_reserved(self.claim, &volume);
        if taken {
            self.write_pending();
            let message = format!("volume {name:?} already bound to a different claim.");
            self.say(Severity::Warning, "FailedBinding", &message);
        } else {
            self.bind(&volume);
        }
    }

    /// A claim without its volume is lost; one whose volume grew has more.
    fn check_volume(&self, name: &str) {
        let volume = self
            .store
            .get(&Key::new(Resource::PersistentVolumes, "", name));
        match volume.filter(|volume| matching::is_reserved(self.claim, volume)) {
            Some(volume) => {
                self.grow(&volume);
                if self.claim["status"]["phase"] != "Bound" {
                    self.bind(&volume);
                }
            }
            None if self.claim["status"]["phase"] != "Lost" => {
                self.write(|claim| {
                    claim["status"] = json!({"phase": "Lost"});
                });
                self.say(
                    Severity::Warning,
                    "ClaimLost",
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                );
            }
            None => {}
        }
    }

    /// Whether the lab has room for what has an end: it is a promise.
    fn fits(&self, volume: &Value) -> Result<(), String> {
        let bounded = self.bounded.filter(|it| it.why_not().is_none());
        let own = shares::bounded(&volume["spec"]);
        let (Some(bounded), Some((own, size))) = (bounded, own) else {
            return Ok(());
        };
        let all = self.store.list(Resource::PersistentVolumes, None).items;
        let all: Vec<_> = all
            .iter()
            .filter_map(|other| shares::bounded(&other["spec"]))
            .collect();
        let others = all.iter().map(|(name, size)| (name.as_str(), *size));
        let wanted = others.chain([(own.as_str(), size)]);
        bounded.obstacle(wanted).map_or(Ok(()), |why| {
            Err(format!(
                "{why}; ask for less, or take the storage class azurefile"
            ))
        })
    }

    fn grow_bounded(&self, volume: &Value) {
        if let (Some(bounded), Some((name, size))) =
            (self.bounded.cloned(), shares::bounded(&volume["spec"]))
        {
            tokio::spawn(async move {
                if let Err(why) = bounded.grow(&name, size).await {
                    tracing::warn!("the volume {name} does not grow: {why}");
                }
            });
        }
    }

    /// Gives a claim that asks for more what it asks for: directories grow.
    fn grow(&self, volume: &Value) {
        let class = Key::new(Resource::StorageClasses, "", matching::class(self.claim));
        let may = self.store.get(&class);
        let may = may.is_some_and(|class| class["allowVolumeExpansion"] == true);
        if !may || matching::request(self.claim) <= matching::capacity(volume) {
            return;
        }
        let size = self.claim["spec"]["resources"]["requests"]["storage"].clone();
        let mut larger = Value::clone(volume);
        larger["spec"]["capacity"]["storage"] = size.clone();
        if let Err(why) = self.fits(&larger) {
            self.say(Severity::Warning, "VolumeResizeFailed", &why);
            return;
        }
        self.grow_bounded(&larger);
        let key = Key::of(Resource::PersistentVolumes, volume);
        let grown = self.store.update_with(&key, |volume| {
            volume["spec"]["capacity"]["storage"] = size.clone();
            Ok::<(), StoreError>(())
        });
        if grown.is_ok() {
            self.write(|claim| claim["status"]["capacity"]["storage"] = size);
            self.say(
                Severity::Normal,
                "FileSystemResizeSuccessful",
                "MountVolume.NodeExpandVolume succeeded for volume",
            );
        }
    }

    /// Gives claim and volume to each other.
    fn bind(&self, volume: &Value) {
        let key = Key::of(Resource::PersistentVolumes, volume);
        let own = reference(self.claim);
        let given = self.store.update_with(&key, |volume| {
            let free = volume["spec"]["claimRef"].is_null();
            if !free && !matching::is_reserved(self.claim, volume) {
                return Err(StoreError::Modified(key.clone()));
            }
            if free {
                volume["metadata"]["annotations"][CHOSEN] = json!("yes");
            }
            if volume["spec"]["claimRef"]["uid"] != own["uid"] {
                volume["spec"]["claimRef"] = own;
            }
            volume["status"]["phase"] = json!("Bound");
            Ok(())
        });
        // Somebody else has it now: the next look finds another.
        let Ok(volume) = given else { return };
        let chosen = self.claim["spec"]["volumeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty();
        self.write(|claim| {
            claim["spec"]["volumeName"] = volume["metadata"]["name"].clone();
            claim["metadata"]["annotations"][BOUND] = json!("yes");
            if chosen {
                claim["metadata"]["annotations"][CHOSEN] = json!("yes");
            }
            claim["status"] = json!({
                "phase": "Bound",
                "accessModes": volume["spec"]["accessModes"],
                "capacity": volume["spec"]["capacity"],
            });
        });
    }

    fn write_pending(&self) {
        self.write(|claim| claim["status"]["phase"] = json!("Pending"));
    }

    fn write(&self, change: impl FnOnce(&mut Value)) {
        // Gone in the meantime: nobody asks for it.
        let _ = self.store.update_with(self.key, |claim| {
            change(claim);
            Ok::<(), StoreError>(())
        });
    }

    fn say(&self, severity: Severity, reason: &str, message: &str) {
        self.say_as("persistentvolume-controller", severity, reason, message);
    }

    /// Tells something in the name of another component.
    fn say_as(&self, who: &'static str, severity: Severity, reason: &str, message: &str) {
        let recorder = Recorder::new(self.store.clone(), who, None);
        let note = Note {
            severity,
            reason,
            message,
            part: "",
        };
        recorder.record(self.claim, note);
    }
}
