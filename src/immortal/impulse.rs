//! Inputs from the world: the only way in for what is not determined by the calls
//! that an instance has received, such as a signal, a measurement, a person's wish.
//!
//! They are logged like any call, so replay sees the same world. They are refused
//! while an instance replays: what it is about to do has been decided already.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::shared::Shared;
use super::wire::MAX_PAYLOAD;

/// Why an impulse was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its instance is not yet where the execution before it was.
    #[error("the instance is replaying: wait until it lives")]
    Replaying,
    /// Its payload is longer than any call's may be.
    #[error("the payload of an impulse has at most {MAX_PAYLOAD} bytes")]
    TooLong,
}

/// A hand on an instance from outside; clones are hands on the same one.
#[derive(Clone, Debug, Default)]
pub struct Impulses(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    /// Set once replay is over.
    instance: Mutex<Option<Arc<Shared>>>,
    opened: Condvar,
}

impl Impulses {
    /// Puts an impulse into the log, in the order in which this is called; waits while
    /// too many are not executed yet. It is best-effort until it is logged: a kill
    /// before that is as if it had not been sent.
    pub fn send(&self, method: u8, payload: &[u8]) -> Result<(), Refused> {
        if payload.len() as u64 > MAX_PAYLOAD {
            return Err(Refused::TooLong);
        }
        let shared = {
            let instance = self.0.instance.lock();
            let instance = instance.unwrap_or_else(PoisonError::into_inner);
            instance.clone().ok_or(Refused::Replaying)?
        };
        shared.inbox.impulse(method, payload);
        Ok(())
    }

    /// Waits until the instance lives, for ever if it never does.
    pub fn wait_until_live(&self) {
        let instance = self.0.instance.lock();
        let mut instance = instance.unwrap_or_else(PoisonError::into_inner);
        while instance.is_none() {
            let waited = self.0.opened.wait(instance);
            instance = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Replay is over.
    pub(super) fn open(&self, shared: &Arc<Shared>) {
        let instance = self.0.instance.lock();
        *instance.unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(shared));
        self.0.opened.notify_all();
    }
}
