//! The client: sends rounds of messages and counts what comes back.
//!
//! It never sends for long in one go. After 10 MiB it calls itself to continue and
//! returns, so that between two slices messages are received, checkpoints taken,
//! and the sending held back while the server is behind.

use serde::{Deserialize, Serialize};

use super::super::{App, Call, Caller, Chance, Context, Durability, Recovery};
use super::console::{self, GIB, Progress};
use super::options::{JobOptions, Plan};
use super::payload::{self, Payloads};
use super::{DELIVER, ECHO_OF_ANOTHER, LAST_ROUND, PRINT_TOTALS};

/// The link to the server.
const SERVER: usize = 0;
/// The instance calls itself: a round is over, begin the next.
const NEXT_ROUND: u8 = 1;
/// The instance calls itself: continue the round.
const CONTINUE: u8 = 2;
/// Bytes sent before the instance calls itself to continue: as the original does.
const SLICE: u64 = 10 << 20;
/// Calls made before it does so too: small ones take more time than bytes.
const SLICE_CALLS: u64 = 1 << 15;

/// What survives.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    plan: Plan,
    /// Rounds that are over.
    rounds_done: u64,
    /// Message size of the round; 0 before the first.
    size: u64,
    /// Calls made in the round.
    made: u64,
    /// When the round began, on the logged clock.
    round_began: u64,
    /// Calls made in all.
    last_made: u64,
    /// Last call that came back.
    last_echoed: u64,
    /// Bytes that came back.
    received: u64,
    /// Where the sequence of random sizes stands.
    #[serde(default)]
    chance: Chance,
    /// Whether no round follows this one.
    last_round: bool,
    done: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Job {
    state: State,
    /// Whether what it was asked for is compared with what it remembers.
    asked: bool,
    payloads: Payloads,
    durability: Durability,
    verify: bool,
    progress: Progress,
    /// Whether the totals were printed by this execution.
    reported: bool,
}

impl Job {
    /// Whether a saved state is one of a client.
    pub fn wrote(state: &[u8]) -> bool {
        super::load::<State>(state).is_ok()
    }

    /// One that is to do again what it did: what it was asked for is in its state.
    pub fn again(progress: Progress) -> Self {
        Self {
            asked: false,
            ..Self::with(Plan::default(), Durability::default(), true, progress)
        }
    }

    /// A client that has not sent anything.
    pub fn new(options: &JobOptions, progress: Progress) -> Self {
        let common = &options.common;
        Self::with(options.plan, common.durability, common.verify, progress)
    }

    fn with(plan: Plan, durability: Durability, verify: bool, progress: Progress) -> Self {
        Self {
            state: State {
                plan,
                rounds_done: 0,
                size: 0,
                made: 0,
                round_began: 0,
                last_made: 0,
                last_echoed: 0,
                received: 0,
                chance: Chance::default(),
                last_round: false,
                done: false,
            },
            asked: true,
            payloads: Payloads::new(plan.max_message as usize),
            durability,
            verify,
            progress,
            reported: false,
        }
    }

    fn next_round(&mut self, context: &mut Context<'_>) {
        let state = &mut self.state;
        let plan = state.plan;
        if state.size > 0 {
            let seconds = (context.now() - state.round_began) as f64 / 1e9;
            let gib = (plan.calls(state.size) * state.size) as f64 / GIB as f64;
            console::line(&format!("*X* {}\t{}", state.size, gib / seconds));
            state.rounds_done += 1;
            let bytes = plan.calls(state.size) * state.size;
            self.progress.round(state.rounds_done, state.size, bytes);
        }
        if state.last_round || (plan.rounds > 0 && state.rounds_done == plan.rounds) {
            context.call_peer(SERVER, PRINT_TOTALS, &[], &[]);
            return;
        }
        state.size = if state.size == 0 {
            plan.max_message
        } else {
            plan.size_after(state.size, &mut state.chance)
        };
        state.made = 0;
        state.round_began = context.now();
        self.slice(context);
    }

    fn slice(&mut self, context: &mut Context<'_>) {
        let state = &mut self.state;
        let calls = state.plan.calls(state.size);
        let size = state.size as usize;
        let (mut sent, mut made) = (0, 0);
        while state.made < calls {
            if sent > SLICE || made == SLICE_CALLS {
                context.call_self(CONTINUE, &[]);
                return;
            }
            state.made += 1;
            state.last_made += 1;
            let (head, tail) = self.payloads.message(state.last_made, size);
            context.call_peer(SERVER, DELIVER, head, tail);
            sent += state.size;
            made += 1;
        }
        context.call_self(NEXT_ROUND, &[]);
    }

    fn echo(&mut self, message: &[u8], mine: bool, context: &Context<'_>) {
        let state = &mut self.state;
        let before = state.received;
        state.received += message.len() as u64;
        if let Some(megabytes) = console::passed_gib(before, state.received) {
            console::line(&format!("Service Received {megabytes} MB so far"));
        }
        if mine {
            let expected = state.last_echoed + 1;
            let got = payload::number(message).unwrap_or(expected);
            if got != expected {
                console::out_of_order(expected, got);
            }
            state.last_echoed = got;
        }
        if self.verify
            && let Some(at) = payload::damage(message)
        {
            console::damaged(state.last_echoed, at);
        }
        if self.progress.is_due() && !context.replaying() {
            self.progress.fresh(state.last_echoed, state.received);
        }
    }

    fn report(&mut self) {
        self.reported = true;
        console::line(&format!("Bytes received: {}", self.state.received));
        console::line("DONE");
    }
}

impl App for Job {
    const ANSWERS: bool = false;

    fn awaken(&mut self, epoch: u64) {
        console::begun(epoch, self.durability);
        self.progress.begin(epoch);
    }

    fn save(&self, out: &mut Vec<u8>) {
        super::save(&self.state, out);
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let asked = self.state.plan;
        self.state = super::load(state)?;
        let plan = self.state.plan;
        self.payloads = Payloads::new(plan.max_message as usize);
        if !self.asked {
            return Ok(());
        }
        for (option, asked, kept) in [
            ("-n", asked.rounds, plan.rounds),
            ("--mms", asked.max_message, plan.max_message),
            ("--bytes-per-round", asked.round_bytes, plan.round_bytes),
            ("-nds", asked.random_sizes.into(), plan.random_sizes.into()),
        ] {
            super::say_kept(option, asked, kept);
        }
        Ok(())
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        console::line("Bytes per RPC\tThroughput (GB/sec)");
        context.call_self(NEXT_ROUND, &[]);
    }

    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>) {
        match (call.caller, call.method) {
            (Caller::Peer(_), DELIVER) => self.echo(call.payload, true, context),
            (Caller::Peer(_), ECHO_OF_ANOTHER) => self.echo(call.payload, false, context),
            (Caller::Peer(_), PRINT_TOTALS) => {
                self.state.done = true;
                self.report();
                context.finish();
            }
            (Caller::Own, NEXT_ROUND) => self.next_round(context),
            (Caller::Own, CONTINUE) => self.slice(context),
            (Caller::World, LAST_ROUND) => {
                self.state.last_round = true;
                console::line("*X* last round requested");
            }
            _ => super::say_unknown(call),
        }
    }

    fn settled(&mut self) {
        self.progress
            .publish(self.state.last_echoed, self.state.received);
    }

    fn finished(&mut self, state: u64) {
        console::state(state);
    }

    fn recovered(&mut self, recovery: &Recovery) -> bool {
        if recovery.epoch > 1 {
            console::recovered(recovery);
        }
        if self.state.done && !self.reported {
            self.report();
        }
        self.settled();
        self.progress.live();
        self.state.done
    }
}
