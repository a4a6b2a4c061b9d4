//! From what lies in the directory to an instance that can go on: the newest whole
//! checkpoint, then every page after it.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::app::{App, Recovery};
use super::checkpoint::{self, LinkSnapshot, Snapshot};
use super::codec::put_call;
use super::directory::Directory;
use super::error::Error;
use super::execute::Executor;
use super::instance::{Config, Role};
use super::link::Link;
use super::log::{self, LogWriter};
use super::outgoing::BEGIN;
use super::shared::{Event, Shared};

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
/// that is safe before anything happens.
pub fn recover<A: App>(
    config: &Config,
    directory: &mut Directory,
    mut app: A,
    events: Sender<Event>,
) -> Result<Recovered<A>, Error> {
    let newest = checkpoint::newest(directory, &config.instance, |path, reason| {
        (config.notice)(&format!("passing over {}: {reason}", path.display()));
    })?;
    let epoch = directory.next_epoch(newest.as_ref().map_or(0, |snapshot| snapshot.epoch))?;
    app.awaken(epoch);
    let lived = newest.is_some();
    let snapshot = match newest {
        Some(snapshot) => {
            let path = directory.checkpoint_path(snapshot.number);
            app.load(&snapshot.app)
                .map_err(|reason| Error::State { path, reason })?;
            snapshot
        }
        None => first(config, directory, &app, epoch)?,
    };
    let (number, next_page) = (snapshot.number, snapshot.next_page);
    let shared = Arc::new(Shared::new(
        config.instance.clone(),
        epoch,
        snapshot.links.iter().map(Link::new).collect(),
        config.rate,
        events,
    ));
    let mut executor = Executor::new(app, Arc::clone(&shared), snapshot);
    let mut recovery = Recovery {
        epoch,
        ..Recovery::default()
    };
    let mut generation = number;
    if lived {
        recovery.from_checkpoint = number;
        recovery.pages = log::replay(directory, number, next_page, |header, body| {
            executor.execute(header.seq, header.time, body)
        })?
        .pages;
        recovery.calls = executor.calls();
        generation = directory.logs()?.last().copied().unwrap_or(number) + 1;
    }
    let log = LogWriter::create(directory, generation)?;
    let mut checkpoint = Some(executor.snapshot(generation));
    if !lived && let Some(first) = checkpoint.take() {
        checkpoint::publish(directory, &config.instance, &first)?;
    }
    shared.expect_next(executor.next_in());
    recovery.elapsed = config.started.elapsed();
    Ok(Recovered {
        executor,
        shared,
        log,
        checkpoint,
        recovery,
    })
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
    let peers = match &config.role {
        Role::Listen { peers, .. } => peers.clone(),
        Role::Dial { peer, .. } => vec![Some(peer.clone())],
    };
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
        links: peers
            .into_iter()
            .map(|peer| LinkSnapshot {
                peer,
                next_in: 1,
                next_out: 1,
                ..LinkSnapshot::default()
            })
            .collect(),
    })
}
