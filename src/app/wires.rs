//! What runs between the adapters and the loop: queues, the clock, the journal.
//!
//! ```text
//! cluster ──Event──▶ relay ──Vec<Event>──▶ loop
//!    ▲                 └─▶ journal           │
//!    └───────────────Effect──────────────────┘
//! ```

use std::{
    io::{self, Write as _},
    path::Path,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster,
        journal::{self, Ending, Journal, JournalState, Opened, Pacing, Relay, StateDir},
        sink::{Clock, Sink},
    },
    core::{
        azure::desk::Wish,
        effect::Effect,
        event::{Event, Fact, Trouble},
        model::Model,
        time::Time,
    },
};

/// Facts that may wait between an adapter and the relay.
const FACTS: usize = 1_024;

/// Batches that may wait between the relay and the loop.
const BATCHES: usize = 16;

/// Wishes that may wait for the cluster adapter.
const EFFECTS: usize = 64;

/// The loop's ends of the wires.
pub struct Wires {
    /// Facts, in the order in which they came.
    pub batches: mpsc::Receiver<Vec<Event>>,
    /// Wishes to the cluster adapter.
    pub effects: mpsc::Sender<Effect>,
    clock: Option<Clock>,
    sink: Option<Sink>,
    recording: watch::Receiver<JournalState>,
}

impl Wires {
    /// The time in the run. A run that is shown again has no clock but the
    /// times of its events.
    pub fn now(&self, model: &Model) -> Time {
        self.clock.as_ref().map_or(model.now, Clock::now)
    }

    /// Puts a fact of the loop's own on the way that all facts go.
    pub fn tell(&self, fact: Fact) {
        if let Some(sink) = self.sink.clone() {
            // The queue may be full, and the loop must not wait for itself.
            tokio::spawn(async move { sink.send(fact).await });
        }
    }

    /// What a person should know of the recording, if it is not as it should be.
    pub fn recording_badge(&self) -> Option<String> {
        match &*self.recording.borrow() {
            JournalState::Paused { why, missed } => {
                Some(format!("not recorded: {why} ({missed} facts missed)"))
            }
            JournalState::Full => Some("not recorded: the journal is full".into()),
            JournalState::Off if self.clock.is_some() => Some("not recorded".into()),
            JournalState::Recording | JournalState::Off => None,
        }
    }
}

/// The far ends: what records, and what must be put away when the loop leaves.
pub struct Run {
    /// The run's name.
    pub name: String,
    /// Stamps and carries facts.
    pub sink: Sink,
    relay: Relay,
    cancel: CancellationToken,
}

/// The place where the cluster adapter plugs in.
pub struct Socket {
    sink: Sink,
    effects: mpsc::Receiver<Effect>,
    cancel: CancellationToken,
}

impl Socket {
    /// Takes the wishes about Azure out of the stream: they are somebody else's.
    pub fn split_azure(&mut self) -> mpsc::Receiver<Wish> {
        let (rest, effects) = mpsc::channel(EFFECTS);
        let (azure, wishes) = mpsc::channel(EFFECTS);
        let mut all = std::mem::replace(&mut self.effects, effects);
        tokio::spawn(async move {
            while let Some(effect) = all.recv().await {
                let sent = match effect {
                    Effect::Azure(wish) => azure.send(wish).await.is_ok(),
                    effect => rest.send(effect).await.is_ok(),
                };
                if !sent {
                    return;
                }
            }
        });
        wishes
    }

    /// Takes the wishes about Azure's machines out of the stream; what heals
    /// everything goes both ways.
    pub fn split_machines(&mut self) -> mpsc::Receiver<Effect> {
        let (rest, effects) = mpsc::channel(EFFECTS);
        let (machines, orders) = mpsc::channel(EFFECTS);
        let mut all = std::mem::replace(&mut self.effects, effects);
        tokio::spawn(async move {
            while let Some(effect) = all.recv().await {
                let sent = if effect.is_azures() {
                    machines.send(effect).await.is_ok()
                } else {
                    let both = effect == Effect::HealLeftovers;
                    let also = !both || machines.send(effect.clone()).await.is_ok();
                    also && rest.send(effect).await.is_ok()
                };
                if !sent {
                    return;
                }
            }
        });
        orders
    }

    /// Where facts go.
    pub fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// Starts the cluster adapter here. It runs until the run is closed.
    pub fn start(self, options: cluster::Options) -> JoinHandle<()> {
        cluster::start(options, self.sink, self.effects, self.cancel)
    }

    /// Is cancelled when the run is closed.
    pub fn closing(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

/// A run that is about to begin, or to go on.
pub struct Laid {
    /// The loop's ends.
    pub wires: Wires,
    /// The recording end.
    pub run: Run,
    /// Where the cluster adapter plugs in.
    pub socket: Socket,
    /// What is known already.
    pub model: Model,
    /// Where the cockpit before this one stopped reading logs, ms since 1970.
    pub log_since_ms: Option<i64>,
}

/// Begins a new run. A journal that cannot be made is said on the screen, and
/// the run goes on without one.
pub fn begin(name: &str) -> Laid {
    let mut started = journal::store::run_starting_now();
    name.clone_into(&mut started.run);
    let opened = StateDir::find().and_then(|state| Journal::create(&state.runs(), started.clone()));
    match opened {
        Ok(opened) => lay(name, Ok(opened)),
        Err(error) => lay(
            name,
            Err((
                Event {
                    at: Time::ZERO,
                    fact: Fact::RunStarted(started),
                },
                error,
            )),
        ),
    }
}

/// Takes up a run whose cockpit died.
pub fn resume(name: &str, journal: &Path) -> Result<Laid, journal::Error> {
    let opened = Journal::resume(journal, journal::store::wall_ms())?;
    let log_since_ms = last_seen_ms(&opened.events);
    Ok(Laid {
        log_since_ms,
        ..lay(name, Ok(opened))
    })
}

/// The wall clock at the last fact that the dead cockpit recorded, as its
/// monotonic clock tells.
fn last_seen_ms(events: &[Event]) -> Option<i64> {
    let started = events.iter().find_map(|event| match &event.fact {
        Fact::RunStarted(run) => Some(run.wall_ms),
        _ => None,
    })?;
    let before = events
        .iter()
        .filter(|event| event.fact != Fact::CockpitResumed);
    let last = before.map(|event| event.at).max()?;
    Some(started + last.millis() as i64)
}

fn lay(name: &str, opened: Result<Opened, (Event, journal::Error)>) -> Laid {
    let (journal, events, now, trouble) = match opened {
        Ok(Opened {
            journal,
            events,
            now,
            notes,
        }) => {
            let notes = notes
                .into_iter()
                .map(|what| Trouble { what, next: None })
                .collect();
            (Some(journal), events, now, notes)
        }
        Err((started, error)) => {
            let trouble = Trouble::new(
                format!("this run is not recorded: {error}"),
                "it goes on, but cannot be replayed or taken up again",
            );
            (None, vec![started], Time::ZERO, vec![trouble])
        }
    };
    let mut model = Model::fold(&events);
    for trouble in trouble {
        model.apply(&Event {
            at: now,
            fact: Fact::Trouble(trouble),
        });
    }
    let clock = Clock::starting_at(now);
    let (events_in, events_out) = mpsc::channel(FACTS);
    let (batches_in, batches) = mpsc::channel(BATCHES);
    let (effects, effects_out) = mpsc::channel(EFFECTS);
    let relay = journal::relay(events_out, batches_in, journal);
    let sink = Sink::new(clock, events_in);
    let cancel = CancellationToken::new();
    Laid {
        wires: Wires {
            batches,
            effects,
            clock: Some(clock),
            sink: Some(sink.clone()),
            recording: relay.state(),
        },
        socket: Socket {
            sink: sink.clone(),
            effects: effects_out,
            cancel: cancel.clone(),
        },
        run: Run {
            name: name.to_owned(),
            sink,
            relay,
            cancel,
        },
        model,
        log_since_ms: None,
    }
}

impl Run {
    /// Ends the adapters. A run that ended in good order says so in its
    /// journal; another can be taken up again.
    pub async fn close(self, in_good_order: bool) {
        self.cancel.cancel();
        if in_good_order && self.relay.end(self.sink.clock().now()).await == Ending::Incomplete {
            // Nobody may be there to read it, which is no reason to panic.
            let _ = writeln!(
                io::stderr(),
                "aks-tui: the end of run {} could not be recorded",
                self.name
            );
        }
    }
}

/// The wires of a run that is only shown again, as fast as `pacing` says.
pub fn replay(events: Vec<Event>, pacing: Pacing) -> Wires {
    let (batches_in, batches) = mpsc::channel(BATCHES);
    let (effects, _) = mpsc::channel(1);
    tokio::spawn(async move {
        for (wait, batch) in pacing.pace(events) {
            tokio::time::sleep(wait).await;
            if batches_in.send(batch).await.is_err() {
                return;
            }
        }
        // The last picture stays until a person leaves.
        batches_in.closed().await;
    });
    Wires {
        batches,
        effects,
        clock: None,
        sink: None,
        recording: watch::channel(JournalState::Off).1,
    }
}
