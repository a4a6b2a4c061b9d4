//! The loop: wake on the first thing that happens, drain everything that
//! waits, fold it, and draw only if something visible changed.
//!
//! Keys and facts travel on different queues, and keys are looked at first: a
//! key never waits behind data. A frame that a key caused is drawn at once;
//! frames that data caused are paced. The newest state wins, no frame is
//! queued.

use std::{
    future::poll_fn,
    io,
    process::ExitCode,
    task::Poll,
    time::{Duration, Instant},
};

use crossterm::event::{Event as Input, EventStream, KeyEventKind};
use futures::StreamExt;
use tokio::{sync::mpsc, time::sleep_until};

use super::{
    attend::{Attendant, Need, heal_before_leaving},
    looks::Looks,
    signals::{self, Signal, Signals},
    terminal::Screen,
    wires::Wires,
};
use crate::{
    core::{
        action::{Action, Scope},
        effect::Effect,
        event::{Event, Fact, Trouble},
        model::Model,
        time::Time,
        update::{
            fault::leftovers,
            ui::{Notice, Ui},
            update,
        },
    },
    ui::view::{Layout, Status},
};

/// Two frames are never nearer than this, whoever asks for them.
const FRAME_FLOOR: Duration = Duration::from_millis(4);

/// How often the clocks on the screen move while a trial is open.
const RUNNING: Duration = Duration::from_millis(100);

/// How often they move otherwise: ages are shown in seconds.
const IDLE: Duration = Duration::from_secs(1);

/// Batches folded before the keys are looked at again.
const BATCHES_AT_ONCE: usize = 64;

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// A person asked for it, or SIGINT or SIGTERM did: everything is put away.
    Asked,
    /// The terminal is gone: what was started goes on for a while, so that the
    /// next cockpit finds it.
    HungUp,
}

impl Left {
    /// What the process says of it to who started it.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Asked => ExitCode::SUCCESS,
            // As a shell says of a process that SIGHUP ended.
            Self::HungUp => ExitCode::from(129),
        }
    }
}

/// The cockpit on a terminal.
pub struct Cockpit {
    screen: Screen,
    signals: Signals,
    looks: Looks,
    model: Model,
    ui: Ui,
    wires: Wires,
    attendant: Attendant,
    layout: Layout,
    /// What was said to be in force still.
    leftovers: Vec<String>,
    drawn: Instant,
    /// A frame is due, and no later than then.
    due: Option<Instant>,
}

impl Cockpit {
    /// Takes the terminal and shows `model` as it is.
    pub fn open(looks: Looks, model: Model, ui: Ui, wires: Wires) -> io::Result<Self> {
        // Before the terminal is taken: a signal must find someone who gives it back.
        let signals = Signals::new()?;
        let screen = Screen::take()?;
        let drawn = Instant::now()
            .checked_sub(FRAME_FLOOR)
            .unwrap_or_else(Instant::now);
        Ok(Self {
            screen,
            signals,
            looks,
            model,
            ui,
            wires,
            attendant: Attendant::default(),
            layout: Layout::default(),
            leftovers: Vec::new(),
            drawn,
            due: None,
        })
    }

    /// Runs until someone leaves. Returns why, and what is known at the end.
    pub async fn run(mut self) -> (Left, Model) {
        let left = self.live().await.unwrap_or_else(|error| {
            tracing::error!(%error, "the terminal is lost");
            Left::HungUp
        });
        self.take_leave(left).await;
        (left, self.model)
    }

    /// Nobody is left held up by a fault.
    async fn take_leave(&mut self, left: Left) {
        let Some(trial) = self
            .model
            .ledger
            .unhealed()
            .filter(|_| self.ui.locked.is_none())
        else {
            return;
        };
        self.ui.notice = Some(Notice {
            at: self.now(),
            text: format!("healing trial {} before leaving", trial.id),
            refusal: false,
        });
        self.ui.dialog = None;
        if left == Left::Asked && self.draw().is_err() {
            tracing::warn!("the terminal is lost");
        }
        heal_before_leaving(&mut self.model, &mut self.wires).await;
    }

    /// An error is one of the terminal, which is of no more use then.
    async fn live(&mut self) -> io::Result<Left> {
        let mut inputs = EventStream::new();
        self.ui.sync(&self.model);
        // What went wrong before there was a screen.
        let (now, newest) = (self.model.now, self.model.troubles.back());
        if let Some(trouble) = newest.filter(|(at, _)| *at == now).cloned() {
            self.say(&trouble.1);
        }
        self.draw()?;
        loop {
            let clocks = self.drawn + self.clock_step();
            let wake = self.due.unwrap_or(clocks).min(clocks);
            tokio::select! {
                biased;
                // First, because inputs of a terminal that is gone may not end.
                signal = self.signals.next() => match signal {
                    Signal::End => return Ok(Left::Asked),
                    Signal::HangUp => return Ok(Left::HungUp),
                    Signal::Stop => {
                        self.suspend()?;
                        self.want_frame(FRAME_FLOOR);
                    }
                },
                input = inputs.next() => match input {
                    Some(input) => {
                        if let Some(left) = self.drain_inputs(input?, &mut inputs).await? {
                            return Ok(left);
                        }
                        self.want_frame(FRAME_FLOOR);
                    }
                    None => return Ok(Left::HungUp),
                },
                batch = self.wires.batches.recv() => match batch {
                    Some(batch) => self.drain_facts(&batch),
                    None => return Ok(Left::Asked),
                },
                () = sleep_until(wake.into()) => self.due = Some(wake),
            }
            self.attend();
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.draw()?;
            }
        }
    }

    /// Obeys the first input and all that wait behind it.
    async fn drain_inputs(
        &mut self,
        first: Input,
        inputs: &mut EventStream,
    ) -> io::Result<Option<Left>> {
        let mut next = Some(first);
        while let Some(input) = next {
            for input in self.inputs_of(input) {
                for action in self.actions(input) {
                    if self.act(action)? {
                        return Ok(Some(Left::Asked));
                    }
                }
            }
            next = waiting(inputs).await;
        }
        Ok(None)
    }

    /// An input may stand for two keys, the second of which means what it does
    /// after the first.
    fn inputs_of(&self, input: Input) -> Vec<Input> {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => {
                let keys = self.looks.keymap.keys_of(&self.ui.scopes(), key);
                keys.into_iter().map(Input::Key).collect()
            }
            input => vec![input],
        }
    }

    /// What an input asks for.
    fn actions(&self, input: Input) -> Vec<Action> {
        let typing = self.ui.is_typing();
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self
                .looks
                .keymap
                .action(&self.ui.scopes(), key, typing)
                .into_iter()
                .collect(),
            Input::Mouse(mouse) => self.layout.action_at(mouse).into_iter().collect(),
            Input::Paste(text) if typing => text
                .chars()
                .filter(|c| !c.is_control())
                .map(Action::Type)
                .collect(),
            // Drawing asks for the size itself; that it changed is enough.
            _ => Vec::new(),
        }
    }

    /// Does what was asked for. Returns whether the cockpit is to be left.
    fn act(&mut self, action: Action) -> io::Result<bool> {
        let now = self.now();
        for effect in update(&mut self.ui, &self.model, now, action) {
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Suspend => self.suspend()?,
                Effect::Redraw => self.screen.forget()?,
                Effect::OwnLog(step) => self.looks.view.own_log(step),
                Effect::Copy(text) => self.screen.copy(&text)?,
                effect => self.send(effect),
            }
        }
        Ok(false)
    }

    /// Hands an effect to the adapters. Their queue is full only if they hang,
    /// and then one wish more does not help: it is said instead.
    fn send(&mut self, effect: Effect) {
        if let Err(mpsc::error::TrySendError::Full(effect)) = self.wires.effects.try_send(effect) {
            tracing::error!(?effect, "the cluster adapter takes no more wishes");
        }
    }

    fn drain_facts(&mut self, first: &[Event]) {
        let mut changed = self.fold(first);
        for _ in 1..BATCHES_AT_ONCE {
            let Ok(batch) = self.wires.batches.try_recv() else {
                break;
            };
            changed |= self.fold(&batch);
        }
        if changed {
            self.ui.sync(&self.model);
            if self.ui.frozen.is_none() {
                self.want_frame(Duration::from_secs(1) / u32::from(self.looks.fps.max(1)));
            }
        }
    }

    fn fold(&mut self, batch: &[Event]) -> bool {
        let mut changed = false;
        for event in batch {
            changed |= self.model.apply(event);
            match &event.fact {
                Fact::Trouble(trouble) => self.say(trouble),
                Fact::Leftovers { .. } | Fact::Node(_) => self.say_leftovers(),
                _ => {}
            }
        }
        changed
    }

    /// What went wrong is said once, and can be read again in the own log.
    fn say(&mut self, trouble: &Trouble) {
        let Trouble { what, next } = trouble;
        let next = next
            .as_ref()
            .map_or(String::new(), |next| format!("; {next}"));
        tracing::warn!("{what}{next}");
        self.ui.notice = Some(Notice {
            at: self.now(),
            text: format!("{what}{next}"),
            refusal: true,
        });
    }

    /// What an earlier run left in force is offered to be healed: it may be a
    /// colleague's, so it is not healed unasked.
    fn say_leftovers(&mut self) {
        let left = leftovers(&self.model);
        if left.is_empty() || left == self.leftovers {
            return;
        }
        let key = self
            .looks
            .keymap
            .hint(&[Scope::Cockpit, Scope::Global], Action::Heal)
            .unwrap_or_else(|| "heal".into());
        let trouble = Trouble::new(
            format!("an earlier run left this in force: {}", left.join(", ")),
            format!("{key} heals it"),
        );
        self.leftovers = left;
        self.say(&trouble);
    }

    fn attend(&mut self) {
        match self.attendant.attend(&self.model, self.now()) {
            Some(Need::Effect(effect)) => self.send(effect),
            Some(Need::Fact(fact)) => self.wires.tell(fact),
            None => {}
        }
    }

    fn now(&self) -> Time {
        self.wires.now(&self.model)
    }

    /// Asks for a frame no sooner than `apart` after the last one.
    fn want_frame(&mut self, apart: Duration) {
        let due = self.drawn + apart;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    fn clock_step(&self) -> Duration {
        if self.model.ledger.open().is_some() {
            RUNNING
        } else {
            IDLE
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let now = self.now();
        let badge = self.wires.recording_badge();
        let status = Status {
            journal: badge.as_deref(),
            version: env!("CARGO_PKG_VERSION"),
        };
        tui_logger::move_events();
        let Self {
            screen,
            looks,
            model,
            ui,
            layout,
            ..
        } = self;
        screen.draw(|frame| *layout = looks.view.draw(frame, model, ui, now, &status))?;
        layout.store(ui);
        self.drawn = Instant::now();
        self.due = None;
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        if !signals::is_continued_by_a_shell() {
            self.ui.notice = Some(Notice {
                at: self.now(),
                text: "not stopped: no shell is there to continue it".into(),
                refusal: true,
            });
            return Ok(());
        }
        self.screen.suspended(signals::stop)
    }
}

/// The next input, if one waits already.
///
/// The stream wakes only whoever asked first since the last input, so even this
/// question is asked in the loop's own name: with `now_or_never`, whose waker
/// wakes nobody, the next key would wait for something else to happen.
async fn waiting(inputs: &mut EventStream) -> Option<Input> {
    poll_fn(|context| {
        Poll::Ready(match inputs.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(input))) => Some(input),
            _ => None,
        })
    })
    .await
}
