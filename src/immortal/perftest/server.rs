//! The server: counts what its jobs send and, unless told otherwise, sends it back
//! to all of them.

use serde::{Deserialize, Serialize};

use super::super::{App, Call, Caller, Context, Durability, Recovery};
use super::console::{self, Progress};
use super::options::ServerOptions;
use super::payload;
use super::{DELIVER, ECHO_OF_ANOTHER, LAST_ROUND, PRINT_TOTALS};

/// What survives.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    bidirectional: bool,
    /// Messages received.
    messages: u64,
    /// Bytes received.
    received: u64,
    /// Per job, the last call that came.
    last_calls: Vec<u64>,
    /// Jobs that asked for the totals.
    finished: u64,
    done: bool,
    /// Bytes that follow the state proper.
    #[serde(default)]
    ballast: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Server {
    state: State,
    /// Whether what it was asked for is compared with what it remembers.
    asked: bool,
    ballast: Vec<u8>,
    durability: Durability,
    verify: bool,
    progress: Progress,
    /// Whether the totals were printed by this execution.
    reported: bool,
}

impl Server {
    /// A server that has not received anything.
    pub fn new(options: &ServerOptions, progress: Progress) -> Self {
        Self {
            state: State {
                bidirectional: options.bidirectional,
                messages: 0,
                received: 0,
                last_calls: vec![0; usize::from(options.count)],
                finished: 0,
                done: false,
                ballast: options.memory,
            },
            asked: true,
            ballast: ballast(options.memory),
            durability: options.common.durability,
            verify: options.common.verify,
            progress,
            reported: false,
        }
    }

    /// One that is to do again what it did: what it was asked for is in its state.
    pub fn again(progress: Progress) -> Self {
        Self {
            state: State::default(),
            asked: false,
            ballast: Vec::new(),
            durability: Durability::default(),
            verify: true,
            progress,
            reported: false,
        }
    }

    fn deliver(&mut self, job: usize, message: &[u8], context: &mut Context<'_>) {
        let state = &mut self.state;
        let before = state.received;
        state.messages += 1;
        state.received += message.len() as u64;
        if let Some(megabytes) = console::passed_gib(before, state.received) {
            console::line(&format!("Received {megabytes} MB so far"));
        }
        let expected = state.last_calls[job] + 1;
        let got = payload::number(message).unwrap_or(expected);
        if got != expected {
            console::out_of_order(expected, got);
        }
        state.last_calls[job] = got;
        if self.verify
            && let Some(at) = payload::damage(message)
        {
            console::damaged(got, at);
        }
        if state.bidirectional {
            for to in 0..state.last_calls.len() {
                let method = if to == job { DELIVER } else { ECHO_OF_ANOTHER };
                context.call_peer(to, method, message, &[]);
            }
        }
        if self.progress.is_due() && !context.replaying() {
            self.progress
                .fresh(state.last_calls.iter().sum(), state.received);
        }
    }

    fn print_totals(&mut self, context: &mut Context<'_>) {
        self.state.finished += 1;
        if self.state.finished < self.state.last_calls.len() as u64 {
            return;
        }
        for job in 0..self.state.last_calls.len() {
            context.call_peer(job, PRINT_TOTALS, &[], &[]);
        }
        self.state.done = true;
        self.report();
        context.finish();
    }

    fn report(&mut self) {
        self.reported = true;
        console::line(&format!("Bytes received: {}", self.state.received));
        console::line("DONE");
    }
}

/// So many bytes that are easy to judge.
fn ballast(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|i| i as u8).collect()
}

impl App for Server {
    const ANSWERS: bool = true;

    fn awaken(&mut self, epoch: u64) {
        console::begun(epoch, self.durability);
        self.progress.begin(epoch);
    }

    fn save(&self, out: &mut Vec<u8>) {
        super::save(&self.state, out);
        if !self.ballast.is_empty() {
            // JSON has no line feed of its own.
            out.push(b'\n');
            out.extend_from_slice(&self.ballast);
        }
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let end = state.iter().position(|&byte| byte == b'\n');
        let (proper, carried) = state.split_at(end.unwrap_or(state.len()));
        let kept: State = super::load(proper)?;
        let asked = std::mem::replace(&mut self.state, kept);
        let kept = &self.state;
        let carried = carried.strip_prefix(b"\n").unwrap_or_default();
        if carried.len() as u64 != kept.ballast || payload::damage_at(carried, 0).is_some() {
            return Err("its ballast is not what was put in".into());
        }
        self.ballast = carried.to_vec();
        let jobs = |state: &State| state.last_calls.len() as u64;
        if self.asked {
            let one_way = |state: &State| u64::from(!state.bidirectional);
            super::say_kept("-n", jobs(&asked), jobs(kept));
            super::say_kept("-nbd", one_way(&asked), one_way(kept));
            super::say_kept("-m", asked.ballast, kept.ballast);
        }
        Ok(())
    }

    fn finished(&mut self, state: u64) {
        console::state(state);
    }

    fn begin(&mut self, _context: &mut Context<'_>) {
        console::line("*X* Server in Entry Point");
    }

    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>) {
        match (call.caller, call.method) {
            (Caller::Peer(job), DELIVER) => self.deliver(job, call.payload, context),
            (Caller::Peer(_), PRINT_TOTALS) => self.print_totals(context),
            // Rounds are the client's affair; a signal to both is no mistake.
            (Caller::World, LAST_ROUND) => {}
            _ => super::say_unknown(call),
        }
    }

    fn settled(&mut self) {
        self.progress
            .publish(self.state.last_calls.iter().sum(), self.state.received);
    }

    fn checkpointing(&mut self) {
        console::line(&format!(
            "*X* At checkpoint, received {} messages",
            self.state.messages
        ));
    }

    fn recovered(&mut self, recovery: &Recovery) -> bool {
        if recovery.epoch > 1 {
            console::recovered(recovery);
        }
        console::line("*X* becoming primary");
        if self.state.done && !self.reported {
            self.report();
        }
        self.settled();
        self.progress.live();
        self.state.done
    }
}
