//! What Azure does to the machines of nodes, for the cockpit: faults and their heal.
//!
//! Nothing is remembered of what was stopped: whoever heals looks which machines are
//! off and starts them, whichever cockpit stopped them.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use color_eyre::eyre::{Result, bail};
use futures::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{desk::Office, lookout};
use crate::{
    adapters::{
        azure::{
            Client,
            api::Paths,
            machines::{self, list, operate},
        },
        journal::StateDir,
        sink::{Closed, Sink},
    },
    core::{
        around::Ability,
        azure::{
            bed::{Look, Told},
            machines::{Machine, Operation},
        },
        effect::Effect,
        event::{Fact, Trouble},
        trial::{Fault, TrialId, Victim},
    },
};

/// How long after a look that failed there is another: somebody may have signed in.
const AGAIN: [Duration; 4] = [
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(180),
    Duration::from_secs(300),
];

/// Does what is asked of Azure's machines until the run is closed.
pub fn start(
    office: Arc<Office>,
    sink: Sink,
    mut orders: mpsc::Receiver<Effect>,
    closing: CancellationToken,
    read_only: bool,
) {
    let (looks, looking) = mpsc::channel(8);
    let lookout = lookout::keep(Arc::clone(&office), sink.clone(), looking);
    tokio::spawn(closing.clone().run_until_cancelled_owned(lookout));
    let hands = Arc::new(Hands {
        office,
        looks,
        sink,
        read_only,
        bed: Mutex::default(),
    });
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let (hands, closing) = (Arc::clone(&hands), closing.clone());
            // What is in flight ends with the cockpit; Azure goes on by itself.
            tokio::spawn(async move {
                let _ = closing.run_until_cancelled(hands.carry_out(order)).await;
            });
        }
    });
}

/// Whether what Azure's support says is yet to be said where `state` is kept; from
/// now on it is not.
pub fn warn(state: &StateDir) -> bool {
    let file = mark(state);
    if file.exists() {
        return false;
    }
    let made = file.parent().map_or(Ok(()), fs::create_dir_all);
    // Who cannot remember says it again.
    let _ = made.and_then(|()| fs::write(file, ""));
    true
}

fn mark(state: &StateDir) -> PathBuf {
    state.path().join("azure").join("warned-of-machines")
}

/// A test bed that somebody is signed in to.
struct Bed {
    client: Client,
    paths: Paths,
    cluster: String,
}

impl Bed {
    async fn machines(&self) -> Result<Vec<Machine>> {
        let Self {
            client,
            paths,
            cluster,
        } = self;
        match machines::power(client, paths, cluster).await? {
            None => bail!(
                "there is no cluster {cluster} in {}, which the settings name",
                paths.group
            ),
            Some(power) if power == "Stopped" => {
                bail!("the cluster {cluster} is stopped; `aks-tui cluster start` starts it")
            }
            Some(_) => Ok(list(client, paths, cluster).await?),
        }
    }
}

struct Hands {
    office: Arc<Office>,
    looks: mpsc::Sender<Look>,
    sink: Sink,
    read_only: bool,
    bed: Mutex<Option<Arc<Bed>>>,
}

impl Hands {
    async fn carry_out(&self, order: Effect) -> Result<(), Closed> {
        match order {
            Effect::LookAtMachines => self.look().await,
            Effect::LookAtAzure(look) => self.looks.send(look).await.map_err(|_| Closed),
            Effect::Inject {
                trial,
                fault,
                victim,
                ..
            } => self.inject(trial, fault, victim).await,
            Effect::Heal { trial, victim, .. } => self.heal(trial, &victim).await,
            Effect::HealLeftovers => self.heal_leftovers().await,
            _ => Ok(()),
        }
    }

    /// Signs in, once it is needed.
    async fn bed(&self) -> Result<Arc<Bed>> {
        let mut bed = self.bed.lock().await;
        if let Some(bed) = &*bed {
            return Ok(Arc::clone(bed));
        }
        let settings = self.office.config.load()?;
        let client = self.office.sign_in(&settings).await?;
        let paths = super::paths(&client, &settings).await?;
        let found = Arc::new(Bed {
            client,
            paths,
            cluster: settings.cluster.name,
        });
        *bed = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Looks at the machines, until they can be seen.
    async fn look(&self) -> Result<(), Closed> {
        if mark(&self.office.state).exists() {
            self.sink.send(Fact::Bed(Told::Warned)).await?;
        }
        for tried in 0.. {
            let Err(error) = self.see().await? else {
                return Ok(());
            };
            tracing::debug!("the machines of the nodes cannot be seen: {error:#}");
            let why_not = Some(format!("{error:#}"));
            self.say_able(why_not).await?;
            tokio::time::sleep(AGAIN[tried.min(AGAIN.len() - 1)]).await;
        }
        Ok(())
    }

    /// Looks at the machines and tells of them.
    async fn see(&self) -> Result<Result<()>, Closed> {
        let seen = async { self.bed().await?.machines().await };
        let machines = match seen.await {
            Ok(machines) => machines,
            Err(error) => return Ok(Err(error)),
        };
        self.sink.send(Fact::Bed(Told::Machines(machines))).await?;
        self.say_able(None).await?;
        Ok(Ok(()))
    }

    async fn say_able(&self, why_not: Option<String>) -> Result<(), Closed> {
        let ability = Ability::Machines;
        self.sink.send(Fact::Able { ability, why_not }).await
    }

    async fn inject(&self, trial: TrialId, fault: Fault, victim: Victim) -> Result<(), Closed> {
        let role = victim.role;
        let done = match self.find(fault, &victim).await {
            Ok((bed, machine, operation)) => {
                let injected = Fact::FaultInjected {
                    trial,
                    fault,
                    victim,
                    lasts: None,
                };
                // Whoever confirmed this has read it.
                warn(&self.office.state);
                self.sink.send(Fact::Bed(Told::Warned)).await?;
                self.sink.send(injected).await?;
                let done = operate(&bed.client, &machine, operation, &mut |_| {}).await;
                if let Err(error) = self.see().await? {
                    tracing::warn!("the machines of the nodes cannot be seen: {error:#}");
                }
                done.map_err(|failure| failure.to_string())
            }
            Err(why) => Err(why),
        };
        match done {
            Ok(()) => Ok(()),
            Err(reason) => {
                let refused = Fact::FaultRefused {
                    trial,
                    fault,
                    role,
                    reason,
                };
                self.sink.send(refused).await
            }
        }
    }

    /// The machine of the victim's node as it is now, and what is to be done to it.
    async fn find(
        &self,
        fault: Fault,
        victim: &Victim,
    ) -> Result<(Arc<Bed>, Machine, Operation), String> {
        self.may_act()?;
        let operation = fault
            .by_azure()
            .ok_or_else(|| format!("{fault} is nothing that Azure does"))?;
        let found = async {
            let bed = self.bed().await?;
            let machine = machine_of(&bed, victim).await?;
            Ok::<_, color_eyre::Report>((bed, machine))
        };
        let (bed, machine) = found.await.map_err(|error| format!("{error:#}"))?;
        Ok((bed, machine, operation))
    }

    fn may_act(&self) -> Result<(), String> {
        if self.read_only {
            return Err("this cockpit is read-only; start it without --read-only".to_owned());
        }
        Ok(())
    }

    /// Starts the machine of the victim's node, and whichever other is off. It may
    /// say yet that it runs: what switches it off may be on its way.
    async fn heal(&self, trial: TrialId, victim: &Victim) -> Result<(), Closed> {
        self.sink.send(Fact::HealSent { trial }).await?;
        let healed = async {
            self.may_act()?;
            let started = async {
                let bed = self.bed().await?;
                let first = machine_of(&bed, victim).await?;
                start_all(&bed, vec![first]).await?;
                start_what_is_off(&bed).await
            };
            started.await.map_err(|error| format!("{error:#}"))
        };
        match healed.await {
            Ok(()) => {
                self.sink.send(Fact::Healed { trial }).await?;
                self.tell_machines().await
            }
            Err(why) => {
                let what = format!("trial {trial} is not healed yet: {why}");
                let trouble = Trouble::new(what, "it is tried again every few seconds");
                self.sink.send(Fact::Trouble(trouble)).await
            }
        }
    }

    async fn heal_leftovers(&self) -> Result<(), Closed> {
        // Where Azure was never looked at there is nothing of it to heal.
        let Some(bed) = self.bed.lock().await.clone() else {
            return Ok(());
        };
        let healed = match self.may_act() {
            Ok(()) => start_what_is_off(&bed)
                .await
                .map_err(|error| format!("{error:#}")),
            Err(why) => Err(why),
        };
        if let Err(why) = healed {
            let what = format!("not every node is started: {why}");
            let trouble = Trouble::new(what, "try again");
            self.sink.send(Fact::Trouble(trouble)).await?;
        }
        self.tell_machines().await
    }

    async fn tell_machines(&self) -> Result<(), Closed> {
        if let Err(error) = self.see().await? {
            self.say_able(Some(format!("{error:#}"))).await?;
        }
        Ok(())
    }
}

async fn machine_of(bed: &Bed, victim: &Victim) -> Result<Machine> {
    let node = victim.node.as_deref().unwrap_or_default();
    let machines = bed.machines().await?;
    let found = machines.into_iter().find(|machine| machine.node == node);
    match found {
        Some(machine) => Ok(machine),
        None => bail!("the cluster {} has no node {node} any more", bed.cluster),
    }
}

async fn start_what_is_off(bed: &Bed) -> Result<()> {
    let off = bed.machines().await?;
    start_all(bed, off.into_iter().filter(Machine::is_off).collect()).await
}

async fn start_all(bed: &Bed, machines: Vec<Machine>) -> Result<()> {
    let started = machines
        .iter()
        .map(async |machine| operate(&bed.client, machine, Operation::Start, &mut |_| {}).await);
    for started in join_all(started).await {
        started?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azures_support_says_is_said_once_wherever_state_is_kept() {
        let (mine, demos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, demos) = (StateDir::at(mine.path()), StateDir::at(demos.path()));
        assert!(warn(&demos) && !warn(&demos));
        assert!(warn(&mine), "the demo's is not mine");
    }
}
