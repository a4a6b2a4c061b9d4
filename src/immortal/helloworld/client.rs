//! The client: three messages, and a person in between.

use serde::{Deserialize, Serialize};

use super::super::perftest::{console, load, save};
use super::super::{App, Call, Caller, Context, Durability, Recovery};
use super::{ENTER, MESSAGE, say};

/// The link to the server.
const SERVER: usize = 0;

/// What survives.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Messages sent.
    sent: u64,
    done: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    state: State,
    durability: Durability,
}

impl Client {
    /// A client that has not sent anything.
    pub fn new(durability: Durability) -> Self {
        Self {
            state: State::default(),
            durability,
        }
    }

    fn send(&mut self, context: &mut Context<'_>) {
        self.state.sent += 1;
        let text = format!("\n!! Client: Hello World {}!", self.state.sent);
        context.call_peer(SERVER, MESSAGE, text.as_bytes(), &[]);
    }

    /// Says what it waits for.
    fn ask(&self) {
        say(match (self.state.sent, self.state.done) {
            (_, true) => "!! Client: Shutting down",
            (0 | 1, false) => "!! Client: Press enter to continue (will send 2&3)",
            (_, false) => "!! Client: Press enter to shutdown.",
        });
    }

    fn entered(&mut self, context: &mut Context<'_>) {
        if self.state.done {
            return;
        }
        if self.state.sent == 1 {
            self.send(context);
            self.send(context);
        } else {
            self.state.done = true;
            context.finish();
        }
        self.ask();
    }
}

impl App for Client {
    const ANSWERS: bool = false;

    fn awaken(&mut self, epoch: u64) {
        console::begun(epoch, self.durability);
    }

    fn save(&self, out: &mut Vec<u8>) {
        save(&self.state, out);
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        self.state = load(state)?;
        Ok(())
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        self.send(context);
        say("!! Client: Sent message 1.");
        self.ask();
    }

    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>) {
        if let (Caller::World, ENTER) = (call.caller, call.method) {
            self.entered(context);
        }
    }

    fn recovered(&mut self, recovery: &Recovery) -> bool {
        if recovery.epoch > 1 {
            console::recovered(recovery);
            // Whoever looks only now knows what it waits for.
            self.ask();
        }
        self.state.done
    }
}
