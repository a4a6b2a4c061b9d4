//! The cockpit as a running program: the terminal, the loop, and the wires
//! between the loop and the adapters.

pub mod attend;
pub mod cockpit;
pub mod logging;
pub mod looks;
pub mod signals;
pub mod terminal;
pub mod wires;
