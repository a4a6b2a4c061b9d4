//! A conversation with a cluster about a deployment: wishes go out, facts come
//! back and are folded, and a person is told what is new in them.

use std::time::Duration;

use color_eyre::eyre::{Result, bail, eyre};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster,
        sink::{Clock, Sink},
    },
    cli::{CLIENT, SERVER},
    core::{
        deploy::{Plan, Stage, silence},
        effect::Effect,
        event::{Event, Fact},
        model::Model,
        time::Time,
        workload::{FAREWELL, GREETING, Role, SERVER_GREETING, Workload},
    },
};

/// Facts that may wait to be heard.
const FACTS: usize = 1_024;

/// How long it may take to work out a plan: a dozen requests and, before them,
/// a credential plug-in.
const PLANNED_WITHIN: Duration = Duration::from_mins(2);

/// The two ends of a conversation.
pub(in crate::commands) struct Talk {
    model: Model,
    facts: mpsc::Receiver<Event>,
    effects: mpsc::Sender<Effect>,
    cancel: CancellationToken,
    adapter: JoinHandle<()>,
    done: bool,
    unheard: Vec<Fact>,
}

impl Talk {
    /// Begins one with the cluster that `options` name.
    pub(in crate::commands) fn with(options: cluster::Options) -> Self {
        let (facts_in, facts) = mpsc::channel(FACTS);
        let (effects, effects_out) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let sink = Sink::new(Clock::starting_at(Time::ZERO), facts_in);
        let adapter = cluster::start(options, sink, effects_out, cancel.clone());
        Self {
            model: Model::default(),
            facts,
            effects,
            cancel,
            adapter,
            done: false,
            unheard: Vec::new(),
        }
    }

    /// Begins one about `workload`: its pods are the ones that are heard, unless
    /// `options` name others.
    pub(in crate::commands) fn about(workload: Workload, mut options: cluster::Options) -> Self {
        for (role, selector, usual) in [
            (Role::Client, &mut options.client_selector, CLIENT),
            (Role::Server, &mut options.server_selector, SERVER),
        ] {
            if selector.is_empty() || selector == usual {
                *selector = workload.selector(role);
            }
        }
        Self::with(options)
    }

    /// What would be done.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub(in crate::commands) async fn plan(&mut self, wish: Effect) -> Result<Plan> {
        self.wish(wish).await?;
        let until = Instant::now() + PLANNED_WITHIN;
        let mut begun = false;
        loop {
            match self.next(until).await? {
                Some(fact) => begun |= fact == Fact::DeployPlanning,
                None => bail!(
                    "the cluster has not answered within {} s",
                    PLANNED_WITHIN.as_secs()
                ),
            }
            // The plan of an earlier wish is none of this one's.
            if !begun {
                continue;
            }
            match (&self.model.deploy.stage, &self.model.deploy.plan) {
                (Stage::Planned, Some(plan)) => return Ok(Plan::clone(plan)),
                (Stage::Failed { why, next }, _) => return Err(failure(why, next.as_deref())),
                _ => {}
            }
        }
    }

    /// Does it, and gives how it stands when `enough` says so or it is over;
    /// `say` is told what happens meanwhile.
    ///
    /// # Errors
    /// Why it did not work out.
    pub(in crate::commands) async fn carry_out(
        &mut self,
        wish: Effect,
        within: Duration,
        enough: impl Fn(&Stage) -> bool,
        mut say: impl FnMut(&str),
    ) -> Result<Stage> {
        self.wish(wish).await?;
        // The adapter's own limit comes first, and says more.
        let until = Instant::now() + within + PLANNED_WITHIN;
        let mut spoken = None;
        loop {
            if self.model.deploy.stage == Stage::Working {
                spoken.get_or_insert_with(|| Instant::now() + within);
            }
            let limit = spoken.unwrap_or(until);
            let Some(fact) = self.next(limit).await? else {
                return Err(self.silence(within));
            };
            if let Some(text) = news(&fact) {
                say(&text);
            }
            let stage = &self.model.deploy.stage;
            if let Stage::Failed { why, next } = stage {
                return Err(failure(why, next.as_deref()));
            }
            if stage.is_over() || enough(stage) {
                return Ok(stage.clone());
            }
        }
    }

    /// Nothing was heard of new work.
    fn silence(&self, within: Duration) -> color_eyre::eyre::Report {
        let heard = silence(&self.model);
        eyre!(
            "rolled out, but the client has done no new work within {} s: {heard}",
            within.as_secs()
        )
    }

    /// Asks for something without waiting for what comes of it.
    ///
    /// # Errors
    /// The adapter ended.
    pub(in crate::commands) async fn wish(&self, wish: Effect) -> Result<()> {
        let sent = self.effects.send(wish).await;
        sent.map_err(|_| eyre!("the cluster adapter ended"))
    }

    /// The next fact, folded; none if none comes in time.
    async fn next(&mut self, until: Instant) -> Result<Option<Fact>> {
        match timeout_at(until, self.facts.recv()).await {
            Ok(Some(event)) => {
                self.model.apply(&event);
                self.note(&event.fact);
                Ok(Some(event.fact))
            }
            Ok(None) => bail!("the cluster adapter ended"),
            Err(_) => Ok(None),
        }
    }

    /// Waits until something happens.
    ///
    /// # Errors
    /// The adapter ended.
    pub(in crate::commands) async fn listen(&mut self) -> Result<()> {
        while self.next(Instant::now() + PLANNED_WITHIN).await?.is_none() {}
        Ok(())
    }

    /// What the workload has said that was not taken yet: rounds, recoveries, words.
    pub(in crate::commands) fn unheard(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.unheard)
    }

    /// Whether the client that speaks has said that its work is done.
    pub(in crate::commands) const fn is_done(&self) -> bool {
        self.done
    }

    /// Whether it is AMBROSIA's own.
    pub(in crate::commands) fn is_original(&self) -> bool {
        let plan = self.model.deploy.plan.as_ref();
        plan.is_some_and(|plan| plan.order.is_original())
    }

    /// The bytes that it then said came back.
    pub(in crate::commands) fn total(&self) -> Option<u64> {
        self.model.sides[Role::Client as usize].total
    }

    fn note(&mut self, fact: &Fact) {
        match fact {
            // What another pod said before is not this one's word.
            Fact::LogBegan {
                role: Role::Client,
                restart: 0,
                ..
            } => {
                self.done = false;
                self.unheard.clear();
            }
            Fact::Done { role: Role::Client } => self.done = true,
            Fact::Log { role, lines } => {
                let said = |word: &str| lines.iter().any(|line| line.text.starts_with(word));
                self.done |= *role == Role::Client && said(FAREWELL);
                if said(GREETING) || said(SERVER_GREETING) {
                    self.unheard.push(fact.clone());
                }
            }
            Fact::Round { .. }
            | Fact::RoundEnd { .. }
            | Fact::Recovered { .. }
            | Fact::OutOfOrder { .. }
            | Fact::Trouble(_) => {
                self.unheard.push(fact.clone());
            }
            _ => {}
        }
    }

    /// Ends the conversation.
    pub(in crate::commands) async fn end(self) {
        self.cancel.cancel();
        drop(self.facts);
        if let Err(error) = self.adapter.await {
            tracing::error!(%error, "the cluster adapter died");
        }
    }
}

fn failure(why: &str, next: Option<&str>) -> color_eyre::eyre::Report {
    match next {
        Some(next) => eyre!("{why}; {next}"),
        None => eyre!("{why}"),
    }
}

/// What a person is told of a fact.
fn news(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::DeployApplied { object } => format!("done     {object}"),
        Fact::Rollout(progress) if progress.ready => format!("ready    the {}", progress.role),
        Fact::Rollout(progress) => {
            let what = progress.waits_for.as_deref().unwrap_or("a while");
            format!("waits    the {} for {what}", progress.role)
        }
        Fact::RolledOut { client } => format!("rollout  complete; {client} has the word"),
        _ => return None,
    })
}
