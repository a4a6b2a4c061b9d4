//! A journal that is open: made new, or taken up again.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use tokio::sync::{oneshot, watch};

use super::{
    Error,
    pick::Picker,
    reader::{Reader, Recording},
    record::{Digest, FORMAT, Written},
    store,
    writer::{JournalState, Message, SLOW_DISK, Shared, Storage, Writer},
};
use crate::core::{
    event::{ClusterInfo, Event, Fact, RunStarted},
    time::Time,
};

/// A journal that was opened, and what the model must know of it.
#[derive(Debug)]
pub struct Opened {
    /// The journal itself, for the relay.
    pub journal: Journal,
    /// What to fold before anything else: how the run began, and all that was
    /// recorded of it if it is taken up again.
    pub events: Vec<Event>,
    /// What the run's clock shows now.
    pub now: Time,
    /// What a person should know of the recording that was taken up, a sentence
    /// each.
    pub notes: Vec<String>,
}

/// A journal that is being written. Its file is locked for as long as it lives,
/// so no other cockpit writes it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    picker: Picker,
    cluster: Option<ClusterInfo>,
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    state: watch::Receiver<JournalState>,
}

impl Journal {
    /// Begins the journal of a new run in `dir`, which is made if need be.
    ///
    /// # Errors
    /// The directory cannot be made, or the file cannot be made or written.
    pub fn create(dir: &Path, run: RunStarted) -> Result<Opened, Error> {
        store::make_private_dir(dir)?;
        let path = store::path_of(dir, &run.run);
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(Error::io("create", &path))?;
        store::lock(&file, &path)?;
        let started = Event {
            at: Time::ZERO,
            fact: Fact::RunStarted(run),
        };
        Self::start(path, file, 0, Vec::new(), started)
    }

    /// Takes up a run whose cockpit died. `wall_ms` is the wall clock now, ms
    /// since 1970.
    ///
    /// A half-written record at the end is cut off: its fact is lost, as it was
    /// to the cockpit that did not live to finish it.
    ///
    /// # Errors
    /// Another cockpit writes the journal, the run is over, or the file cannot
    /// be read or written.
    pub fn resume(path: &Path, wall_ms: i64) -> Result<Opened, Error> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        store::lock(&file, path)?;
        let mut reader = Reader::new(path, io::BufReader::new(&file));
        let recording = Recording::collect(&mut reader)?;
        if recording.ended {
            return Err(Error::Over(path.to_owned()));
        }
        let (len, now) = (reader.offset(), reader.moment_at(wall_ms));
        if recording.dropped_tail > 0 {
            file.set_len(len).map_err(Error::io("cut", path))?;
        }
        let notes = recording.notes();
        let resumed = Event {
            at: now,
            fact: Fact::CockpitResumed,
        };
        let mut opened = Self::start(path.to_owned(), file, len, recording.events, resumed)?;
        opened.notes = notes;
        Ok(opened)
    }

    /// Records `newest`, with which this cockpit begins, after `recorded`, and
    /// starts the writer on `storage`, which holds `len` bytes.
    pub(super) fn start(
        path: PathBuf,
        storage: impl Storage,
        len: u64,
        recorded: Vec<Event>,
        newest: Event,
    ) -> Result<Opened, Error> {
        let (state_out, state) = watch::channel(JournalState::Recording);
        let shared = Arc::new(Shared::new(state_out));
        let mut writer = Writer::new(storage, len, Arc::clone(&shared));
        let record = Written {
            v: Some(FORMAT),
            wall: Some(store::wall_ms()),
            ..Written::from(&newest)
        };
        let mut bytes = Vec::new();
        record
            .append_to(&mut bytes)
            .map_err(io::Error::from)
            .and_then(|()| writer.append(&bytes))
            .map_err(Error::io("write", &path))?;

        let now = newest.at;
        let mut events = recorded;
        events.push(newest);
        let mut cluster = None;
        for event in &events {
            note_cluster(&mut cluster, event);
        }
        let (queue, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&inbox))
            .map_err(Error::io("start a thread to write", &path))?;
        let journal = Self {
            path,
            picker: Picker::after(&events),
            cluster,
            queue,
            shared,
            state,
        };
        Ok(Opened {
            journal,
            events,
            now,
            notes: Vec::new(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How recording is going, as it changes.
    pub fn state(&self) -> watch::Receiver<JournalState> {
        self.state.clone()
    }

    /// What the writer and this side know of each other.
    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Hands what is worth keeping of `events` to the writer. Never waits.
    pub fn record(&mut self, events: &[Event]) {
        let slow = self.shared.is_slow();
        let (mut picked, mut missed) = (Vec::new(), 0);
        for event in events {
            note_cluster(&mut self.cluster, event);
            missed += self.picker.pick(event, slow, &mut picked);
        }
        if missed > 0 {
            self.shared.miss(missed, || SLOW_DISK.into());
        }
        if picked.is_empty() {
            return;
        }
        let count = picked.len() as u64;
        if !self.shared.reserve(count) {
            self.shared.miss(count, || SLOW_DISK.into());
        } else if self.queue.send(Message::Facts(picked)).is_err() {
            self.shared
                .miss(count, || "the journal's writer has ended".into());
        }
    }

    /// Ends the run at `at` and closes the file. The receiver hears of it when
    /// it is done.
    pub fn end(self, at: Time) -> oneshot::Receiver<()> {
        let digest = Digest {
            cluster: self.cluster,
            summary: self.picker.ledger().summary(),
        };
        let (done, heard) = oneshot::channel();
        // A writer that is gone drops `done`, which the receiver hears too.
        let _ = self.queue.send(Message::End(at, Box::new(digest), done));
        heard
    }
}

fn note_cluster(cluster: &mut Option<ClusterInfo>, event: &Event) {
    if let Fact::Cluster(info) = &event.fact {
        *cluster = Some(info.clone());
    }
}
