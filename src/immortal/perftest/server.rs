//! The server: counts what its jobs send and, unless told otherwise, sends it back
//! to all of them.

use serde::{Deserialize, Serialize};

use super::super::{App, Call, Caller, Context, Recovery};
use super::console::{self, Progress};
use super::options::ServerOptions;
use super::payload;
use super::{DELIVER, ECHO_OF_ANOTHER, LAST_ROUND, PRINT_TOTALS};

/// What survives.
#[derive(Debug, Serialize, Deserialize)]
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
}

/// See the module.
#[derive(Debug)]
pub struct Server {
    state: State,
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
            },
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

impl App for Server {
    const ANSWERS: bool = true;

    fn awaken(&mut self, epoch: u64) {
        self.progress.begin(epoch);
    }

    fn save(&self, out: &mut Vec<u8>) {
        super::save(&self.state, out);
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let (jobs, bidirectional) = (self.state.last_calls.len(), self.state.bidirectional);
        self.state = super::load(state)?;
        super::say_kept("-n", jobs as u64, self.state.last_calls.len() as u64);
        super::say_kept(
            "-nbd",
            u64::from(!bidirectional),
            u64::from(!self.state.bidirectional),
        );
        Ok(())
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
