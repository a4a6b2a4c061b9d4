//! An instance from start to end: lock, recover, connect, serve, leave.

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::address;
use super::app::App;
use super::commit::{Committer, Generations, write_checkpoints};
use super::delivery::{self, Notice};
use super::directory::{Directory, Durability};
use super::error::Error;
use super::link::Link;
use super::recovery::{Recovered, recover};
use super::shared::{Event, Shared};

/// How the instance meets its peers.
#[derive(Clone, Debug)]
pub enum Role {
    /// It listens at this address and serves so many peers, whoever comes first; or
    /// these, if they are named.
    Listen {
        /// `host:port`.
        address: String,
        /// One entry a peer; `None` takes the next new one.
        peers: Vec<Option<String>>,
    },
    /// It dials one peer.
    Dial {
        /// The peer's instance name.
        peer: String,
        /// The port it listens on.
        port: u16,
    },
}

/// What an instance needs to know.
pub struct Config {
    /// Its name.
    pub instance: String,
    /// Where instance directories are.
    pub root: PathBuf,
    /// When an input counts as safe.
    pub durability: Durability,
    /// A log this long is followed by a checkpoint, in bytes.
    pub log_trigger: u64,
    /// Cap of payload bytes sent a second.
    pub rate: Option<u64>,
    /// How it meets its peers.
    pub role: Role,
    /// Whether it stays when the work is done.
    pub stay: bool,
    /// When the process began.
    pub started: Instant,
    /// Where people are told things.
    pub notice: Notice,
    /// Inputs from the world: methods that the application understands.
    pub impulses: Receiver<u8>,
}

/// How long a finished instance waits for its peer to say farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs an instance until its application has finished (without
/// [`Config::stay`]) or something fails. Threads it started are left to end with
/// the process: this is meant to be the last thing a process does.
pub fn run<A: App + 'static>(config: Config, app: A) -> Result<(), Error> {
    let notice = &config.notice;
    let mut directory =
        Directory::open(&config.root, &config.instance, config.durability, |lock| {
            notice(&format!("waiting for lock {}", lock.display()));
        })?;
    // Bound before replay, so that peers can queue up while it lasts.
    let listener = match &config.role {
        Role::Listen { address, .. } => Some(bind(address, notice)?),
        Role::Dial { .. } => None,
    };
    let (events, heard) = channel();
    let mut recovered = recover(&config, &mut directory, app, events)?;
    let shared = Arc::clone(&recovered.shared);
    if recovered.executor.app().recovered(&recovered.recovery) {
        recovered.executor.finished_before();
    }
    start(directory, config.log_trigger, recovered)?;
    connect(&config, &shared, listener)?;
    forward(&shared, config.impulses)?;
    serve(&shared, &heard, A::ANSWERS, config.stay)
}

/// Listens, waiting while an execution that is ending still holds the address.
fn bind(address: &str, notice: &Notice) -> Result<TcpListener, Error> {
    let failed = |source| Error::Listen {
        address: address.to_owned(),
        source,
    };
    let resolved = address::resolve(address).map_err(failed)?;
    let mut told = false;
    loop {
        match TcpListener::bind(resolved) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !told {
                    notice(&format!("waiting for port {address}: {error}"));
                    told = true;
                }
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Starts committing, executing and checkpointing.
fn start<A: App + 'static>(
    directory: Directory,
    trigger: u64,
    recovered: Recovered<A>,
) -> Result<(), Error> {
    let Recovered {
        mut executor,
        shared,
        log,
        checkpoint,
        ..
    } = recovered;
    let directory = Arc::new(directory);
    let generations = Arc::new(Generations::default());
    let (pages, committed) = channel();
    let (snapshots, taken) = channel();
    if let Some(snapshot) = checkpoint {
        generations.begin(|| false);
        let _ = snapshots.send(snapshot);
    }
    executor.live();
    let (next_page, time) = executor.position();
    let writer = Committer {
        shared: Arc::clone(&shared),
        directory: Arc::clone(&directory),
        log,
        next_page,
        time,
        trigger,
        generations: Arc::clone(&generations),
    };
    spawn(&shared, "commit", move || writer.run(&pages))?;
    spawn(&shared, "execute", move || {
        executor.follow(&committed, &snapshots)
    })?;
    let instance = shared.instance.clone();
    spawn(&shared, "checkpoint", move || {
        write_checkpoints(&directory, &instance, &taken, &generations)
    })
}

/// Starts meeting peers.
fn connect(
    config: &Config,
    shared: &Arc<Shared>,
    listener: Option<TcpListener>,
) -> Result<(), Error> {
    let (this, notice) = (Arc::clone(shared), Arc::clone(&config.notice));
    if let Some(listener) = listener {
        spawn(shared, "listen", move || {
            delivery::listen(&this, &listener, &notice);
            Ok(())
        })?;
    }
    if let Role::Dial { peer, port } = config.role.clone() {
        let this = Arc::clone(shared);
        let notice = Arc::clone(&config.notice);
        spawn(shared, "dial", move || {
            let address = || address::peer(&peer, port, &address::environment);
            delivery::dial(&this, 0, address, &notice);
            Ok(())
        })?;
    }
    Ok(())
}

/// Starts logging inputs from the world.
fn forward(shared: &Arc<Shared>, impulses: Receiver<u8>) -> Result<(), Error> {
    let this = Arc::clone(shared);
    spawn(shared, "impulses", move || {
        for method in impulses {
            this.inbox.impulse(method, &[]);
        }
        Ok(())
    })
}

/// Starts a thread whose failure, or panic, is the instance's.
fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let this = Arc::clone(shared);
    let guarded = move || {
        let error = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => Error::Panicked { thread: name },
        };
        this.tell(Event::Failed(error));
        this.inbox.close();
    };
    match thread::Builder::new().name(name.into()).spawn(guarded) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::System { what: name, source }),
    }
}

/// Waits for the end. A finished instance that answers (`answers`) stays until its
/// peers have made all answers durable; nobody else could give them.
fn serve(shared: &Shared, heard: &Receiver<Event>, answers: bool, stay: bool) -> Result<(), Error> {
    let mut left = vec![false; shared.links.len()];
    let mut leaving: Option<Instant> = None;
    let mut finished = false;
    loop {
        let event = match leaving {
            Some(since) => heard.recv_timeout(FAREWELL.saturating_sub(since.elapsed())),
            None => heard.recv().map_err(RecvTimeoutError::from),
        };
        match event {
            Ok(Event::Failed(error)) => return Err(error),
            Ok(Event::Left(link)) => left[usize::from(link)] = true,
            Ok(Event::Finished) if !stay => {
                finished = true;
                shared.finishing.store(true, Ordering::SeqCst);
            }
            Ok(Event::Finished | Event::Acknowledged) => {}
            Err(_) => return Ok(()),
        }
        if !finished || (answers && shared.owed() > 0) {
            continue;
        }
        if leaving.is_none() {
            leaving = Some(Instant::now());
            // So that the next execution knows what peers have confirmed.
            shared.inbox.flush();
            shared.links.iter().for_each(Link::leave);
        }
        if left.iter().all(|left| *left) {
            return Ok(());
        }
    }
}
