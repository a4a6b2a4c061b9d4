//! The whole path without a screen: wait for steady state, kill, wait, kill
//! again; then end the run and compare the totals, or leave.
//!
//! It presses the same keys as a person: everything it does is an
//! [`Action`], so what it proves holds for the cockpit too.

mod outcome;

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use clap::builder::PossibleValue;
use color_eyre::eyre::{Report, Result, bail, eyre};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::outcome::{Outcome, TrialOutcome};
use crate::{
    app::{
        attend::{Attendant, Need, heal_before_leaving},
        wires::Wires,
    },
    commands::complain,
    core::{
        action::{Action, Target},
        around::Ability,
        azure::machines::Operation,
        effect::Effect,
        event::{Event, Fact, Trouble},
        model::{Model, pods},
        time::Time,
        trial::{Fault, Trial, TrialId},
        update::{
            fault::has_machines,
            ui::{Confirm, Demand, Dialog, FaultMenu, Lots, Ui},
            update,
        },
        workload::Role,
    },
};

/// How long the workload may take until both sides do new work.
const STEADY_WITHIN: Duration = Duration::from_secs(90);

/// How long a trial may take that nobody gives up.
const HANGS: Duration = Duration::from_mins(20);

/// How long the last round may take.
const FINISHED_WITHIN: Duration = Duration::from_secs(300);

/// How long one who waits for a single kill waits for a victim.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// How often a refused kill is tried again: a victim that is on its way out is
/// replaced in this time.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which faults are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// This one.
    One(Fault),
    /// One of the kills of a process or a pod each time.
    Mixed,
}

impl clap::ValueEnum for Faults {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Faults; Fault::ALL.len() + 1] = {
            let mut all = [Faults::Mixed; Fault::ALL.len() + 1];
            let mut i = 0;
            while i < Fault::ALL.len() {
                all[i] = Faults::One(Fault::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::One(fault) => PossibleValue::new(fault.word()).help(fault.describe()),
            Self::Mixed => PossibleValue::new("mixed")
                .help("kill -9 or kill the process or delete the pod, drawn each time"),
        })
    }
}

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Targets {
    /// The client.
    Client,
    /// The server.
    Server,
    /// One of the two each time.
    Random,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many kills.
    pub kills: usize,
    /// Which.
    pub faults: Faults,
    /// Whom.
    pub targets: Targets,
    /// Pause between the end of a trial and the next kill.
    pub every: Duration,
    /// How long a recovery may take.
    pub within: Duration,
    /// Determines every draw of lots.
    pub seed: u64,
    /// How long a fault that does not end by itself lasts.
    pub lasts: Duration,
    /// Whatever is asked before a fault is answered with yes.
    pub yes: bool,
    /// What comes after the last trial.
    pub ending: Ending,
}

/// What comes after the last trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The workload is asked to finish, and its totals are compared.
    FinishRun,
    /// The workload is left as it is.
    Leave,
}

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until both sides do new work.
    Settling,
    /// Until the next kill.
    Pausing(Instant),
    /// Until a fault is asked about, and may be confirmed.
    Confirming(TrialId),
    /// Until this trial is over.
    Trying(TrialId),
    /// Until both sides said DONE.
    Finishing,
    /// No longer.
    Done,
}

/// Runs a plan to its end.
pub struct Runner {
    plan: Plan,
    wires: Wires,
    model: Model,
    ui: Ui,
    lots: Lots,
    attendant: Attendant,
    stage: Stage,
    deadline: Instant,
    /// What was last said of a trial.
    told: Option<(TrialId, &'static str)>,
    bar: ProgressBar,
}

impl Runner {
    /// A runner at the beginning of its plan.
    pub fn new(plan: Plan, wires: Wires) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(plan.kills as u64)
        } else {
            ProgressBar::with_draw_target(Some(plan.kills as u64), ProgressDrawTarget::hidden())
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} kills  {msg}") {
            bar.set_style(style);
        }
        let mut ui = Ui::new(plan.seed);
        ui.lasts = plan.lasts;
        Self {
            ui,
            told: None,
            lots: Lots(plan.seed),
            attendant: Attendant::new(plan.within),
            plan,
            wires,
            model: Model::default(),
            stage: Stage::Settling,
            deadline: Instant::now() + STEADY_WITHIN,
            bar,
        }
    }

    /// Runs until the end, a failure that makes going on pointless, or `stop`.
    /// Returns what came of it, and why it is not the whole plan.
    pub async fn run(mut self, stop: impl Future<Output = Report>) -> (Outcome, Option<Report>) {
        let failure = self.carry_out(stop).await.err();
        heal_before_leaving(&mut self.model, &mut self.wires).await;
        self.bar.finish_and_clear();
        (Outcome::of(&self.model), failure)
    }

    async fn carry_out(&mut self, stop: impl Future<Output = Report>) -> Result<()> {
        self.say("waiting for both sides to do new work");
        tokio::pin!(stop);
        while !self.is_finished() {
            let wake = match self.stage {
                Stage::Pausing(until) => until,
                _ => Instant::now() + Duration::from_millis(200),
            };
            tokio::select! {
                why = &mut stop => return Err(why),
                batch = self.wires.batches.recv() => match batch {
                    Some(batch) => self.fold(&batch),
                    None => bail!("the cluster adapter ended"),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.attend();
            self.step()?;
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let broken = self
            .model
            .ledger
            .trials()
            .last()
            .is_some_and(|trial| trial.state.is_over() && !trial.survived());
        broken && self.model.ledger.unhealed().is_none()
            || self.stage == Stage::Done
            || self.stage == Stage::Finishing
                && Role::ALL.iter().all(|role| self.model.side(*role).done)
    }

    fn fold(&mut self, batch: &[Event]) {
        for event in batch {
            self.model.apply(event);
            if let Fact::Trouble(Trouble { what, next }) = &event.fact {
                self.say(&format!("{what} {}", next.as_deref().unwrap_or_default()));
            }
        }
        self.ui.sync(&self.model);
        self.tell_state();
    }

    /// Says where the newest trial stands, whenever it stands elsewhere.
    fn tell_state(&mut self) {
        let Some(trial) = self.model.ledger.trials().last() else {
            return;
        };
        let (id, state) = (trial.id, trial.state.name());
        if self.told == Some((id, state)) || trial.state.is_over() {
            return;
        }
        self.told = Some((id, state));
        let after = self.model.now.since(trial.marks.injected);
        let text = format!("{id} {state} +{:.0} ms", after.as_secs_f64() * 1e3);
        if self.plan.ending == Ending::Leave {
            self.say(&text);
        }
        self.bar.set_message(text);
    }

    /// Both sides do new work, or the original image's client ended a round.
    fn is_steady(&self) -> bool {
        let fresh = |role: &Role| self.model.side(*role).fresh.is_some();
        let runs = |role: &Role| self.model.pods.playing(*role).is_some_and(pods::runs);
        Role::ALL.iter().all(fresh)
            || !self.model.rounds.is_empty()
                && Role::ALL.iter().all(runs)
                && !Role::ALL.iter().any(fresh)
    }

    fn attend(&mut self) {
        match self.attendant.attend(&self.model, self.now()) {
            Some(Need::Effect(effect)) => self.send(effect),
            Some(Need::Fact(fact)) => self.wires.tell(fact),
            None => {}
        }
    }

    fn step(&mut self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(self.too_late());
        }
        match self.stage {
            Stage::Settling => {
                if self.is_steady() {
                    self.say("steady state");
                    self.pause();
                }
            }
            Stage::Pausing(until) if Instant::now() >= until => self.next()?,
            Stage::Confirming(id) => self.confirm(id)?,
            Stage::Trying(id) => {
                if let Some(trial) = self
                    .model
                    .ledger
                    .get(id)
                    .filter(|trial| is_settled(trial, self.now()) && !trial.is_unhealed())
                {
                    let took = trial.recovery_time().unwrap_or_default();
                    let text = format!(
                        "{} {} {}: {} in {:.0} ms",
                        trial.id,
                        trial.fault,
                        trial.role,
                        trial.state.name(),
                        took.as_secs_f64() * 1e3
                    );
                    self.bar.inc(1);
                    self.say(&text);
                    self.pause();
                }
            }
            Stage::Pausing(_) | Stage::Finishing | Stage::Done => {}
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.stage = Stage::Pausing(Instant::now() + self.plan.every);
        let found = match self.plan.ending {
            Ending::Leave if !has_machines(&self.model) => FOUND_WITHIN,
            // Whoever asks Azure for its machines signs in first.
            Ending::FinishRun | Ending::Leave => STEADY_WITHIN,
        };
        self.deadline = Instant::now() + self.plan.every + found;
    }

    /// The next kill, or the end of the run.
    fn next(&mut self) -> Result<()> {
        if self.model.ledger.summary().kills >= self.plan.kills {
            if self.plan.ending == Ending::Leave {
                self.stage = Stage::Done;
                return Ok(());
            }
            self.say("all kills are done: the present round is the last");
            return self.finish();
        }
        let before = self.lots;
        let (fault, target) = self.draw();
        let id = self.model.ledger.next_id();
        self.press(Action::Aim(target));
        let sent = self.press(Action::Inject(fault)).is_some();
        if self.confirm_is_open() {
            self.stage = Stage::Confirming(id);
        } else if sent {
            self.try_it(id);
        } else {
            if fault.by_azure().is_some()
                && let Some(Some(why)) = self.model.around.abilities.get(&Ability::Machines)
            {
                bail!("{fault} is not possible: {why}");
            }
            // The same lot again, once the obstacle is gone.
            self.lots = before;
            self.stage = Stage::Pausing(Instant::now() + PATIENCE);
        }
        Ok(())
    }

    fn try_it(&mut self, id: TrialId) {
        self.stage = Stage::Trying(id);
        // The trial has a deadline of its own; this one catches a hang.
        self.deadline = Instant::now() + HANGS;
    }

    fn confirm_is_open(&self) -> bool {
        matches!(&self.ui.dialog, Some(Dialog::Fault(menu)) if menu.confirm.is_some())
    }

    /// Answers the question that stands before a fault.
    fn confirm(&mut self, id: TrialId) -> Result<()> {
        let Some(Dialog::Fault(FaultMenu {
            confirm: Some(confirm),
            ..
        })) = &self.ui.dialog
        else {
            self.stage = Stage::Pausing(Instant::now() + PATIENCE);
            return Ok(());
        };
        if confirm.demand == Demand::Wait {
            return Ok(());
        }
        if !self.plan.yes {
            bail!(
                "{} is more than aks-tui does unasked: say --yes if it is meant",
                self.meant(confirm)
            );
        }
        if let Demand::Name(name) = confirm.demand.clone() {
            for letter in name.chars() {
                self.press(Action::Type(letter));
            }
        }
        if self.press(Action::Accept).is_some() {
            self.try_it(id);
        } else {
            self.stage = Stage::Pausing(Instant::now() + PATIENCE);
        }
        Ok(())
    }

    /// What a fault would hit, in words.
    fn meant(&self, confirm: &Confirm) -> String {
        let Confirm { fault, victim, .. } = confirm;
        let (namespace, pod) = (&victim.namespace, &victim.pod);
        let residents = |node| self.model.around.residents.get(node);
        match victim.node.as_ref().filter(|_| fault.hits_node()) {
            Some(node) => {
                let pods = residents(node).map_or(0, |(_, residents)| residents.pods.len());
                let what = fault.by_azure().map_or("power off", Operation::words);
                format!("to {what} {node} with {pods} pods on it")
            }
            None => format!(
                "{} in {namespace}/{pod}, which it did not make,",
                fault.describe()
            ),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.press(Action::FinishRun)
            .ok_or_else(|| eyre!("the run cannot be ended: {}", self.notice()))?;
        self.stage = Stage::Finishing;
        self.deadline = Instant::now() + FINISHED_WITHIN;
        Ok(())
    }

    fn draw(&mut self) -> (Fault, Target) {
        let fault = match self.plan.faults {
            Faults::One(fault) => fault,
            Faults::Mixed => Fault::MIXED[(self.lots.draw() % Fault::MIXED.len() as u64) as usize],
        };
        let target = match self.plan.targets {
            Targets::Client => Target::Role(Role::Client),
            Targets::Server => Target::Role(Role::Server),
            Targets::Random => Target::Role(self.lots.role()),
        };
        (fault, target)
    }

    /// Does what a key would do, and sends the effect, if there is one.
    fn press(&mut self, action: Action) -> Option<()> {
        let now = self.now();
        let effects = update(&mut self.ui, &self.model, now, action);
        let any = (!effects.is_empty()).then_some(());
        for effect in effects {
            self.send(effect);
        }
        any
    }

    fn send(&self, effect: Effect) {
        if self.wires.effects.try_send(effect).is_err() {
            self.say("the cluster adapter takes no more wishes");
        }
    }

    fn notice(&self) -> &str {
        self.ui
            .notice
            .as_ref()
            .map_or("no reason was given", |notice| &notice.text)
    }

    fn too_late(&self) -> Report {
        let feeds = self
            .model
            .broken()
            .map(|(feed, why, _)| format!("{}: {why}", feed.name()));
        let why = feeds.or_else(|| self.ui.notice.as_ref().map(|notice| notice.text.clone()));
        let why = why.map_or(String::new(), |why| format!(" ({why})"));
        match self.stage {
            Stage::Settling => {
                eyre!("no steady state within {} s{why}", STEADY_WITHIN.as_secs())
            }
            Stage::Pausing(_) => eyre!("no victim could be found{why}"),
            Stage::Confirming(_) => eyre!("nobody said what the fault would hit{why}"),
            Stage::Done => eyre!("all is done{why}"),
            Stage::Trying(id) => eyre!("trial {id} did not end{why}"),
            Stage::Finishing => {
                eyre!(
                    "the last round did not end within {} s{why}",
                    FINISHED_WITHIN.as_secs()
                )
            }
        }
    }

    fn now(&self) -> Time {
        self.wires.now(&self.model)
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            complain(&format!("{} {text}", self.now()));
        } else {
            self.bar.println(format!("{} {text}", self.now()));
        }
    }
}

/// How long the process id after a recovery is waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Whether a trial is over and its proof is complete: the process id after the
/// recovery is part of it, but no cluster must answer.
fn is_settled(trial: &Trial, now: Time) -> bool {
    trial.state.is_over()
        && (trial.pid_after.is_some()
            || trial
                .marks
                .verified
                .is_none_or(|at| now.since(at) > ANSWERED_WITHIN))
}
