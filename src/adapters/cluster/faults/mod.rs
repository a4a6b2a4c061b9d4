//! What the cockpit does to pods: faults, and two questions to the workload.
//!
//! The clock of a trial starts before the request is sent, because the answer
//! of an exec often dies with the container it was run in. So an answer that
//! never comes counts as sent; only a definite refusal takes the fault back.

mod process;
mod volume;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::{sync::watch, time::sleep};

use self::process::{complaint, judge, pid_of};
use super::{
    Context,
    access::Session,
    cast::{Cast, Player},
    chaos, deploy,
    exec::{self, NoOutput, Output, Place},
    nodes,
};
use crate::{
    adapters::sink::Closed,
    core::{
        around::Residents,
        effect::Effect,
        event::{Fact, Trouble},
        trial::{Fault, TrialId, Victim},
        workload::Role,
    },
};

/// How long a question to a container may take.
const ASK: Duration = Duration::from_secs(5);

/// How long a pod about to be deleted is asked for its process id: a nicety.
const ASK_BRIEFLY: Duration = Duration::from_secs(1);

/// How long the answer to a kill is waited for.
const KILL: Duration = Duration::from_secs(10);

/// How often, and how long apart, a recovered role is asked for its process id.
const PID_AFTER: (u32, Duration) = (20, Duration::from_millis(250));

/// Carries out one effect and answers with facts.
pub async fn carry_out(
    context: Arc<Context>,
    cast: watch::Receiver<Cast>,
    effect: Effect,
) -> Result<(), Closed> {
    let hand = Hand { context, cast };
    match effect {
        Effect::Inject {
            trial,
            fault,
            victim,
            lasts,
        } => {
            hand.inject(Order {
                trial,
                fault,
                victim,
                lasts,
            })
            .await
        }
        Effect::Heal {
            trial,
            fault,
            victim,
        } => hand.heal(trial, fault, &victim).await,
        Effect::LookAtNode { node } => hand.look_at(node).await,
        Effect::LookForVolumes { victims } => hand.look_for_volumes(victims).await,
        Effect::HealLeftovers => hand.heal_leftovers().await,
        Effect::AskPid { trial, role } => hand.ask_pid(trial, role).await,
        Effect::FinishRun { victim } => hand.finish(&victim).await,
        Effect::PressEnter => hand.press_enter().await,
        Effect::PlanDeploy(request) => deploy::plan_deploy(&hand.context, &request).await,
        Effect::Deploy {
            plan,
            force,
            within,
        } => deploy::deploy(&hand.context, &plan, force, within).await,
        Effect::PlanUndeploy { workload, storage } => {
            deploy::plan_undeploy(&hand.context, workload, storage).await
        }
        Effect::PlanSweep { workload } => deploy::plan_sweep(&hand.context, workload).await,
        Effect::Sweep { plan, within } => deploy::sweep(&hand.context, &plan, within).await,
        Effect::Undeploy { plan, within } => deploy::undeploy(&hand.context, &plan, within).await,
        Effect::Reconnect => {
            hand.context.reconnect().await;
            Ok(())
        }
        // The application's own, and Azure's.
        Effect::Azure(_)
        | Effect::LookAtMachines
        | Effect::LookAtAzure(_)
        | Effect::Connect(_)
        | Effect::OwnLog(_)
        | Effect::Copy(_)
        | Effect::Suspend
        | Effect::Redraw
        | Effect::Quit => Ok(()),
    }
}

/// What is to be done, to whom, for how long.
struct Order {
    trial: TrialId,
    fault: Fault,
    victim: Victim,
    lasts: Option<Duration>,
}

/// Nothing came of a fault, and why: an answer for the screen.
type Outcome = Result<(), String>;

struct Hand {
    context: Arc<Context>,
    cast: watch::Receiver<Cast>,
}

impl Hand {
    async fn inject(&self, order: Order) -> Result<(), Closed> {
        let (trial, fault, role) = (order.trial, order.fault, order.victim.role);
        let outcome = match fault {
            Fault::ProcessKill | Fault::ProcessTerm | Fault::ContainerKill => {
                self.kill(order).await?
            }
            Fault::ProcessStop => self.stop(order).await?,
            Fault::PodDelete => self.delete(order).await?,
            Fault::DiskFill => self.fill(order).await?,
            Fault::NetworkCut | Fault::NetworkDelay | Fault::NetworkLoss => {
                self.disturb(order).await?
            }
            Fault::NodeOff => self.power_off(order).await?,
            Fault::NodeRestart
            | Fault::NodePowerOff
            | Fault::NodeDeallocate
            | Fault::NodeReimage => self
                .may_act()
                .and(Err("nobody here speaks to Azure".to_owned())),
        };
        if let Err(reason) = outcome {
            let refused = Fact::FaultRefused {
                trial,
                fault,
                role,
                reason,
            };
            self.context.sink.send(refused).await?;
        }
        Ok(())
    }

    /// Takes a fault back. What is gone needs no healing.
    async fn heal(&self, trial: TrialId, fault: Fault, victim: &Victim) -> Result<(), Closed> {
        let sink = &self.context.sink;
        sink.send(Fact::HealSent { trial }).await?;
        let healed = match fault {
            Fault::ProcessStop => self.let_go(victim).await,
            Fault::DiskFill => self.make_room(victim).await,
            Fault::NetworkCut | Fault::NetworkDelay | Fault::NetworkLoss => {
                match self.armed().await {
                    Ok(session) => chaos::heal(&session, &victim.pod_uid).await,
                    Err(why) => Err(why),
                }
            }
            Fault::NodeOff => match (self.armed().await, &victim.node) {
                (Ok(session), Some(node)) => nodes::power_on(&session, node).await,
                (Ok(_), None) => Ok(()),
                (Err(why), _) => Err(why),
            },
            // Over at once: nothing lasts. Azure's are healed by whoever asks Azure.
            Fault::ProcessKill
            | Fault::ProcessTerm
            | Fault::ContainerKill
            | Fault::PodDelete
            | Fault::NodeRestart
            | Fault::NodePowerOff
            | Fault::NodeDeallocate
            | Fault::NodeReimage => Ok(()),
        };
        match healed {
            Ok(()) => sink.send(Fact::Healed { trial }).await,
            Err(why) => {
                let what = format!("trial {trial} is not healed yet: {why}");
                let trouble = Trouble::new(what, "it is tried again every few seconds");
                sink.send(Fact::Trouble(trouble)).await
            }
        }
    }

    fn may_act(&self) -> Outcome {
        if self.context.options.read_only {
            return Err("this cockpit is read-only; start it without --read-only".to_owned());
        }
        Ok(())
    }

    /// A session to act with, unless nothing may be done.
    async fn armed(&self) -> Result<Arc<Session>, String> {
        self.may_act()?;
        self.context
            .access
            .session()
            .await
            .map_err(|failure| failure.why)
    }

    /// The victim's container that runs the program: a victim may have been
    /// named by its first container, and that may be a sidecar.
    fn aim(&self, victim: &mut Victim) {
        let cast = self.cast.borrow();
        if let Some(player) = cast.player(victim.role)
            && player.uid == victim.pod_uid
        {
            victim.container.clone_from(&player.container);
        }
    }

    async fn announce(&self, order: Order) -> Result<(), Closed> {
        let Order {
            trial,
            fault,
            victim,
            lasts,
        } = order;
        let injected = Fact::FaultInjected {
            trial,
            fault,
            victim,
            lasts,
        };
        self.context.sink.send(injected).await
    }

    async fn delete(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        self.name_process(&session, &mut order.victim).await;
        let victim = &order.victim;
        let (pod, uid) = (victim.pod.clone(), victim.pod_uid.clone());
        self.announce(order).await?;
        let pods: Api<Pod> = Api::namespaced(session.act.clone(), &session.namespace);
        let params = DeleteParams::default()
            .grace_period(0)
            .preconditions(Preconditions {
                uid: Some(uid),
                resource_version: None,
            });
        let what = format!("delete pod `{pod}`");
        let deleted = session.unary(&what, pods.delete(&pod, &params)).await;
        Ok(deleted.map(|_| ()).map_err(|failure| failure.why))
    }

    /// Disturbs the network of the victim's pod.
    async fn disturb(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        self.name_process(&session, &mut order.victim).await;
        let (trial, fault, victim) = (order.trial, order.fault, order.victim.clone());
        let lasts = order.lasts.unwrap_or(Fault::LASTS);
        self.announce(order).await?;
        Ok(chaos::disturb(&session, trial, fault, &victim, lasts).await)
    }

    /// Switches off the node that the victim runs on.
    async fn power_off(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(node) = order.victim.node.clone() else {
            return Ok(Err(format!("pod `{}` is on no node", order.victim.pod)));
        };
        self.name_process(&session, &mut order.victim).await;
        self.announce(order).await?;
        Ok(nodes::power_off(&session, &node).await)
    }

    /// Asks which process the victim is, if it answers soon: a nicety.
    async fn name_process(&self, session: &Session, victim: &mut Victim) {
        self.aim(victim);
        let place = Place::of(victim);
        victim.pid = pid_of(session, place, victim.role, ASK_BRIEFLY).await.ok();
    }

    async fn look_at(&self, node: String) -> Result<(), Closed> {
        let residents = match self.context.access.session().await {
            Ok(session) => nodes::residents(&session, &node).await,
            Err(failure) => Residents {
                pods: Vec::new(),
                unseen: Some(failure.why),
            },
        };
        let fact = Fact::OnNode { node, residents };
        self.context.sink.send(fact).await
    }

    /// Takes back what earlier runs left in force.
    async fn heal_leftovers(&self) -> Result<(), Closed> {
        let healed = async {
            let session = self.armed().await?;
            nodes::power_on_all(&session).await?;
            chaos::heal_all(&session).await
        };
        let fact = match healed.await {
            Ok(()) => Fact::Leftovers { what: Vec::new() },
            Err(why) => Fact::Trouble(Trouble::new(
                format!("not everything is healed: {why}"),
                "try again",
            )),
        };
        self.context.sink.send(fact).await
    }

    async fn ask_pid(&self, trial: TrialId, role: Role) -> Result<(), Closed> {
        let (attempts, apart) = PID_AFTER;
        for _ in 0..attempts {
            if let (Some(player), Ok(session)) =
                (self.player(role), self.context.access.session().await)
            {
                let place = Place {
                    pod: &player.pod,
                    container: &player.container,
                };
                if let Ok(pid) = pid_of(&session, place, role, ASK).await {
                    return self.context.sink.send(Fact::PidAfter { trial, pid }).await;
                }
            }
            sleep(apart).await;
        }
        tracing::warn!(%trial, %role, "the recovered process was not found");
        Ok(())
    }

    async fn finish(&self, victim: &Victim) -> Result<(), Closed> {
        let fact = match self.ask_to_finish(victim).await {
            Ok(()) => Fact::FinishRequested,
            Err(reason) => Fact::Trouble(Trouble::new(
                format!("the {} could not be asked to finish: {reason}", victim.role),
                "try again, or let it run",
            )),
        };
        self.context.sink.send(fact).await
    }

    async fn ask_to_finish(&self, victim: &Victim) -> Result<(), String> {
        let session = self.armed().await?;
        // The one that was meant may have been replaced meanwhile; the run is
        // the same.
        let player = self.player(victim.role);
        let place = player.as_ref().map_or(
            Place {
                pod: &victim.pod,
                container: &victim.container,
            },
            |player| Place {
                pod: &player.pod,
                container: &player.container,
            },
        );
        let command = format!("kill -USR1 $(pidof {})", victim.role.program());
        match exec::run(&session, place, &["sh", "-c", &command], KILL).await {
            // Unlike a kill, this leaves the container as it is: an answer that
            // does not come is trouble.
            Err(NoOutput::Unanswered) => Err("no answer came".to_owned()),
            Ok(Output { code, stderr, .. }) if code != 0 => Err(complaint(&command, code, &stderr)),
            other => judge(&command, other),
        }
    }

    async fn press_enter(&self) -> Result<(), Closed> {
        let pressed = async {
            let session = self.armed().await?;
            let player = self.player(Role::Client).ok_or("no pod plays it")?;
            let place = Place {
                pod: &player.pod,
                container: &player.container,
            };
            exec::press_enter(&session, place, KILL).await
        };
        match pressed.await {
            Ok(()) => Ok(()),
            Err(why) => {
                let what = format!("Enter did not reach the client: {why}");
                let trouble = Trouble::new(what, "press it again when the client is back");
                self.context.sink.send(Fact::Trouble(trouble)).await
            }
        }
    }

    fn player(&self, role: Role) -> Option<Player> {
        self.cast.borrow().player(role).cloned()
    }
}
