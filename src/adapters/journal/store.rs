//! Where runs are kept, what they are called, and which there are.
//!
//! ```text
//! <state>/                              AKS_TUI_STATE, or as the platform has it
//!   runs/20261122-074512-k3f9.jsonl     the journal of a run; 0600 in 0700
//!   lab/20261122-074512-k3f9/           the lab of that run, while there is one
//! ```
//!
//! A journal is locked as long as its cockpit lives, and the operating system
//! unlocks it when the cockpit dies, however it dies. So a run that has no end
//! and no lock is one whose cockpit was killed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, TryLockError},
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use etcetera::BaseStrategy as _;

use super::{
    Error,
    reader::{Item, Reader},
    record::{self, Digest, Raw},
};
use crate::core::{
    event::{ClusterInfo, Event, Fact, RunStarted},
    model::ledger::{Ledger, Summary},
    time::Time,
};

/// The environment variable that names the state directory.
pub const STATE_VAR: &str = "AKS_TUI_STATE";

/// The extension of a journal.
const EXTENSION: &str = "jsonl";

/// Looking whether a journal is locked takes its lock for a moment; whoever
/// wants it in earnest tries again a few times.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The last record of a journal is at most this long, bytes.
const LAST_RECORD: u64 = 16 << 10;

/// The directory where the cockpit keeps what outlives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The state directory of this user: `AKS_TUI_STATE`, or as the platform
    /// has it (`~/.local/state/aks-tui` on Linux and macOS).
    ///
    /// # Errors
    /// There is no home directory.
    pub fn find() -> Result<Self, Error> {
        if let Some(dir) = env::var_os(STATE_VAR).filter(|dir| !dir.is_empty()) {
            return Ok(Self(dir.into()));
        }
        let base = etcetera::choose_base_strategy().map_err(|_| Error::NoStateDir)?;
        // Windows knows no state, only data.
        let dir = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(Self(dir.join("aks-tui")))
    }

    /// This directory.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the journals are.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// Where the labs of runs are.
    pub fn labs(&self) -> PathBuf {
        self.0.join("lab")
    }

    /// Where the lab of `run` keeps its disks.
    pub fn lab(&self, run: &str) -> PathBuf {
        self.labs().join(run)
    }

    /// The journal of `run`, whether there is one or not.
    pub fn journal(&self, run: &str) -> PathBuf {
        path_of(&self.runs(), run)
    }
}

/// The wall clock, ms since 1970.
pub fn wall_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A name for a run that begins at `wall_ms` (ms since 1970): sorts by time and
/// tells two runs of one second apart.
pub fn run_id(wall_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    let mut id = at.strftime("%Y%m%d-%H%M%S-").to_string();
    id.extend((0..4).map(|_| char::from_digit(fastrand::u32(0..36), 36).unwrap_or('0')));
    id
}

/// The beginning of a run that begins now.
pub fn run_starting_now() -> RunStarted {
    let wall_ms = wall_ms();
    RunStarted {
        run: run_id(wall_ms),
        wall_ms,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn path_of(runs: &Path, run: &str) -> PathBuf {
    runs.join(format!("{run}.{EXTENSION}"))
}

/// Makes a directory that nobody else can look into; one that is there already
/// is left as it is.
pub fn make_private_dir(dir: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(Error::io("make", dir))
}

/// Takes the journal for this process alone, until `file` is closed.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
    Err(Error::Locked(path.to_owned()))
}

/// Whether a living cockpit writes the journal.
fn is_living(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            // Closing the file unlocks it in any case.
            let _ = file.unlock();
            false
        }
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks tells nothing; a cockpit could not have
        // taken one there either.
        Err(TryLockError::Error(_)) => false,
    }
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Its name.
    pub run: String,
    /// Its journal.
    pub path: PathBuf,
    /// When it began, ms since 1970.
    pub started_ms: Option<i64>,
    /// How long it was watched: until its last record.
    pub length: Duration,
    /// Where it ran.
    pub cluster: Option<ClusterInfo>,
    /// What its trials came to.
    pub summary: Summary,
    /// It was ended in good order.
    pub ended: bool,
    /// A cockpit is writing it now.
    pub living: bool,
    /// Length of the journal, bytes.
    pub size: u64,
    /// Why the journal cannot be read, if it cannot; then the rest is what was
    /// read until there.
    pub trouble: Option<String>,
}

/// All runs in `dir`, newest first. A journal that cannot be read is listed
/// with its trouble; a directory that does not exist holds no runs.
///
/// Of a run that was ended only the first and the last record are read.
///
/// # Errors
/// The directory exists and cannot be read.
pub fn list(dir: &Path) -> Result<Vec<RunInfo>, Error> {
    Ok(journals(dir)?
        .into_iter()
        .map(|(run, path)| describe(run, path, true))
        .collect())
}

/// The newest run in `dir` whose cockpit died: it has no end, and no living
/// cockpit writes it. Journals that cannot be read are passed over. The
/// information is that of the beginning; trials are not read.
///
/// # Errors
/// The directory exists and cannot be read.
pub fn unfinished(dir: &Path) -> Result<Option<RunInfo>, Error> {
    Ok(journals(dir)?
        .into_iter()
        .map(|(run, path)| describe(run, path, false))
        .find(|info| !info.ended && !info.living && info.trouble.is_none()))
}

/// What is known of one run in `dir`, if it has a journal there. The information
/// is that of the beginning; trials are not read.
pub fn look_at(dir: &Path, run: &str) -> Option<RunInfo> {
    let path = path_of(dir, run);
    path.exists().then(|| describe(run.to_owned(), path, false))
}

/// The journals of a directory by run, newest first.
fn journals(dir: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", dir)(error)),
    };
    let mut journals: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some(OsStr::new(EXTENSION)))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    journals.sort_by(|a, b| b.0.cmp(&a.0));
    Ok(journals)
}

fn describe(run: String, path: PathBuf, with_trials: bool) -> RunInfo {
    let mut info = RunInfo {
        run,
        path,
        started_ms: None,
        length: Duration::ZERO,
        cluster: None,
        summary: Summary::default(),
        ended: false,
        living: false,
        size: 0,
        trouble: None,
    };
    if let Err(error) = look_into(&mut info, with_trials) {
        info.trouble = Some(error.to_string());
    }
    info
}

fn look_into(info: &mut RunInfo, with_trials: bool) -> Result<(), Error> {
    let path = info.path.clone();
    let mut file = File::open(&path).map_err(Error::io("open", &path))?;
    info.living = is_living(&file);
    info.size = file.metadata().map_err(Error::io("read", &path))?.len();
    if let Some((at, digest)) = last_words(&mut file, info.size) {
        info.ended = true;
        // A process that is just being started may hold the lock a moment
        // longer; nobody writes after the end.
        info.living = false;
        info.length = at.since(Time::ZERO);
        info.cluster = digest.cluster;
        info.summary = digest.summary;
    }
    file.rewind().map_err(Error::io("read", &path))?;
    let mut reader = Reader::new(&path, BufReader::with_capacity(64 << 10, file));
    if let Some(first) = reader.next() {
        first?;
    }
    info.started_ms = reader.started().map(|started| started.wall_ms);
    if !info.ended && with_trials {
        fold(info, &mut reader)?;
    }
    Ok(())
}

/// The last record of a journal, if it is the end of a run.
fn last_words(file: &mut File, size: u64) -> Option<(Time, Digest)> {
    let from = size.saturating_sub(LAST_RECORD);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from)).ok()?;
    file.take(LAST_RECORD).read_to_end(&mut tail).ok()?;
    let line = tail.strip_suffix(b"\n")?;
    let line = line.rsplit(|byte| *byte == b'\n').next()?;
    let raw: Raw<'_> = serde_json::from_str(record::unseal(line).ok()?).ok()?;
    let fact: Fact = serde_json::from_str(raw.fact?.get()).ok()?;
    (fact == Fact::RunEnded).then(|| (raw.at, raw.digest.unwrap_or_default()))
}

/// Reads the whole of a run that has no last words.
fn fold(info: &mut RunInfo, reader: &mut Reader<BufReader<File>>) -> Result<(), Error> {
    let mut ledger = Ledger::default();
    let mut read_all = || {
        for item in reader.by_ref() {
            let Item::Event(Event { at, fact }) = item? else {
                continue;
            };
            info.length = info.length.max(at.since(Time::ZERO));
            ledger.observe(at, &fact);
            if let Fact::Cluster(cluster) = fact {
                info.cluster = Some(cluster);
            }
        }
        Ok(())
    };
    let read = read_all();
    info.summary = ledger.summary();
    read
}
