//! Azure as the cockpit thinks of it: what is wanted, by which names, and what
//! there is to do about it. No requests here; those are the adapter's.

pub mod bed;
pub mod check;
pub mod clean;
pub mod desk;
pub mod entra;
pub mod machines;
pub mod names;
pub mod plan;
pub mod progress;
pub mod settings;
pub mod spent;

/// The tag, and its value, of every resource that aks-tui made: only what carries
/// it is deleted without being named by hand.
pub const OWNER: (&str, &str) = ("app.kubernetes.io_managed-by", "aks-tui");
