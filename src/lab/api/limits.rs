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
        flows.retain(|_, flow| Arc::strong_count(flow) > 1 || flow.full_at() > now);
        let flow = Arc::new(Flow {
            running: Arc::new(Semaphore::new(RUNNING)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            bodies: Arc::new(Semaphore::new(BODIES as usize)),
            full: Mutex::new(now),
        });
        flows.insert(user.to_owned(), Arc::clone(&flow));
        flow
    }
}

impl Flow {
    fn full_at(&self) -> Instant {
        *self.full.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// A place for a request, held until it is answered.
    ///
    /// # Errors
    /// *429*.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let wait = self.take().ok_or_else(ApiError::too_many_requests)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
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

    /// Room for a body of so many bytes, held while it is used.
    ///
    /// # Errors
    /// *429*.
    pub async fn body(&self, bytes: u64) -> Result<OwnedSemaphorePermit, ApiError> {
        let size = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(BODIES)
            .min(BODIES);
        within(Arc::clone(&self.bodies).acquire_many_owned(size)).await
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
            drop(flow.enter().await.unwrap());
        }
        assert!(start.elapsed().is_zero());
        for _ in 0..RATE as usize {
            drop(flow.enter().await.unwrap());
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
        let body = flow.body(u64::MAX).await.unwrap();
        assert_eq!(flow.body(1).await.unwrap_err().code, 429);
        drop(body);
        assert!(flow.body(1).await.is_ok());
    }
}
