//! The lease by which a cockpit holds the lab.
//!
//! A cockpit that is closed stops its lab. One that is killed cannot, and the
//! lab waits for it: the workload goes on, and the next cockpit finds it. But
//! not for ever: when nobody has renewed the lease for a while, the lab stops
//! itself. A lab that nobody ever held runs until it is told to stop, unless it
//! was started for a cockpit, which may die before it takes the lease.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::kinds::Resource;
use super::store::{Key, Store};

/// Namespace of the lease.
pub const NAMESPACE: &str = "kube-system";
/// Name of the lease.
pub const NAME: &str = "aks-tui-cockpit";
/// How long a lease lasts that does not say.
const USUAL: Duration = Duration::from_secs(15);

/// Returns when the lab was held once and nobody came back within `linger`
/// of the last renewal. `held` says that somebody holds it from the start.
pub async fn abandoned(store: &Store, linger: Duration, held: bool) {
    let key = Key::new(Resource::Leases, NAMESPACE, NAME);
    let mut holding = Holding {
        held: held.then(|| (Instant::now(), USUAL)),
        ..Holding::default()
    };
    loop {
        let (_, mut watch) = store.list_and_watch(&[Resource::Leases]);
        holding.see(store.get(&key).as_deref(), Instant::now());
        loop {
            let event = tokio::select! {
                event = watch.next() => event,
                () = holding.end(linger) => return,
            };
            match event {
                Ok(event) if event.key == key => {
                    holding.see(store.get(&key).as_deref(), Instant::now());
                }
                Ok(_) => {}
                // Too much happened at once: look again.
                Err(_) => break,
            }
        }
    }
}

/// Who held the lab, as far as this clock knows.
#[derive(Debug, Default)]
struct Holding {
    /// The renewal seen last, as it was written.
    renewal: Option<(String, String)>,
    /// When it was seen, and how long it lasts.
    held: Option<(Instant, Duration)>,
}

impl Holding {
    /// Notes the lease as it is now; none when it is not there.
    fn see(&mut self, lease: Option<&Value>, now: Instant) {
        let spec = lease.map(|lease| &lease["spec"]);
        let text = |field: &str| {
            let value = spec.and_then(|spec| spec[field].as_str());
            value.unwrap_or_default().to_owned()
        };
        let (holder, renewed) = (text("holderIdentity"), text("renewTime"));
        if holder.is_empty() {
            // Given back, or never taken: the waiting begins with the last renewal.
            return;
        }
        let renewal = Some((holder, renewed));
        if renewal != self.renewal {
            let seconds = spec.and_then(|spec| spec["leaseDurationSeconds"].as_u64());
            self.held = Some((now, seconds.map_or(USUAL, Duration::from_secs)));
            self.renewal = renewal;
        }
    }

    /// When the lab ends itself, if it was ever held.
    fn deadline(&self, linger: Duration) -> Option<Instant> {
        let (since, lasts) = self.held?;
        // A time beyond the clock's is never.
        since.checked_add(linger.max(lasts))
    }

    async fn end(&self, linger: Duration) {
        match self.deadline(linger) {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lease(holder: &str, renewed: &str, seconds: u64) -> Value {
        json!({
            "metadata": {"namespace": NAMESPACE, "name": NAME},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds},
        })
    }

    const LINGER: Duration = Duration::from_secs(600);

    #[test]
    fn only_a_renewal_puts_the_end_off() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut holding = Holding::default();
        holding.see(None, start);
        assert_eq!(holding.deadline(LINGER), None);
        holding.see(Some(&lease("", "t", 10)), start);
        assert_eq!(holding.deadline(LINGER), None);
        holding.see(Some(&lease("me", "t1", 10)), at(1));
        holding.see(Some(&lease("me", "t1", 10)), at(5));
        assert_eq!(holding.deadline(LINGER), Some(at(601)));
        holding.see(Some(&lease("me", "t2", 10)), at(9));
        assert_eq!(holding.deadline(LINGER), Some(at(609)));
        holding.see(None, at(20));
        assert_eq!(holding.deadline(LINGER), Some(at(609)));
    }

    #[test]
    fn the_lab_never_ends_while_the_lease_lasts() {
        let start = Instant::now();
        let mut holding = Holding::default();
        holding.see(Some(&lease("me", "t", 10)), start);
        let end = start + Duration::from_secs(10);
        assert_eq!(holding.deadline(Duration::ZERO), Some(end));
    }

    #[tokio::test]
    async fn a_lab_that_was_held_is_abandoned_in_time() {
        let store = Store::new(0);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { abandoned(&store, Duration::ZERO, false).await }
        });
        let renewed = lease("me", "t", 0);
        store.create(Resource::Leases, renewed).unwrap();
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lab_whose_cockpit_never_came_is_abandoned_too() {
        let store = Store::new(0);
        let ended = |held| tokio::time::timeout(2 * LINGER, abandoned(&store, LINGER, held));
        assert!(ended(true).await.is_ok());
        assert!(ended(false).await.is_err(), "nobody was to come");
    }
}
