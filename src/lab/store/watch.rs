//! What changed, and cursors into it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::{Key, Store, StoreError};
use crate::lab::kinds::Resource;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl Change {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// What happened.
    pub change: Change,
    /// Which object.
    pub key: Key,
    /// The object after the change; for [`Change::Deleted`] as it was last,
    /// with the version of its deletion.
    pub object: Arc<Value>,
    /// The object before the change; none when it was created.
    pub previous: Option<Arc<Value>>,
    /// Version of the change.
    pub rv: u64,
    pub(super) json: OnceLock<Bytes>,
}

impl WatchEvent {
    /// [`WatchEvent::object`] as it stands on the wire: written once, however
    /// many watch.
    pub fn json(&self) -> &Bytes {
        self.json
            .get_or_init(|| Bytes::from(self.object.to_string()))
    }
}

/// A cursor into the changes of some kinds.
pub struct Watch {
    store: Store,
    /// None means all kinds.
    resources: Option<Vec<Resource>>,
    newest: watch::Receiver<u64>,
    cursor: u64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("resources", &self.resources)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// A cursor behind version `from`, over some kinds or over all.
    pub(super) fn new(store: &Store, resources: Option<&[Resource]>, from: u64) -> Self {
        Self {
            store: store.clone(),
            resources: resources.map(<[Resource]>::to_vec),
            newest: store.newest.subscribe(),
            cursor: from,
        }
    }

    /// The next change, waiting for one if need be. Cancel safe: a dropped
    /// call loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when the reader fell behind what is remembered;
    /// list again then.
    pub async fn next(&mut self) -> Result<Arc<WatchEvent>, StoreError> {
        loop {
            self.newest.borrow_and_update();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            // The sender lives in the store, which this watch keeps alive.
            let _ = self.newest.changed().await;
        }
    }

    /// The next change if there is one already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<WatchEvent>>, StoreError> {
        let inner = self.store.lock();
        inner.check(self.cursor)?;
        // Versions are consecutive, so the place in the history is arithmetic.
        let skip = (self.cursor - inner.compacted) as usize;
        let wanted = |event: &&Arc<WatchEvent>| {
            let resources = self.resources.as_ref();
            resources.is_none_or(|it| it.contains(&event.key.resource))
        };
        match inner.history.range(skip..).find(wanted) {
            Some(event) => {
                self.cursor = event.rv;
                Ok(Some(Arc::clone(event)))
            }
            None => {
                self.cursor = inner.rv;
                Ok(None)
            }
        }
    }

    /// Every change up to this version has been handed out.
    pub fn position(&self) -> u64 {
        self.cursor
    }
}
