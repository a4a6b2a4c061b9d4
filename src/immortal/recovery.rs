//! From what lies in the directory to an instance that can go on: the newest whole
//! checkpoint, then every page after it.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::app::{App, Recovery};
use super::checkpoint::{self, LinkSnapshot, Snapshot};
use super::codec::put_call;
use super::directory::Directory;
use super::error::Error;
use super::execute::Executor;
use super::instance::Config;
use super::link::Link;
use super::log::{self, End, LogWriter};
use super::outgoing::BEGIN;
use super::relief::Reliever;
use super::shared::{Event, Shared};

/// Pause between two looks of one that stands by at the end of the log.
const LOOK: Duration = Duration::from_millis(5);

/// An instance that is where the execution before it was.
pub struct Recovered<A> {
    /// Executes what comes next.
    pub executor: Executor<A>,
    /// What its threads will have in common.
    pub shared: Arc<Shared>,
    /// The log of this execution's own generation.
    pub log: LogWriter,
    /// The checkpoint of that generation, still to be written; `None` if it is.
    pub checkpoint: Option<Snapshot>,
    /// How it got there.
    pub recovery: Recovery,
}

/// Brings the application to where the execution before it was, and begins a
/// generation of its own. An instance that never lived begins with a checkpoint
/// that is safe before anything happens. While another execution holds the
/// directory, this follows what it does ([`stand_by`]) until it is gone.
pub fn recover<A: App>(
    config: &Config,
    directory: &mut Directory,
    app: A,
    events: Sender<Event>,
    standing_by: bool,
) -> Result<Recovered<A>, Error> {
    let followed = if standing_by {
        stand_by(config, directory, app, &events)?
    } else {
        Followed::Nothing(app)
    };
    let mut revived = match followed {
        Followed::Everything(revived) => *revived,
        Followed::Nothing(app) => revive(config, directory, app, events)?,
    };
    let lived = revived.recovery.from_checkpoint > 0;
    let generation = if lived {
        directory.logs()?.last().copied().unwrap_or_default() + 1
    } else {
        1
    };
    let log = LogWriter::create(directory, generation)?;
    let mut checkpoint = Some(revived.executor.snapshot(generation));
    if !lived && let Some(first) = checkpoint.take() {
        checkpoint::publish(directory, &config.instance, &first)?;
    }
    revived.shared.expect_next(revived.executor.next_in());
    let mut recovery = revived.recovery;
    recovery.calls = revived.executor.calls();
    recovery.state = revived.executor.state();
    recovery.elapsed = config.started.elapsed();
    Ok(Recovered {
        executor: revived.executor,
        shared: revived.shared,
        log,
        checkpoint,
        recovery,
    })
}

/// An application that is where the log ends.
struct Revived<A> {
    executor: Executor<A>,
    shared: Arc<Shared>,
    recovery: Recovery,
}

/// Starts from the newest checkpoint of a directory that is this execution's own.
fn revive<A: App>(
    config: &Config,
    directory: &mut Directory,
    mut app: A,
    events: Sender<Event>,
) -> Result<Revived<A>, Error> {
    let newest = newest(config, directory)?;
    let epoch = directory.next_epoch(newest.as_ref().map_or(0, |snapshot| snapshot.epoch))?;
    app.awaken(epoch);
    let lived = newest.is_some();
    let snapshot = match newest {
        Some(snapshot) => {
            load(directory, &mut app, &snapshot)?;
            snapshot
        }
        None => first(config, directory, &app, epoch)?,
    };
    let (number, next_page) = (snapshot.number, snapshot.next_page);
    let shared = share(config, &snapshot, events);
    shared.begin(epoch);
    let mut executor = Executor::new(app, Arc::clone(&shared), snapshot);
    let mut recovery = Recovery {
        epoch,
        ..Recovery::default()
    };
    if lived {
        recovery.from_checkpoint = number;
        let replayed = log::replay(directory, number, next_page, End::Cut, |stamp, body| {
            executor.execute(stamp, [body])
        })?;
        recovery.pages = replayed.pages;
        say_torn(config, &replayed);
    }
    Ok(Revived {
        executor,
        shared,
        recovery,
    })
}

enum Followed<A> {
    /// There was nothing that could be followed; the directory is this execution's own
    /// now.
    Nothing(A),
    /// All that the other execution did is done here too, and it is gone.
    Everything(Box<Revived<A>>),
}

/// Follows an execution that acts: executes what it logs as it logs it, and is ready
/// at once when its lock falls free. One that lags so far behind that the logs it
/// needs are gone starts again from a newer checkpoint.
fn stand_by<A: App>(
    config: &Config,
    directory: &mut Directory,
    mut app: A,
    events: &Sender<Event>,
) -> Result<Followed<A>, Error> {
    let mut key = Directory::prepare(&config.root, &config.instance, config.durability)?;
    key.keep = config.keep;
    let mut said = String::new();
    loop {
        let error = match newest(config, directory) {
            Ok(None) => None,
            Ok(Some(snapshot)) => {
                load(directory, &mut app, &snapshot)?;
                match follow(config, directory, &mut key, app, snapshot, events)? {
                    Ok((mut revived, last)) => {
                        *directory = key;
                        revived.recovery.epoch = directory.next_epoch(last)?;
                        revived.shared.begin(revived.recovery.epoch);
                        let app = revived.executor.app();
                        app.awaken(revived.recovery.epoch);
                        return Ok(Followed::Everything(Box::new(revived)));
                    }
                    Err((left, error)) => {
                        app = left;
                        Some(error)
                    }
                }
            }
            // The execution that acts may have just removed it.
            Err(error @ Error::Disk { .. }) => Some(error),
            Err(error) => return Err(error),
        };
        // Nobody acts: what cannot be followed is recovered, or is damage to be told.
        if key.try_lock()? {
            *directory = key;
            return Ok(Followed::Nothing(app));
        }
        if let Some(error) = error.map(|error| error.to_string())
            && error != said
        {
            (config.notice)(&format!("starting to follow again: {error}"));
            said = error;
        }
        thread::sleep(LOOK);
    }
}

/// The application as far as it was followed and the epoch of the last page; or the
/// application back, and why the log could not be followed while it was written.
type Outcome<A> = Result<(Revived<A>, u64), (A, Error)>;

/// Follows from one checkpoint until `key` locks the directory.
fn follow<A: App>(
    config: &Config,
    directory: &Directory,
    key: &mut Directory,
    app: A,
    snapshot: Snapshot,
    events: &Sender<Event>,
) -> Result<Outcome<A>, Error> {
    let (number, next_page, mut epoch) = (snapshot.number, snapshot.next_page, snapshot.epoch);
    let shared = share(config, &snapshot, events.clone());
    let mut executor = Executor::new(app, Arc::clone(&shared), snapshot);
    let mut mine = false;
    let mut wait = || {
        mine = key.try_lock()?;
        if !mine {
            thread::sleep(LOOK);
        }
        Ok(!mine)
    };
    let own = Directory::prepare(&config.root, &config.instance, config.durability)?;
    let mut reliever = Reliever::new(own, &config.instance, &config.notice);
    let mut log = number;
    let end = End::Follow(&mut wait);
    let replayed = log::replay(directory, number, next_page, end, |stamp, body| {
        if stamp.log > log {
            log = stamp.log;
            reliever.generation(log, || Snapshot {
                epoch,
                ..executor.snapshot(log)
            });
        }
        epoch = stamp.epoch;
        executor.execute(stamp, [body])
    });
    // Nothing of what a standby writes comes after what it does when it acts.
    reliever.finish();
    drop(reliever);
    match replayed {
        Ok(replayed) => {
            say_torn(config, &replayed);
            let recovery = Recovery {
                from_checkpoint: number,
                pages: replayed.pages,
                ..Recovery::default()
            };
            let revived = Revived {
                executor,
                shared,
                recovery,
            };
            Ok(Ok((revived, epoch)))
        }
        Err(error) if mine => Err(error),
        Err(error) => Ok(Err((executor.into_app(), error))),
    }
}

fn newest(config: &Config, directory: &Directory) -> Result<Option<Snapshot>, Error> {
    checkpoint::newest(directory, &config.instance, |path, reason| {
        (config.notice)(&format!("passing over {}: {reason}", path.display()));
    })
}

fn load<A: App>(directory: &Directory, app: &mut A, snapshot: &Snapshot) -> Result<(), Error> {
    let path = directory.checkpoint_path(snapshot.number);
    app.load(&snapshot.app)
        .map_err(|reason| Error::State { path, reason })
}

fn share(config: &Config, snapshot: &Snapshot, events: Sender<Event>) -> Arc<Shared> {
    let links = snapshot.links.iter().map(Link::new).collect();
    let name = config.instance.clone();
    Arc::new(Shared::new(name, links, config.rate, events))
}

fn say_torn(config: &Config, replayed: &log::Replayed) {
    if replayed.torn > 0 {
        (config.notice)(&format!(
            "cut {} bytes of a half-written page off the log",
            replayed.torn
        ));
    }
}

/// The state of an instance that has never lived: its first call is waiting.
fn first<A: App>(
    config: &Config,
    directory: &Directory,
    app: &A,
    epoch: u64,
) -> Result<Snapshot, Error> {
    // An execution that died before its first checkpoint leaves an empty log.
    for number in directory.logs()? {
        let path = directory.log_path(number);
        let length = fs::metadata(&path)
            .map_err(Error::disk("read", &path))?
            .len();
        if length > 0 {
            return Err(Error::NoCheckpoint {
                path: directory.path().to_owned(),
                reason: format!("there is only {}", path.display()),
            });
        }
        fs::remove_file(&path).map_err(Error::disk("remove", &path))?;
    }
    let mut begin = Vec::new();
    put_call(&mut begin, BEGIN, &[], &[]);
    let mut state = Vec::new();
    app.save(&mut state);
    Ok(Snapshot {
        number: 1,
        epoch,
        next_page: 1,
        time: 0,
        app: state,
        next_own: 2,
        own: vec![(1, begin)],
        links: config
            .links
            .iter()
            .map(|link| LinkSnapshot {
                peer: link.peer().cloned(),
                next_in: 1,
                next_out: 1,
                ..LinkSnapshot::default()
            })
            .collect(),
    })
}
