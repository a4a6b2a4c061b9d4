//! Nodes that come and go while the lab runs: the machines of a cloud.

use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use super::power::{Power, Switch};
use super::{Kubelet, KubeletError, MOST_NODES, power};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Key, StoreError};

/// A virtual machine as its cloud describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// Name of the node.
    pub name: String,
    /// How the cloud calls it: `azure:///…`.
    pub provider: String,
    /// Labels that the cloud gives it.
    pub labels: Vec<(String, String)>,
    /// Thousandths of processors.
    pub millicores: usize,
    /// Memory in bytes.
    pub memory: u64,
}

impl Kubelet {
    /// Boots a machine as a node, unless there is one of its name. It says of
    /// itself what its cloud does, not what this machine has.
    ///
    /// # Errors
    /// When there are [`MOST_NODES`] already, or the node cannot be stored.
    pub fn add_node(&self, vm: Vm) -> Result<(), KubeletError> {
        let shared = &self.shared;
        let machine = {
            let mut machines = shared.machines();
            if machines.iter().any(|it| it.name == vm.name) {
                return Ok(());
            }
            let free = (0..MOST_NODES).find(|index| machines.iter().all(|it| it.index != *index));
            let index = free.ok_or(KubeletError::Full)?;
            let key = Key::new(Resource::Nodes, "", &vm.name);
            let on = shared.store.get(&key).is_none_or(|it| power::wanted(&it));
            let machine = Arc::new(Machine {
                recorder: Recorder::new(shared.store.clone(), "kubelet", Some(vm.name.clone())),
                name: vm.name.clone(),
                address: shared.addresses.node(index).to_string(),
                version: self.about.version.clone(),
                annotations: self.about.annotations.clone(),
                state: shared.state.clone(),
                index,
                count: 1,
                heartbeat: self.about.heartbeat,
                boot: Mutex::default(),
                power: Power::new(on),
                gone: CancellationToken::new(),
                cloud: Some(vm),
            });
            machine.reboot();
            machines.push(Arc::clone(&machine));
            machine
        };
        machine.register(&shared.store)?;
        self.attend(machine);
        // What is bound to it runs from now on.
        self.booted.notify_one();
        Ok(())
    }

    /// Takes a machine away: its processes are killed, and when the last one is
    /// gone, so is its node. Nothing happens if there is none of that name.
    pub async fn remove_node(&self, name: &str) {
        let shared = &self.shared;
        let machine = {
            let machines = shared.machines();
            machines.iter().find(|it| it.name == name).cloned()
        };
        let Some(machine) = machine else { return };
        machine.gone.cancel();
        self.switch(Arc::clone(&machine)).cut().await;
        shared.machines().retain(|it| it.name != name);
        let node = Key::new(Resource::Nodes, "", name);
        shared.store.remove(&node, None);
        machine.surrender(&shared.store);
    }

    /// Says whether a node is to have power, by its annotation.
    pub fn set_power(&self, name: &str, on: bool) {
        let key = Key::new(Resource::Nodes, "", name);
        let now = self.shared.store.get(&key);
        if now.is_none_or(|node| power::wanted(&node) == on) {
            return;
        }
        let changed = self.shared.store.update_with(&key, |node| {
            let word = if on { "on" } else { "off" };
            node["metadata"]["annotations"][power::POWER_ANNOTATION] = word.into();
            Ok::<(), StoreError>(())
        });
        if let Err(error) = changed {
            tracing::warn!("the power of {name} cannot be switched: {error}");
        }
    }

    /// Gives a node a fresh disk, with which it boots next time. What its pods kept
    /// on the old one is gone; what is elsewhere stays.
    pub fn reimage(&self, name: &str) {
        if let Some(machine) = self.shared.machine(&name.into()) {
            machine.power.reimage();
        }
    }

    /// The names of the nodes there are.
    pub fn nodes(&self) -> Vec<String> {
        let machines = self.shared.machines();
        machines.iter().map(|it| it.name.clone()).collect()
    }

    /// The switch of a machine.
    pub(super) fn switch(&self, machine: Arc<Machine>) -> Switch {
        Switch {
            shared: Arc::clone(&self.shared),
            posts: Arc::clone(&self.posts),
            machine,
            booted: Arc::clone(&self.booted),
        }
    }

    /// Keeps a machine as it is wanted until it or the lab is gone.
    pub(super) fn attend(&self, machine: Arc<Machine>) {
        let gone = machine.gone.clone();
        let attended = self.switch(machine).attend();
        let stopping = self.stopping.clone();
        let attended = async move { gone.run_until_cancelled_owned(attended).await };
        self.tasks
            .spawn(stopping.run_until_cancelled_owned(attended));
    }
}
