//! The log of the workload: both roles, across all their executions.

use std::{collections::VecDeque, sync::Arc};

use crate::core::{event::LogLine, time::Time, workload::Role};

/// Entries kept in memory; older ones are read again from the cluster.
pub const KEPT: usize = 10_000;

/// One row of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A line that a role printed.
    Line {
        /// Who.
        role: Role,
        /// What.
        line: LogLine,
    },
    /// Here one execution ends and the next begins.
    Seam {
        /// When the first line of the new execution came in.
        at: Time,
        /// Whose.
        role: Role,
        /// The pod that speaks from here on.
        pod: String,
        /// How often its container had been restarted.
        restart: u32,
        /// It is the first execution that is seen: nothing was sewn together.
        first: bool,
    },
}

impl Entry {
    /// Whose it is.
    pub const fn role(&self) -> Role {
        match self {
            Self::Line { role, .. } | Self::Seam { role, .. } => *role,
        }
    }
}

/// The newest [`KEPT`] entries. An entry keeps its number for ever, so a reader
/// that scrolled back stays where it is while new lines come in.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: VecDeque<Arc<Entry>>,
    first: u64,
}

impl Log {
    /// The number of the oldest entry that is kept.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next entry will get: how many ever came in.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entry with this number, if it is kept.
    pub fn get(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The entries from `number` on, with their numbers.
    pub fn since(&self, number: u64) -> impl Iterator<Item = (u64, &Arc<Entry>)> {
        let skip = number.saturating_sub(self.first) as usize;
        let from = self.first + skip as u64;
        (from..).zip(self.entries.iter().skip(skip))
    }

    pub(super) fn begin(&mut self, at: Time, role: Role, pod: &str, restart: u32, first: bool) {
        self.push(Entry::Seam {
            at,
            role,
            pod: pod.to_owned(),
            restart,
            first,
        });
    }

    pub(super) fn extend(&mut self, role: Role, lines: &[LogLine]) {
        for line in lines {
            self.push(Entry::Line {
                role,
                line: line.clone(),
            });
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(Arc::new(entry));
    }
}
