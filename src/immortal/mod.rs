//! A small runtime that makes a process immortal.
//!
//! The idea is that of virtual resiliency: an application is a state that changes
//! only by calls. The runtime logs every call *before* it takes effect, so a
//! process that is killed, at any instruction, is brought back by executing the
//! logged calls again. Three things make that exact:
//!
//! - **Calls carry sequence numbers.** What a peer sends twice is filtered; what it
//!   sends out of turn is refused.
//! - **Calls to others are not logged but made again** by replay, with the same
//!   numbers. They are kept until the peer says that it has them in its own log.
//! - **Checkpoints** bound what has to be executed again, and let old logs go.
//!
//! The way of a call through the threads of an instance:
//!
//! ```text
//! socket ─▶ inbox ─▶ commit ─▶ execute ─▶ link ─▶ socket
//!   read   (a page    (log,     (the       (kept until    write
//!           grows)    fsync)    app)        durable there)
//! ```
//!
//! Nothing here waits in a circle: readers always find room (a peer sends only what
//! it was granted), the committer waits for the disk alone, and of two instances
//! that talk to each other only the one that answers ([`App::ANSWERS`]) ever waits
//! for the other while executing.
//!
//! [`perftest`] is the application that this exists for.

pub mod address;
mod app;
mod checkpoint;
mod codec;
mod commit;
mod delivery;
mod directory;
mod error;
mod execute;
mod inbox;
mod instance;
mod link;
mod log;
mod outgoing;
mod page;
pub mod perftest;
mod recovery;
mod shared;
mod wire;

pub use app::{App, Call, Caller, Context, Recovery};
pub use delivery::Notice;
pub use directory::Durability;
pub use error::Error;
pub use instance::{Config, Role, run};
pub use wire::MAX_PAYLOAD;
