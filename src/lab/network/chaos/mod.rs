//! Faults of the network, as clients of Chaos Mesh ask for them: objects of the
//! kind NetworkChaos, whose definition the lab brings along.
//!
//! An object chooses its pods once. They suffer until its duration is over or
//! it is deleted or paused; a pod that is replaced meanwhile is another pod and
//! suffers no more.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Fault, Network};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Deletion, Key, Store, StoreError};

mod plan;

use plan::Plan;

/// The definition of the kind.
const DEFINITION: &str = include_str!("networkchaos.yaml");

const GROUP: &str = "chaos-mesh.org";
const PLURAL: &str = "networkchaos";

/// Annotation of an object that is to rest.
const PAUSE: &str = "experiment.chaos-mesh.org/pause";

/// What is being done on behalf of one object.
#[derive(Debug)]
struct Experiment {
    since: Instant,
    /// The pods that suffer: uid and address.
    victims: HashMap<String, IpAddr>,
}

struct Work {
    network: Network,
    store: Store,
    recorder: Recorder,
    kind: Resource,
    running: HashMap<String, Experiment>,
}

/// Puts the definition into the store.
///
/// # Errors
/// When it cannot be stored.
pub(super) fn define(store: &Store) -> Result<(), String> {
    let definition: Value = serde_yaml::from_str(DEFINITION).map_err(|it| it.to_string())?;
    super::proxy::put(
        store,
        Resource::CustomResourceDefinitions,
        &definition,
        &["spec"],
    )
}

/// Takes the definition away, and with it every object of the kind.
pub(super) fn undefine(store: &Store) {
    let name = format!("{PLURAL}.{GROUP}");
    let key = Key::new(Resource::CustomResourceDefinitions, "", name);
    // Where it never was, nothing is to do.
    let _ = store.delete(&key, &Deletion::default());
}

/// Does what the objects ask for, until it is stopped.
pub(super) async fn keep(network: Network, store: Store, stop: CancellationToken) {
    let work = async {
        let kind = defined(&store).await;
        let mut work = Work {
            recorder: Recorder::new(store.clone(), "networkchaos-controller", None),
            network,
            store,
            kind,
            running: HashMap::new(),
        };
        loop {
            let (_, mut watch) = work.store.list_and_watch(&[Resource::Pods, kind]);
            loop {
                let due = work.look();
                tokio::select! {
                    // An error means that too much happened at once: begin anew.
                    event = watch.next() => if event.is_err() { break },
                    () = super::switch::sleep_until(due) => {}
                }
                while let Ok(Some(_)) = watch.try_next() {}
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Waits until the kind is there.
async fn defined(store: &Store) -> Resource {
    loop {
        let (_, mut watch) = store.list_and_watch(&[Resource::CustomResourceDefinitions]);
        loop {
            if let Some(kind) = store.find_kind(GROUP, PLURAL) {
                return kind;
            }
            if watch.next().await.is_err() {
                break;
            }
        }
    }
}

impl Work {
    /// Brings the network to what the objects ask for; says when to look again.
    fn look(&mut self) -> Option<Instant> {
        let objects = self.store.list(self.kind, None).items;
        let known: HashSet<_> = objects.iter().map(|it| uid(it)).collect();
        let gone: Vec<_> = self
            .running
            .keys()
            .filter(|it| !known.contains(it.as_str()))
            .cloned()
            .collect();
        for uid in gone {
            self.heal(&uid);
        }
        if objects.is_empty() {
            return None;
        }
        let pods = self.store.list(Resource::Pods, None).items;
        let due = objects.iter().filter_map(|it| self.experiment(it, &pods));
        due.min()
    }

    /// Runs or ends one object's experiment; says when it is over.
    fn experiment(&mut self, object: &Value, pods: &[Arc<Value>]) -> Option<Instant> {
        let uid = uid(object).to_owned();
        let plan = match Plan::read(&object["spec"]) {
            Ok(plan) => plan,
            Err(why) => {
                if object["status"].is_null() {
                    self.tell(object, Severity::Warning, "Failed", &why);
                    self.write(object, &status(object, &[], None, false, true));
                }
                return None;
            }
        };
        let paused = object["metadata"]["annotations"][PAUSE] == "true";
        let over = plan.duration.map(|it| self.since(object) + it);
        let ended = over.is_some_and(|over| over <= Instant::now());
        let chosen = self.chosen(object, pods);
        if paused || ended {
            self.heal(&uid);
        } else if !object["metadata"]["deletionTimestamp"].is_null() {
            self.heal(&uid);
            return None;
        } else {
            let since = self.since(object);
            let experiment = self.running.entry(uid.clone()).or_insert(Experiment {
                since,
                victims: HashMap::new(),
            });
            hurt(&self.network, &uid, plan.fault, &chosen, experiment);
        }
        let victims = self.running.get(&uid).map(|it| &it.victims);
        let status = status(object, &chosen, victims, paused, ended);
        self.write(object, &status);
        over.filter(|_| !ended)
    }

    /// When an object's experiment began: now, or when the object was made if
    /// that was in an earlier life of the lab.
    fn since(&self, object: &Value) -> Instant {
        if let Some(experiment) = self.running.get(uid(object)) {
            return experiment.since;
        }
        let now = Instant::now();
        if object["status"].is_null() {
            return now;
        }
        let made = object["metadata"]["creationTimestamp"].as_str();
        let made = made.and_then(|it| it.parse::<Timestamp>().ok());
        let age = made.map(|made| Timestamp::now().duration_since(made));
        let age = age.and_then(|age| Duration::try_from(age).ok());
        age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
    }

    /// The pods that an object has chosen, or chooses now.
    fn chosen(&self, object: &Value, pods: &[Arc<Value>]) -> Vec<Arc<Value>> {
        let records = object["status"]["experiment"]["containerRecords"].as_array();
        if let Some(records) = records.filter(|it| !it.is_empty()) {
            let is_recorded =
                |pod: &&Arc<Value>| records.iter().any(|it| it["uid"] == pod["metadata"]["uid"]);
            return pods.iter().filter(is_recorded).cloned().collect();
        }
        let spec = &object["spec"];
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let mut meant: Vec<_> = pods
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Running")
            .filter(|pod| plan::means(&spec["selector"], namespace, pod))
            .cloned()
            .collect();
        if spec["mode"] == "one" && meant.len() > 1 {
            meant = vec![meant.swap_remove(fastrand::usize(..meant.len()))];
        }
        if meant.is_empty() && object["status"].is_null() {
            let why = "Failed to select targets: no pod is selected";
            self.tell(object, Severity::Warning, "Failed", why);
        }
        meant
    }

    fn heal(&mut self, uid: &str) {
        if let Some(experiment) = self.running.remove(uid) {
            for address in experiment.victims.values() {
                // A pod that has gone is healed.
                let _ = self.network.impair(*address, uid, None);
            }
        }
    }

    fn write(&self, object: &Value, status: &Value) {
        if object["status"] == *status {
            return;
        }
        let condition = |status: &Value, kind: &str| {
            let conditions = status["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|it| it["type"] == kind && it["status"] == "True")
        };
        for (kind, reason, message) in [
            ("AllInjected", "Applied", "Successfully apply chaos"),
            ("AllRecovered", "Recovered", "Successfully recover chaos"),
        ] {
            if condition(status, kind) && !condition(&object["status"], kind) {
                self.tell(object, Severity::Normal, reason, message);
            }
        }
        let key = Key::of(self.kind, object);
        // An object that has gone meanwhile needs no status.
        let _ = self.store.update_with::<StoreError>(&key, |object| {
            object["status"] = status.clone();
            Ok(())
        });
    }

    fn tell(&self, object: &Value, severity: Severity, reason: &str, message: &str) {
        let note = Note {
            severity,
            reason,
            message,
            part: "",
        };
        self.recorder.record(object, note);
    }
}

/// Makes the chosen pods suffer that do not yet.
fn hurt(
    network: &Network,
    name: &str,
    fault: Fault,
    chosen: &[Arc<Value>],
    experiment: &mut Experiment,
) {
    for pod in chosen {
        let address = pod["status"]["podIP"].as_str();
        let Some(address) = address.and_then(|it| it.parse::<IpAddr>().ok()) else {
            continue;
        };
        // Again and again: a lab that starts again gives it another network.
        if network.impair(address, name, Some(fault)).is_ok() {
            experiment.victims.insert(uid(pod).to_owned(), address);
        } else {
            experiment.victims.remove(uid(pod));
        }
    }
}

fn status(
    object: &Value,
    chosen: &[Arc<Value>],
    victims: Option<&HashMap<String, IpAddr>>,
    paused: bool,
    ended: bool,
) -> Value {
    let runs = !paused && !ended;
    let hurts = |id: &str| victims.is_some_and(|it| it.contains_key(id));
    let before = &object["status"]["experiment"]["containerRecords"];
    let before = before.as_array().cloned().unwrap_or_default();
    let mut records = before.clone();
    if records.is_empty() {
        records.extend(chosen.iter().map(|pod| {
            let meta = &pod["metadata"];
            let name = |field: &str| meta[field].as_str().unwrap_or_default().to_owned();
            json!({
                "id": format!("{}/{}", name("namespace"), name("name")),
                "uid": meta["uid"], "selectorKey": ".",
                "injectedCount": 0, "recoveredCount": 0, "phase": "Not Injected",
            })
        }));
    }
    for record in &mut records {
        let now = hurts(record["uid"].as_str().unwrap_or_default());
        let was = record["phase"] == "Injected";
        if now != was {
            let count = if now {
                "injectedCount"
            } else {
                "recoveredCount"
            };
            record[count] = json!(record[count].as_u64().unwrap_or(0) + 1);
            record["phase"] = json!(if now { "Injected" } else { "Not Injected" });
        }
    }
    let all = |phase: &str| records.iter().all(|it| it["phase"] == phase);
    let selected = !records.is_empty();
    let condition = |kind: &str, holds: bool| {
        let holds = if holds { "True" } else { "False" };
        json!({"type": kind, "status": holds, "reason": ""})
    };
    json!({
        "conditions": [
            condition("Selected", selected),
            condition("AllInjected", selected && runs && all("Injected")),
            condition("AllRecovered", selected && !runs && all("Not Injected")),
            condition("Paused", paused),
        ],
        "experiment": {
            "desiredPhase": if runs { "Run" } else { "Stop" },
            "containerRecords": records,
        },
    })
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}
