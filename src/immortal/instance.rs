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
use super::fence;
use super::impulse::Impulses;
use super::link;
use super::recovery::{Recovered, recover};
use super::relief;
use super::room::Room;
use super::shared::{Event, Shared};

/// How the instance meets one peer. Of two that meet, one dials.
#[derive(Clone, Debug)]
pub enum Link {
    /// The peer dials, at [`Config::listen`].
    Accept {
        /// Its instance name; `None` takes the next peer that is new.
        peer: Option<String>,
    },
    /// The instance dials.
    Dial {
        /// The peer's instance name.
        peer: String,
        /// The port it listens on.
        port: u16,
    },
}

impl Link {
    /// The peer's name, where it is known from the start.
    pub(super) fn peer(&self) -> Option<&String> {
        match self {
            Self::Accept { peer } => peer.as_ref(),
            Self::Dial { peer, .. } => Some(peer),
        }
    }
}

/// What a start does while another execution holds the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contest {
    /// It waits until that one ends.
    #[default]
    Wait,
    /// It asks that one to yield: the instance moves here without a kill.
    TakeOver,
    /// It executes what that one logs, as it logs it, and acts as soon as it is gone:
    /// an active standby.
    StandBy,
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
    /// A log whose replay would take so long is followed by one too, however short it
    /// is: small calls take more time than bytes.
    pub replay_trigger: Duration,
    /// Cap of payload bytes sent a second.
    pub rate: Option<u64>,
    /// What to do while another execution runs.
    pub contest: Contest,
    /// Whether logs and checkpoints that recovery no longer needs are kept, for
    /// [replay](super::replay).
    pub keep: bool,
    /// Where it listens, as `host:port`, if peers dial it.
    pub listen: Option<String>,
    /// Its peers. A call is made to one by its index here. An instance that lived
    /// before keeps the links that it had.
    pub links: Vec<Link>,
    /// Whether it stays when the work is done.
    pub stay: bool,
    /// When the process began.
    pub started: Instant,
    /// Where people are told things.
    pub notice: Notice,
    /// Where inputs from the world come in.
    pub impulses: Impulses,
}

/// How long a finished instance waits for its peer to say farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs an instance until its application has finished (without
/// [`Config::stay`]) or something fails. Threads it started are left to end with
/// the process: this is meant to be the last thing a process does.
pub fn run<A: App + 'static>(config: &Config, app: A) -> Result<(), Error> {
    let notice = &config.notice;
    let (mut directory, standing_by) = enter(config)?;
    let listen = || {
        let address = config.listen.as_deref();
        address.map(|address| bind(address, notice)).transpose()
    };
    // Bound before replay, so that peers can queue up while it lasts; but one that
    // stands by must not be taken for the one that acts.
    let early = if standing_by { None } else { listen()? };
    let (events, heard) = channel();
    let mut recovered = recover(config, &mut directory, app, events, standing_by)?;
    let listener = if standing_by { listen()? } else { early };
    let shared = Arc::clone(&recovered.shared);
    if recovered.executor.app().recovered(&recovered.recovery) {
        recovered.executor.finished_before();
    }
    let room = Arc::new(Room::new(Arc::clone(notice)));
    start(config, directory, recovered, room)?;
    connect(config, &shared, listener)?;
    config.impulses.open(&shared);
    serve(&shared, &heard, A::ANSWERS, config.stay)
}

/// Makes the directory this execution's own; answers whether another execution still
/// holds it, and this one is to stand by.
fn enter(config: &Config) -> Result<(Directory, bool), Error> {
    let mut directory = Directory::prepare(&config.root, &config.instance, config.durability)?;
    directory.keep = config.keep;
    if directory.try_lock()? {
        return Ok((directory, false));
    }
    if config.contest == Contest::StandBy {
        (config.notice)("standing by");
        return Ok((directory, true));
    }
    let lock = directory.lock_path();
    (config.notice)(&format!("waiting for lock {}", lock.display()));
    if config.contest == Contest::TakeOver {
        directory.ask_to_yield()?;
    }
    directory.wait_for_lock()?;
    Ok((directory, false))
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
    config: &Config,
    directory: Directory,
    recovered: Recovered<A>,
    room: Arc<Room>,
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
    let (relief, expected) = channel();
    if checkpoint.is_some() {
        generations.begin(|| false);
    }
    executor.live();
    let (next_page, time) = executor.position();
    let writer = Committer {
        shared: Arc::clone(&shared),
        directory: Arc::clone(&directory),
        log,
        next_page,
        time,
        trigger: config.log_trigger,
        replay_trigger: config.replay_trigger,
        generations: Arc::clone(&generations),
        relief,
        recovered: checkpoint,
        checkpoints: snapshots.clone(),
        room: Arc::clone(&room),
    };
    spawn(&shared, "commit", move || writer.run(&pages))?;
    spawn(&shared, "execute", move || {
        executor.follow(&committed, &snapshots)
    })?;
    let (instance, epoch) = (shared.instance.clone(), shared.epoch());
    let (watched, watcher) = (Arc::clone(&directory), instance.clone());
    spawn(&shared, "fence", move || {
        fence::watch(&watched, &watcher, epoch)
    })?;
    let (relieved, waiting) = (Arc::clone(&directory), Arc::clone(&generations));
    spawn(&shared, "relief", move || {
        relief::wait(&relieved, &expected, &waiting)
    })?;
    spawn(&shared, "checkpoint", move || {
        write_checkpoints(&directory, &instance, &taken, &generations, &room)
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
    // An instance that lived before has the links of its first life.
    for (index, link) in (0..shared.links.len() as u16).zip(&config.links) {
        let Link::Dial { peer, port } = link.clone() else {
            continue;
        };
        let this = Arc::clone(shared);
        let notice = Arc::clone(&config.notice);
        spawn(shared, "dial", move || {
            let address = || address::peer(&peer, port, &address::environment);
            delivery::dial(&this, index, address, &notice);
            Ok(())
        })?;
    }
    Ok(())
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
            shared.links.iter().for_each(link::Link::leave);
        }
        if left.iter().all(|left| *left) {
            return Ok(());
        }
    }
}
