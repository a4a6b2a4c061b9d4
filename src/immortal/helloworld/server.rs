//! The server: prints what comes, and knows how much came.

use serde::{Deserialize, Serialize};

use super::super::perftest::{console, load, save};
use super::super::{App, Call, Caller, Context, Durability, Recovery};
use super::{MESSAGE, say};

/// What survives.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Messages received.
    received: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Server {
    state: State,
    durability: Durability,
}

impl Server {
    /// A server that has not received anything.
    pub fn new(durability: Durability) -> Self {
        Self {
            state: State::default(),
            durability,
        }
    }

    fn print(&mut self, message: &[u8]) {
        let text = String::from_utf8_lossy(message);
        say(&format!("!! SERVER Received message from a client: {text}"));
        let expected = self.state.received + 1;
        let got = number(&text).unwrap_or(expected);
        if got != expected {
            console::out_of_order(expected, got);
        }
        self.state.received = got;
    }
}

/// The number at the end of `Hello World 2!`.
fn number(text: &str) -> Option<u64> {
    text.strip_suffix('!')?.rsplit(' ').next()?.parse().ok()
}

impl App for Server {
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

    fn begin(&mut self, _context: &mut Context<'_>) {}

    fn call(&mut self, call: &Call<'_>, _context: &mut Context<'_>) {
        if let (Caller::Peer(_), MESSAGE) = (call.caller, call.method) {
            self.print(call.payload);
        }
    }

    fn recovered(&mut self, recovery: &Recovery) -> bool {
        if recovery.epoch > 1 {
            console::recovered(recovery);
        }
        console::line(&format!(
            "*X* received {} messages so far",
            self.state.received
        ));
        false
    }
}
