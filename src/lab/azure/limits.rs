//! How many requests may be sent: buckets that fill with time, as Azure
//! publishes them. Every answer tells how much is left; an empty bucket refuses
//! where that is asked for.

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::aks;
use super::answer::ArmError;
use super::call::Call;
use super::faults::Fault;
use super::ids;
use super::world::World;

/// A bucket: how much it holds, and how much flows into it a second.
#[derive(Debug, Clone, Copy)]
struct Size {
    burst: f64,
    rate: f64,
}

/// How full a bucket is.
#[derive(Debug, Clone, Copy)]
struct Level {
    left: f64,
    at: Timestamp,
}

/// All buckets.
#[derive(Debug, Default)]
pub struct Buckets {
    levels: std::collections::HashMap<String, Level>,
}

const READS: Size = Size {
    burst: 250.0,
    rate: 25.0,
};
const WRITES: Size = Size {
    burst: 200.0,
    rate: 10.0,
};
const CLUSTER_WRITES: Size = Size {
    burst: 20.0,
    rate: 1.0 / 60.0,
};
const CLUSTER_READS: Size = Size {
    burst: 60.0,
    rate: 1.0,
};
const CLUSTER_STATUS: Size = Size {
    burst: 200.0,
    rate: 2.0,
};

impl Buckets {
    /// Takes one out of a bucket, and says how many are left; less than none if
    /// there was none.
    fn take(&mut self, name: String, size: Size, now: Timestamp) -> f64 {
        let level = self.levels.entry(name).or_insert(Level {
            left: size.burst,
            at: now,
        });
        let seconds = now.duration_since(level.at).as_secs_f64().max(0.0);
        level.left = (level.left + seconds * size.rate).min(size.burst);
        level.at = now;
        if level.left < 1.0 {
            return -1.0;
        }
        level.left -= 1.0;
        level.left
    }
}

/// The kind of request that Azure Resource Manager counts it as.
fn arm(method: &Method) -> (&'static str, &'static str, Size) {
    match method.as_str() {
        "GET" | "HEAD" => (
            "reads",
            "x-ms-ratelimit-remaining-subscription-reads",
            READS,
        ),
        "DELETE" => (
            "deletes",
            "x-ms-ratelimit-remaining-subscription-deletes",
            WRITES,
        ),
        _ => (
            "writes",
            "x-ms-ratelimit-remaining-subscription-writes",
            WRITES,
        ),
    }
}

/// The bucket that the provider of clusters counts a request in: of one cluster,
/// or of the subscription.
fn of_clusters(call: &Call) -> Option<(String, Size)> {
    if !ids::namespace(&call.path).eq_ignore_ascii_case("Microsoft.ContainerService") {
        return None;
    }
    let kind = ids::kind(&call.path);
    let is = |it: &str| kind.eq_ignore_ascii_case(it);
    let lower = call.path.to_ascii_lowercase();
    let whole = is(aks::CLUSTER) || is(aks::POOL);
    Some(match call.method.as_str() {
        "PUT" if whole => (format!("put {lower}"), CLUSTER_WRITES),
        "GET" if lower.contains("/operations/") || lower.contains("/operationresults/") => {
            ("cluster status".to_owned(), CLUSTER_STATUS)
        }
        "GET" if whole => (format!("get {lower}"), CLUSTER_READS),
        _ => (format!("{} clusters", call.method), CLUSTER_READS),
    })
}

/// Counts a request. The header tells what is left.
///
/// # Errors
/// *429* with the time to wait, where limits are enforced.
pub fn count(
    world: &mut World,
    call: &Call,
    now: Timestamp,
) -> Result<(&'static str, String), ArmError> {
    let enforced = world.has(Fault::Limits);
    let (name, header, size) = arm(&call.method);
    let left = world.buckets.take(name.to_owned(), size, now);
    if left < 0.0 && enforced {
        return Err(refusal("SubscriptionRequestsThrottled", size, false));
    }
    if let Some((name, size)) = of_clusters(call)
        && world.buckets.take(name, size, now) < 0.0
        && enforced
    {
        return Err(refusal("Throttled", size, true));
    }
    Ok((header, format!("{:.0}", left.max(0.0).floor())))
}

fn refusal(code: &str, size: Size, flat: bool) -> ArmError {
    let wait = (1.0 / size.rate).ceil();
    let message = format!("Too many requests. Please try again after '{wait}' seconds.");
    let mut error = if flat {
        aks::refusal(StatusCode::TOO_MANY_REQUESTS, code, message)
    } else {
        ArmError::new(StatusCode::TOO_MANY_REQUESTS, code, message)
    };
    error.headers.push(("retry-after", format!("{wait:.0}")));
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;

    #[test]
    fn a_bucket_is_empty_after_its_burst_and_fills_with_time() {
        let mut buckets = Buckets::default();
        let size = Size {
            burst: 3.0,
            rate: 0.5,
        };
        let start = Timestamp::UNIX_EPOCH;
        let mut at = |seconds: i64| {
            let now = start.checked_add(seconds.seconds()).unwrap();
            buckets.take("x".to_owned(), size, now)
        };
        for left in [2.0, 1.0, 0.0] {
            assert!((at(0) - left).abs() < 1e-9);
        }
        assert!(at(1) < 0.0);
        assert!(at(2) >= 0.0);
        assert!(at(2) < 0.0);
        assert!(at(1000) > 1.0);
    }
}
