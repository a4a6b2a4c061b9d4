//! A small runtime that makes a process immortal.
//!
//! The idea is that of virtual resiliency: an application ([`App`]) is a state that
//! changes only by calls. The runtime logs every call *before* it takes effect, so a
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
//! [`perftest`] is one application, [`helloworld`] a very small one; the tests have
//! another, counters that call themselves and each other at random.
//!
//! # The specification
//!
//! **What an application may do.** The same calls in the same order must lead to the
//! same state and the same calls. Time ([`Context::now`]) and chance
//! ([`Context::random`]) are read from the page that the call was logged in;
//! everything else that is not a call comes in as an impulse ([`Impulses`]), which is
//! logged too and refused during replay: by then its effects are decided.
//!
//! **The log page** is the unit that is written, synchronised and checksummed. While
//! one is on its way to the device the next one gathers all that comes in, so pages
//! grow with the device's latency and nobody needs a timer. 48 bytes of header:
//!
//! | bytes | what | why |
//! | --- | --- | --- |
//! | 0–3 | `akP`, version `1` | another format is refused by name, not taken for damage |
//! | 4–7 | CRC-32 of all that follows, header and records | every flipped bit is seen |
//! | 8–11 | length of the records | |
//! | 12–15 | chance | what handlers draw from |
//! | 16–23 | number of the log file | a page of another file is not taken for one of this |
//! | 24–31 | number of the page, without gaps over all logs | a lost page is seen |
//! | 32–39 | epoch: which execution wrote it | |
//! | 40–47 | nanoseconds since 1970, always rising | what handlers read |
//!
//! Then records, 19 bytes and a body each: a run of calls (from a link, from the
//! instance itself, from the world) with the number of its first; a peer's
//! acknowledgement, so that replay lets go of what the first execution let go of; the
//! name of a peer that was new. There is no trailer: one checksum covers everything.
//!
//! **The order of effects.** A page is written; with [`Durability::Fsync`] it is
//! synchronised; then, and not before, its calls may be acknowledged to their
//! senders, and are executed. So nothing takes effect that could be forgotten, and
//! nobody forgets what is not safe elsewhere. [`Durability::Os`] leaves out the
//! synchronisation: it survives the death of the process, not that of the machine.
//!
//! **A checkpoint** is taken at the border of two pages, where a new log begins, and
//! written while calls go on: the application's state, its calls to itself that wait,
//! and for each link how far it got both ways and the calls that are not durable at
//! the peer, since replay could not make them again. It is written under another
//! name, synchronised, renamed, and the directory synchronised; only then are older
//! files removed. Two generations stay, so a checkpoint that cannot be read costs a
//! longer replay. One is due when the log is longer than its trigger (64 MiB, or the
//! state if that is longer), or when replay would take a tenth of a second.
//!
//! **The bound of the disk.** No log grows beyond twice the trigger while a checkpoint
//! is under way, and there are at most three generations: six times the trigger, 384
//! MiB by default, and three checkpoints, each of the state and of at most 16 MiB and
//! what one call makes (perftest: 10 MiB). Only an instance that waits for a peer which is away may log
//! what others still send, and that is bounded by their windows.
//!
//! **The handshake.** The dialling side says who it is, to whom it believes to talk,
//! its epoch, the next call it wants, the last call it has made durable and how much
//! may be sent to it; the other side answers the same. Either refuses a history that
//! cannot be continued (somebody's log is gone), and a connection of an older
//! execution than one it knows. Then each sends from where the other one wants.
//!
//! **Recovery.** The newest checkpoint that is whole, then every page after it, in
//! order. Only the last page of the last log may be unreadable: a write that was cut
//! short by the death; nobody has seen its effects, and it is cut off, with a line
//! that says so. Anything else that does not read back is an error that names file
//! and byte. Calls that were made again are sent on from where each peer asks. Then
//! the execution begins a log of its own, and, with its first page, a checkpoint.
//!
//! **One execution acts.** A lock on the directory excludes; a second execution waits,
//! or asks the first to yield ([`Contest::TakeOver`]), or stands by: executes what is
//! logged as it is logged and acts as soon as the lock falls free
//! ([`Contest::StandBy`]). One standby also takes the checkpoints, so that the execution
//! that acts does not pause to copy its state; if it does not deliver within five
//! seconds, that one takes them itself again. An execution that finds itself replaced although it held the
//! lock stops within [`LOOK`] and the time of a look. Each counts itself (the epoch), and
//! peers refuse the older one.
//!
//! **What a call costs.** Calls travel in runs, of about 128 KiB where there is enough to
//! do, and a lock, a wake-up, a system call is the price of a run or a page, never of a
//! call. A payload is copied by the handler that makes the call, into the chunk that is
//! kept until the peer has it; by the kernel from there to the peer's socket, and from
//! the socket to its place in a page of the peer; and from the page to the log. It is
//! executed where it lies in the page. Chunks, pages and their pieces are used again, so
//! the steady state allocates nothing for a call.
//!
//! **Nothing waits in a circle.** Readers always find room: a peer sends only what it
//! was granted, and the grant grows with what was executed. The committer waits for
//! the disk alone. Of two instances that talk to each other only the one that answers
//! ([`App::ANSWERS`]) ever waits for the other while executing; calls to itself, where
//! new work comes from, wait while more than 8 MiB are owed to peers, answers while
//! more than 16 MiB are. With the window of 8 MiB for each peer and the pages under way
//! that bounds the memory too: under 192 MiB for perftest whatever its peer does. A
//! disk that is full is [waited for](room).
//!
//! # What is not here
//!
//! An instance without a standby pauses at a checkpoint for as long as its state takes
//! to be copied. A standby takes over on the same files, so they must be where both can
//! lock them. A replaced execution on a file system whose
//! locks do not exclude is noticed after the fact.

pub mod address;
mod app;
mod checkpoint;
mod codec;
mod commit;
pub mod crash;
mod delivery;
mod directory;
mod error;
mod execute;
mod fence;
mod fingerprint;
pub mod first;
mod gather;
pub mod helloworld;
mod impulse;
mod inbox;
mod instance;
mod link;
mod log;
mod outgoing;
mod page;
pub mod perftest;
mod recovery;
mod relief;
mod replay;
mod room;
mod shared;
mod wire;

pub use app::{App, Call, Caller, Chance, Context, Recovery};
pub use delivery::Notice;
pub use directory::Durability;
pub use error::Error;
pub use fence::LOOK;
pub use impulse::{Impulses, Refused};
pub use instance::{Config, Contest, Link, run};
pub use replay::{Past, Replayed};
pub use wire::MAX_PAYLOAD;
