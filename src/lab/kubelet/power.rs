//! The power of a node, and its heartbeat while it has any.
//!
//! Whoever writes *off* into a node's [`POWER_ANNOTATION`] pulls its plug: all
//! processes of all its pods are killed at once, and its kubelet says nothing
//! more, as if the machine were gone. What the cluster makes of the silence is
//! the node lifecycle's business. *on* boots it: it forgets its containers, says
//! that it is ready, and runs the pods that are still bound to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::machine::Machine;
use super::pod::Desired;
use super::{LEASES_PER_STATUS, Posts, Shared, lock};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::Key;

/// Annotation of a node: `on` or `off`, as it is and as it is to be.
pub const POWER_ANNOTATION: &str = "aks-tui.dev/power";

/// Whether a node object says that its machine is to have power. One that says
/// nothing has.
pub(super) fn wanted(node: &Value) -> bool {
    node["metadata"]["annotations"][POWER_ANNOTATION] != "off"
}

/// The power of one machine.
#[derive(Debug)]
pub(super) struct Power {
    /// How often the switch was turned: with an odd number it is off. Not even
    /// one who turns it off and on at once gets away without a cut.
    turns: watch::Sender<u64>,
    /// Whether its kubelet runs.
    on: AtomicBool,
    /// It boots from a fresh disk next time.
    fresh: AtomicBool,
}

impl Power {
    pub fn new(on: bool) -> Self {
        Self {
            turns: watch::Sender::new(u64::from(!on)),
            on: AtomicBool::new(on),
            fresh: AtomicBool::new(false),
        }
    }

    /// It is to boot from a fresh disk next time.
    pub fn reimage(&self) {
        self.fresh.store(true, Ordering::SeqCst);
    }

    /// Asks for it to be on or off.
    pub fn want(&self, on: bool) {
        self.turns.send_if_modified(|turns| {
            let changed = turns.is_multiple_of(2) != on;
            *turns += u64::from(changed);
            changed
        });
    }

    /// Whether the node's kubelet runs. Read under the lock of the posts, it
    /// holds as long as that is held for who then adds a post.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }
}

/// One node's switch, and who turns it.
pub(super) struct Switch {
    pub shared: Arc<Shared>,
    pub posts: Arc<Posts>,
    pub machine: Arc<Machine>,
    /// Rings when a node has booted and its pods are to be looked at.
    pub booted: Arc<Notify>,
}

impl Switch {
    /// Keeps the node as it is wanted, for ever.
    pub async fn attend(self) {
        let mut turns = self.machine.power.turns.subscribe();
        // The sender is the machine's own: it does not go first.
        loop {
            let on = turns.wait_for(|turns| turns.is_multiple_of(2)).await;
            let Ok(turn) = on.map(|turn| *turn) else {
                return;
            };
            if !self.machine.power.is_on() {
                self.boot().await;
            }
            tokio::select! {
                () = self.beat() => {}
                _ = turns.wait_for(|turns| *turns != turn) => {}
            }
            self.cut().await;
        }
    }

    /// Tells the cluster, for ever, that the node is alive.
    async fn beat(&self) {
        let mut every = tokio::time::interval(self.machine.heartbeat.lease_every());
        for count in 1_u32.. {
            every.tick().await;
            let whole = count.is_multiple_of(LEASES_PER_STATUS);
            let (machine, store) = (&self.machine, &self.shared.store);
            let beaten = machine
                .renew(store)
                .and_then(|()| machine.beat(store, whole));
            if let Err(error) = beaten {
                tracing::warn!("{} cannot tell that it is alive: {error}", machine.name);
            }
        }
    }

    /// Pulls the plug: returns when the last process is gone.
    pub async fn cut(&self) {
        let begun = Instant::now();
        let (mut ends, mut uids) = (Vec::new(), Vec::new());
        {
            let posts = lock(&self.posts);
            self.machine.power.set(false);
            for (uid, post) in posts.iter() {
                if post.worker.machine.name == self.machine.name {
                    post.desired.send_replace(Desired::Stop);
                    ends.push(post.ended.clone());
                    uids.push(uid.clone());
                }
            }
        }
        for end in ends {
            end.cancelled().await;
        }
        for uid in &uids {
            // Whoever replaces the pod elsewhere is found where it was.
            self.shared.addresses.leave(uid);
        }
        self.tell(&cut_message(uids.len(), begun.elapsed()), "PoweredOff");
    }

    /// Starts the machine anew.
    async fn boot(&self) {
        let (store, machine) = (&self.shared.store, &self.machine);
        let boot = machine.reboot();
        if let Err(error) = machine.register(store) {
            tracing::warn!("{} cannot register: {error}", machine.name);
        }
        self.shared.sweep().await;
        if machine.power.fresh.swap(false, Ordering::SeqCst) {
            self.shared.wipe(&machine.name).await;
            self.tell("The node has a fresh disk", "Reimaged");
        }
        machine.power.set(true);
        self.tell("The power is on again", "PoweredOn");
        let name = &machine.name;
        let rebooted = format!("Node {name} has been rebooted, boot id: {boot}");
        self.say(Severity::Normal, "Starting", "Starting kubelet.");
        self.say(Severity::Warning, "Rebooted", &rebooted);
        let ready = format!("Node {name} status is now: NodeReady");
        self.say(Severity::Normal, "NodeReady", &ready);
        self.booted.notify_one();
    }

    /// Tells in the kubelet's name.
    fn say(&self, severity: Severity, reason: &str, message: &str) {
        let note = Note {
            severity,
            reason,
            message,
            part: "",
        };
        if let Some(node) = self.node() {
            self.machine.recorder.record(&node, note);
        }
    }

    /// Tells in the lab's own name what no cluster could.
    fn tell(&self, message: &str, reason: &str) {
        if let Some(node) = self.node() {
            let recorder = Recorder::new(self.shared.store.clone(), "aks-tui-lab", None);
            recorder.normal(&node, reason, message);
        }
    }

    fn node(&self) -> Option<Arc<Value>> {
        let key = Key::new(Resource::Nodes, "", &self.machine.name);
        self.shared.store.get(&key)
    }
}

fn cut_message(pods: usize, took: Duration) -> String {
    format!(
        "The power is off: the processes of {pods} pod(s) were gone after {} ms",
        took.as_millis()
    )
}
