//! helloworld: the smallest application that is immune to being killed.
//!
//! A client sends one message, waits for a person to press Enter, sends two more,
//! and waits again; a server prints what comes. The lines are those of AMBROSIA's
//! HelloWorld. Killed anywhere in between, either side goes on where it was: no
//! message vanishes, none comes twice.
//!
//! As with the original, what an execution printed since its checkpoint is printed
//! again when it is replayed; the line that says *recovered* ends that. The Enter is
//! an impulse: once logged, it is not asked for again.

mod client;
mod server;

use std::io::{self, BufRead as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::perftest::{LOG_TRIGGER, REPLAY_TRIGGER, console};
use super::{Config, Contest, Durability, Error, Impulses, Link, address, run};
use client::Client;
use server::Server;

/// To the server: print this.
const MESSAGE: u8 = 1;
/// From the world: somebody pressed Enter.
const ENTER: u8 = 1;
/// How often a person is waited for.
const ENTERS: usize = 2;

/// What both programs understand.
#[derive(Clone, Debug)]
pub struct Options {
    /// The instance's name.
    pub name: String,
    /// Port of the link: the server listens on it, the client dials it.
    pub port: u16,
    /// Where instance directories are.
    pub log: PathBuf,
    /// When an input counts as safe.
    pub durability: Durability,
    /// Whether to idle after the work instead of ending.
    pub stay: bool,
}

/// Runs the client of `server` until it has sent everything, or for ever with
/// [`Options::stay`]. With `pause`, so long a wait is taken for an Enter.
pub fn client(options: Options, server: String, pause: Option<Duration>) -> Result<(), Error> {
    let impulses = Impulses::default();
    match pause {
        Some(pause) => wait_for_nobody(impulses.clone(), pause)?,
        None => wait_for_enter(impulses.clone())?,
    }
    let links = vec![Link::Dial {
        peer: server,
        port: options.port,
    }];
    let app = Client::new(options.durability);
    run(&config(options, links, impulses), app)
}

/// Runs the server, for ever.
pub fn server(options: Options) -> Result<(), Error> {
    let links = vec![Link::Accept { peer: None }];
    let address = address::own(options.port, &address::environment);
    let app = Server::new(options.durability);
    let mut config = config(options, links, Impulses::default());
    config.listen = Some(address);
    run(&config, app)
}

fn config(options: Options, links: Vec<Link>, impulses: Impulses) -> Config {
    Config {
        instance: options.name,
        root: options.log,
        durability: options.durability,
        log_trigger: LOG_TRIGGER,
        replay_trigger: REPLAY_TRIGGER,
        rate: None,
        contest: Contest::Wait,
        keep: false,
        listen: None,
        links,
        stay: options.stay,
        started: Instant::now(),
        notice: Arc::new(|text: &str| console::line(&format!("*X* {text}"))),
        impulses,
    }
}

/// Hands on every Enter, until nobody can press it any more.
fn wait_for_enter(impulses: Impulses) -> Result<(), Error> {
    beside(move || {
        impulses.wait_until_live();
        for line in io::stdin().lock().lines() {
            if line.is_err() {
                return;
            }
            // It lives, and the payload is empty.
            let _ = impulses.send(ENTER, &[]);
        }
    })
}

/// Presses Enter for a person who is not there. One too many means nothing.
fn wait_for_nobody(impulses: Impulses, pause: Duration) -> Result<(), Error> {
    beside(move || {
        impulses.wait_until_live();
        for _ in 0..ENTERS {
            thread::sleep(pause);
            let _ = impulses.send(ENTER, &[]);
        }
    })
}

fn beside(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name("enter".into())
        .spawn(work)
        .map(|_| ())
        .map_err(|source| Error::System {
            what: "the thread that waits for Enter",
            source,
        })
}

/// Prints a line as the original does: after a blank one.
fn say(text: &str) {
    console::line(&format!("\n{text}"));
}
