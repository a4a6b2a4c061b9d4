//! The log pane: which entries pass, where the reader stands.

use std::collections::VecDeque;

use super::pattern::Pattern;
use crate::core::{
    event::LineKind,
    model::log::{Entry, Log},
    workload::Role,
};

/// Columns that one step to the side scrolls.
const SIDE_STEP: usize = 8;

/// How the log is read.
#[derive(Debug, Clone, Default)]
pub struct LogUi {
    /// Whose lines; none is both.
    pub source: Option<Role>,
    /// What a line must match.
    pub filter: Pattern,
    /// What is searched for.
    pub search: Pattern,
    /// Long lines are broken, not scrolled.
    pub wrap: bool,
    /// The node's time is shown.
    pub timestamps: bool,
    /// Progress lines are shown too.
    pub progress: bool,
    /// Columns that long lines are scrolled to the left.
    pub column: usize,
    /// The entry at the bottom of the pane; none follows the newest.
    bottom: Option<u64>,
    /// The numbers of the entries that pass, in order.
    passing: VecDeque<u64>,
    /// Entries up to this number were looked at.
    seen: u64,
}

impl LogUi {
    /// Whether the newest line is followed.
    pub const fn follows(&self) -> bool {
        self.bottom.is_none()
    }

    /// The numbers of the entries that pass, oldest first.
    pub const fn passing(&self) -> &VecDeque<u64> {
        &self.passing
    }

    /// How many passing entries lie at or above the bottom of the pane.
    pub fn bottom_row(&self) -> usize {
        self.bottom.map_or(self.passing.len(), |bottom| {
            self.passing.partition_point(|number| *number <= bottom)
        })
    }

    /// Looks at the entries that came since the last call.
    pub fn sync(&mut self, log: &Log) {
        if self.seen > log.end() {
            // The picture went back in time: a frozen one is shown.
            self.restart();
        }
        while self
            .passing
            .front()
            .is_some_and(|number| *number < log.first())
        {
            self.passing.pop_front();
        }
        let from = self.seen;
        for (number, entry) in log.since(from) {
            if self.passes(entry) {
                self.passing.push_back(number);
            }
        }
        self.seen = log.end();
    }

    /// The question changed: every entry is looked at again at the next sync.
    pub fn restart(&mut self) {
        self.passing.clear();
        self.seen = 0;
    }

    /// Moves by rows; down is positive. At the bottom it follows again.
    pub fn step(&mut self, by: isize) {
        let row = self.bottom_row().saturating_add_signed(by);
        self.bottom = if row >= self.passing.len() {
            None
        } else {
            self.passing.get(row.max(1) - 1).copied()
        };
    }

    /// To the first entry, with `height` rows on the screen.
    pub fn top(&mut self, height: usize) {
        self.bottom = (self.passing.len() > height)
            .then(|| self.passing.get(height.max(1) - 1).copied())
            .flatten();
    }

    /// Follows the newest entry.
    pub fn follow(&mut self) {
        self.bottom = None;
    }

    /// Stays where it is.
    pub fn stay(&mut self) {
        self.bottom = self.bottom.or_else(|| self.passing.back().copied());
    }

    /// To the nearest match of the search; `false` if there is none.
    pub fn find(&mut self, log: &Log, forward: bool) -> bool {
        if self.search.is_empty() {
            return false;
        }
        let here = self.bottom_row();
        let hit = |number: &u64| {
            log.get(*number).is_some_and(|entry| match &**entry {
                Entry::Line { line, .. } => self.search.matches(&line.text),
                Entry::Seam { .. } => false,
            })
        };
        let found = if forward {
            self.passing.iter().skip(here).find(|n| hit(n))
        } else {
            self.passing
                .iter()
                .take(here.saturating_sub(1))
                .rev()
                .find(|n| hit(n))
        };
        let Some(found) = found.copied() else {
            return false;
        };
        self.bottom = Some(found);
        true
    }

    /// Scrolls long lines to the side.
    pub const fn shift(&mut self, right: bool) {
        self.column = if right {
            self.column.saturating_add(SIDE_STEP)
        } else {
            self.column.saturating_sub(SIDE_STEP)
        };
    }

    fn passes(&self, entry: &Entry) -> bool {
        if self.source.is_some_and(|role| role != entry.role()) {
            return false;
        }
        match entry {
            // A seam explains the lines around it, whatever is filtered.
            Entry::Seam { .. } => true,
            Entry::Line { line, .. } => {
                (self.progress || line.kind != LineKind::Progress)
                    && self.filter.matches(&line.text)
            }
        }
    }
}
