//! A journal, read again.
//!
//! Only the very end of a file may be unreadable: a cockpit that was killed
//! while it wrote leaves a line without its line feed, which is dropped and
//! counted. Anything else that is wrong was not done by a kill, and is an error
//! that names the byte.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    Error,
    record::{self, Digest, FORMAT, Gap, Raw},
};
use crate::core::{
    event::{Event, Fact, RunStarted, Trouble},
    time::Time,
};

/// The longest line that is read, bytes. The longest that is written is a list
/// of the pods of a huge namespace; a longer one is no record.
const LONGEST_LINE: u64 = 16 << 20;

/// A record of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Something that happened.
    Event(Event),
    /// Something is missing from here on.
    Gap {
        /// About when.
        at: Time,
        /// What and why.
        gap: Gap,
    },
}

impl Item {
    /// The item as an event: a gap reads as trouble, so that a screen that
    /// shows the run says it too.
    pub fn into_event(self) -> Event {
        match self {
            Self::Event(event) => event,
            Self::Gap { at, gap } => Event {
                at,
                fact: Fact::Trouble(Trouble {
                    what: format!("{} facts were not recorded: {}", gap.missed, gap.why),
                    next: None,
                }),
            },
        }
    }
}

/// Reads a journal record by record; the text of one line is all that is held.
///
/// After an error it yields nothing more.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    input: R,
    line: Vec<u8>,
    /// Where the next line begins.
    offset: u64,
    format: [u16; 2],
    over: bool,
    started: Option<RunStarted>,
    ended: bool,
    digest: Option<Digest>,
    dropped_tail: u64,
    skipped: usize,
    latest: Time,
    stamp: Option<(Time, i64)>,
}

impl Reader<BufReader<File>> {
    /// Opens a journal.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Ok(Self::new(path, BufReader::with_capacity(64 << 10, file)))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads `input`, which is what `path` holds.
    pub fn new(path: &Path, input: R) -> Self {
        Self {
            path: path.to_owned(),
            input,
            line: Vec::new(),
            offset: 0,
            format: FORMAT,
            over: false,
            started: None,
            ended: false,
            digest: None,
            dropped_tail: 0,
            skipped: 0,
            latest: Time::ZERO,
            stamp: None,
        }
    }

    /// How the run began; known after the first record.
    pub const fn started(&self) -> Option<&RunStarted> {
        self.started.as_ref()
    }

    /// Whether the end of the run has been read.
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// What the run came to, if the end of it has been read.
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Length of the half-written record at the end, bytes; zero if there was
    /// none.
    pub const fn dropped_tail(&self) -> u64 {
        self.dropped_tail
    }

    /// Records of a newer aks-tui that this one does not know.
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Length of what was read and understood, bytes.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The latest moment that was recorded.
    pub const fn latest(&self) -> Time {
        self.latest
    }

    /// The moment of the run that it is at `wall_ms` (ms since 1970): the last
    /// recorded one plus the wall-clock time that passed since. A wall clock
    /// that was set back makes no time pass.
    pub fn moment_at(&self, wall_ms: i64) -> Time {
        let Some((at, stamped)) = self.stamp else {
            return self.latest;
        };
        let passed = wall_ms.saturating_sub(stamped).max(0) as u64;
        self.latest
            .max(Time(at.0.saturating_add(passed.saturating_mul(1_000))))
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            offset: self.offset,
            why: why.into(),
        }
    }

    /// The next record, or none at the end. Records that are not known are
    /// counted and passed over.
    fn advance(&mut self) -> Result<Option<Item>, Error> {
        loop {
            self.line.clear();
            let read = (&mut self.input)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut self.line)
                .map_err(Error::io("read", &self.path))? as u64;
            if self.line.pop_if(|last| *last == b'\n').is_none() {
                if read == LONGEST_LINE {
                    return Err(self.damaged(format!("a line of more than {read} bytes")));
                }
                self.dropped_tail = read;
                return if self.started.is_some() {
                    Ok(None)
                } else {
                    Err(Error::Empty(self.path.clone()))
                };
            }
            let item = self.decode()?;
            self.offset += read;
            if item.is_some() {
                return Ok(item);
            }
        }
    }

    /// Reads the line at hand; none if a newer aks-tui wrote what this one does
    /// not know.
    fn decode(&mut self) -> Result<Option<Item>, Error> {
        let line = std::mem::take(&mut self.line);
        let json = record::unseal(&line).map_err(|why| self.damaged(why))?;
        if let Some(found) = self.announced(json)? {
            self.format = found;
        }
        let raw: Raw<'_> =
            serde_json::from_str(json).map_err(|error| self.damaged(error.to_string()))?;
        if let Some(wall) = raw.wall {
            self.stamp = Some((raw.at, wall));
        }
        self.latest = self.latest.max(raw.at);
        let item = match (raw.fact, raw.gap) {
            (Some(fact), _) => serde_json::from_str(fact.get())
                .map(|fact| Item::Event(Event { at: raw.at, fact }))
                .map_err(|error| error.to_string()),
            (None, Some(gap)) => Ok(Item::Gap { at: raw.at, gap }),
            (None, None) => Err("a record that says nothing".into()),
        };
        let digest = raw.digest;
        self.line = line;
        match item {
            Ok(item) => self.note(item, digest).map(Some),
            Err(_) if self.format > FORMAT && self.started.is_some() => {
                self.skipped += 1;
                Ok(None)
            }
            Err(why) => Err(self.damaged(why)),
        }
    }

    /// The format that the record at hand announces, if it does.
    fn announced(&self, json: &str) -> Result<Option<[u16; 2]>, Error> {
        // Cheap to rule out: only the first record of a cockpit announces one.
        let found = if self.started.is_none() || json.starts_with(r#"{"v""#) {
            record::announced(json)
        } else {
            None
        };
        match found {
            Some(found) if found[0] > FORMAT[0] => Err(Error::Newer {
                path: self.path.clone(),
                found,
            }),
            None if self.started.is_none() => {
                Err(self.damaged("its first record does not say which format it has"))
            }
            found => Ok(found),
        }
    }

    fn note(&mut self, item: Item, digest: Option<Digest>) -> Result<Item, Error> {
        if let Item::Event(event) = &item {
            match &event.fact {
                Fact::RunStarted(started) if self.started.is_none() => {
                    self.started = Some(started.clone());
                }
                Fact::RunEnded => {
                    self.ended = true;
                    self.digest = digest;
                }
                _ => {}
            }
        }
        if self.started.is_none() {
            return Err(self.damaged("its first record is not the beginning of a run"));
        }
        Ok(item)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.advance().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A whole journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// How the run began.
    pub started: RunStarted,
    /// What happened, in the order of recording. Gaps stand as trouble.
    pub events: Vec<Event>,
    /// What is missing, and about when.
    pub gaps: Vec<(Time, Gap)>,
    /// The run was ended in good order.
    pub ended: bool,
    /// Length of the half-written record at the end, bytes: its cockpit was
    /// killed while it wrote. Zero if there was none.
    pub dropped_tail: u64,
    /// Records of a newer aks-tui that this one does not know.
    pub skipped: usize,
}

impl Recording {
    /// What a person should know about how complete the recording is, a
    /// sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.dropped_tail > 0 {
            notes.push(format!(
                "the last record was only half written ({} bytes) and was dropped",
                self.dropped_tail
            ));
        }
        if self.skipped > 0 {
            notes.push(format!(
                "{} records of a newer aks-tui were passed over",
                self.skipped
            ));
        }
        let missed: u64 = self.gaps.iter().map(|(_, gap)| gap.missed).sum();
        if missed > 0 {
            notes.push(format!(
                "{missed} facts were not recorded, in {} gaps",
                self.gaps.len()
            ));
        }
        notes
    }

    pub(super) fn collect<R: BufRead>(reader: &mut Reader<R>) -> Result<Self, Error> {
        let (mut events, mut gaps) = (Vec::new(), Vec::new());
        for item in &mut *reader {
            let item = item?;
            if let Item::Gap { at, gap } = &item {
                gaps.push((*at, gap.clone()));
            }
            events.push(item.into_event());
        }
        let started = reader
            .started
            .clone()
            .ok_or_else(|| Error::Empty(reader.path.clone()))?;
        Ok(Self {
            started,
            events,
            gaps,
            ended: reader.ended,
            dropped_tail: reader.dropped_tail,
            skipped: reader.skipped,
        })
    }
}

/// Reads the journal in `path`.
///
/// # Errors
/// The file cannot be read, is damaged, holds nothing, or was written by a
/// newer aks-tui.
pub fn read(path: &Path) -> Result<Recording, Error> {
    Recording::collect(&mut Reader::open(path)?)
}
