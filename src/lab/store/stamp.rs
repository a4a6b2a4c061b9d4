//! What is stamped on objects: times and identities.

use jiff::Timestamp;
use uuid::Uuid;

/// A time as Kubernetes writes it in objects: UTC, whole seconds.
pub fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time with microseconds, as leases and event series carry it.
pub fn micro_timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A random version 4 UUID.
pub fn new_uid() -> String {
    Uuid::new_v4().to_string()
}
