//! The task between the adapters and the loop.
//!
//! It takes everything that waits, shows it to the journal (which never makes
//! it wait) and hands it to the loop in one piece. When the loop is busy, the
//! relay waits for the loop, and the adapters wait for the relay: nothing is
//! dropped on the way.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{handle::Journal, writer::JournalState};
use crate::core::{event::Event, time::Time};

/// Events that are handed over at once.
const BATCH: usize = 4_096;

/// How long the last records may take. A disk that hangs does not keep a person
/// from leaving.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// A relay at work. When it is dropped, recording stops as it would if the
/// cockpit were killed: the run can be taken up again.
#[derive(Debug)]
pub struct Relay {
    task: JoinHandle<Option<Journal>>,
    end: oneshot::Sender<()>,
    state: watch::Receiver<JournalState>,
}

/// How a run's recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The journal is whole.
    Recorded,
    /// The disk did not take the last records in time, or refused them.
    Incomplete,
    /// There was no journal.
    Off,
}

/// Starts a relay from `events` to `out` that records in `journal`.
pub fn relay(
    mut events: mpsc::Receiver<Event>,
    out: mpsc::Sender<Vec<Event>>,
    mut journal: Option<Journal>,
) -> Relay {
    let (end, mut ending) = oneshot::channel::<()>();
    let state = journal
        .as_ref()
        .map_or_else(|| watch::channel(JournalState::Off).1, Journal::state);
    let task = tokio::spawn(async move {
        let mut out = Some(out);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                // What waits is recorded before the end is.
                biased;
                received = events.recv_many(&mut batch, BATCH) => if received == 0 {
                    break;
                },
                _ = &mut ending => return journal,
            }
            if let Some(journal) = &mut journal {
                journal.record(&batch);
            }
            if let Some(open) = &out {
                let handed_over = tokio::select! {
                    sent = open.send(batch) => sent.is_ok(),
                    // The loop has left and will not read any more.
                    _ = &mut ending => return drain(events, journal),
                };
                if !handed_over {
                    out = None;
                }
            }
        }
        // The adapters are gone; the loop hears of it, the journal stays open
        // until the run is ended or given up.
        drop(out);
        ending.await.ok().and(journal)
    });
    Relay { task, end, state }
}

/// Records what still waits.
fn drain(mut events: mpsc::Receiver<Event>, mut journal: Option<Journal>) -> Option<Journal> {
    let mut rest = Vec::new();
    while let Ok(event) = events.try_recv() {
        rest.push(event);
    }
    if let Some(journal) = &mut journal {
        journal.record(&rest);
    }
    journal
}

impl Relay {
    /// How recording is going, as it changes.
    pub fn state(&self) -> watch::Receiver<JournalState> {
        self.state.clone()
    }

    /// Ends the run in good order at `at`: records what still waits and the
    /// end, and closes the journal.
    pub async fn end(self, at: Time) -> Ending {
        // A relay that has stopped by itself has nothing left to be told.
        let _ = self.end.send(());
        let Ok(journal) = self.task.await else {
            return Ending::Incomplete;
        };
        let Some(journal) = journal else {
            return Ending::Off;
        };
        match timeout(LAST_RECORDS, journal.end(at)).await {
            Ok(Ok(())) if !matches!(*self.state.borrow(), JournalState::Paused { .. }) => {
                Ending::Recorded
            }
            _ => Ending::Incomplete,
        }
    }
}
