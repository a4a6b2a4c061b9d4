//! How much one user may ask at once, so that the others get answers too.
//!
//! As the real server's priority and fairness: who asks too much waits a
//! little, and then is told *429* and when to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::status::ApiError;

/// Requests of one user that are answered at once.
const RUNNING: usize = 128;
/// Watches, logs, commands and the like of one user that go on at once.
pub const STREAMS: usize = 512;
/// Connections to pods' ports of one user that are forwarded at once. One
/// conversation carries many of them.
const FORWARDED: usize = 1024;
/// KiB of bodies of one user that are read at once.
const BODIES: u32 = 32 * 1024;
/// Requests of one user a second, in the long run.
const RATE: f64 = 2_000.0;
/// Requests of one user that may come together.
const BURST: f64 = 4_000.0;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is left of what one user may ask.
#[derive(Debug)]
pub struct Flow {
    running: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    forwarded: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    /// When the bucket is full again. It only moves forward.
    full: Mutex<Instant>,
}

/// The flows of all users.
#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<String, Arc<Flow>>>);

impl Limits {
    /// The flow of a user; what nobody uses is forgotten.
    pub fn flow(&self, user: &str) -> Arc<Flow> {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flow) = flows.get(user) {
            return Arc::clone(flow);
        }
        let now = Instant::now();
        flows.retain(|_, flow| Arc::strong_count(flow) > 1 || !flow.is_unused(now));
        let flow = Arc::new(Flow {
            running: Arc::new(Semaphore::new(RUNNING)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            forwarded: Arc::new(Semaphore::new(FORWARDED)),
            bodies: Arc::new(Semaphore::new(BODIES as usize)),
            full: Mutex::new(now),
        });
        flows.insert(user.to_owned(), Arc::clone(&flow));
        flow
    }
}

impl Flow {
    /// Whether forgetting it would make no difference.
    fn is_unused(&self, now: Instant) -> bool {
        let full = *self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full <= now
            && self.running.available_permits() == RUNNING
            && self.streams.available_permits() == STREAMS
            && self.forwarded.available_permits() == FORWARDED
            && self.bodies.available_permits() == BODIES as usize
    }

    /// Takes one request out of the bucket; says how long to wait for it.
    fn take(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full).max(now) + Duration::from_secs_f64(1.0 / RATE);
        let wait = (next - now).saturating_sub(Duration::from_secs_f64(BURST / RATE));
        if wait > PATIENCE {
            return None;
        }
        *full = next;
        Some(wait)
    }

    /// Lets a request in, when it is time for one more.
    ///
    /// # Errors
    /// *429*.
    pub async fn enter(&self) -> Result<(), ApiError> {
        let wait = self.take().ok_or_else(ApiError::too_many_requests)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// A place for a request that has come in as a whole, held until it is
    /// answered.
    ///
    /// # Errors
    /// *429*.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        within(Arc::clone(&self.running).acquire_owned()).await
    }

    /// A place for something that goes on, held until it ends. Waiting would
    /// be in vain: what goes on does not end soon.
    ///
    /// # Errors
    /// *429*.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| ApiError::too_many_requests())
    }

    /// Places for connections to pods' ports, each held until it ends.
    pub fn forwarded(&self) -> Arc<Semaphore> {
        Arc::clone(&self.forwarded)
    }

    /// Room for a body that comes in pieces.
    pub fn room(&self) -> Room {
        Room {
            bodies: Arc::clone(&self.bodies),
            taken: None,
        }
    }
}

/// The room that a body takes, as much as has come of it: what is announced
/// and does not come takes nothing from anybody. It is free again when this is
/// dropped.
#[derive(Debug)]
pub struct Room {
    bodies: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Grows to so many bytes.
    ///
    /// # Errors
    /// *429* when there is no room for so long that the client had better come
    /// again.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let wanted = bytes.div_ceil(1024).min(BODIES as usize);
        let had = self
            .taken
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = wanted.saturating_sub(had) as u32;
        if more == 0 {
            return Ok(());
        }
        let more = within(Arc::clone(&self.bodies).acquire_many_owned(more)).await?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

async fn within<E>(
    place: impl Future<Output = Result<OwnedSemaphorePermit, E>>,
) -> Result<OwnedSemaphorePermit, ApiError> {
    match tokio::time::timeout(PATIENCE, place).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(ApiError::too_many_requests()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_user_who_asks_too_much_waits_and_is_then_refused() {
        let limits = Limits::default();
        let flow = limits.flow("greedy");
        let start = Instant::now();
        for _ in 0..BURST as usize {
            flow.enter().await.unwrap();
        }
        assert!(start.elapsed().is_zero());
        for _ in 0..RATE as usize {
            flow.enter().await.unwrap();
        }
        assert!(
            start.elapsed() >= Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        // All at once, nobody waits for an answer.
        let mut refused = 0;
        for _ in 0..20_000 {
            refused += usize::from(flow.take().is_none());
        }
        assert!(refused > 10_000, "{refused}");
        assert!(limits.flow("modest").enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn places_come_back_and_one_users_are_not_anothers() {
        let limits = Limits::default();
        let flow = limits.flow("a");
        let held: Vec<_> = (0..STREAMS).map(|_| flow.stream().unwrap()).collect();
        assert_eq!(flow.stream().unwrap_err().code, 429);
        assert!(limits.flow("b").stream().is_ok());
        drop(held);
        assert!(flow.stream().is_ok());
        let (mut large, mut small) = (flow.room(), flow.room());
        large.grow(usize::MAX).await.unwrap();
        assert_eq!(small.grow(1).await.unwrap_err().code, 429);
        drop(large);
        small.grow(1).await.unwrap();
        small.grow(1024).await.unwrap();
        assert_eq!(flow.bodies.available_permits(), BODIES as usize - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_counted_also_when_nothing_is_asked() {
        let limits = Limits::default();
        let held: Vec<_> = (0..STREAMS)
            .map(|_| limits.flow("a").stream().unwrap())
            .collect();
        tokio::time::advance(Duration::from_secs(60)).await;
        // The flow of somebody new is the time to forget others.
        drop(limits.flow("b"));
        assert_eq!(limits.flow("a").stream().unwrap_err().code, 429);
        drop(held);
        drop(limits.flow("c"));
        assert_eq!(limits.0.lock().unwrap().len(), 1);
    }
}
