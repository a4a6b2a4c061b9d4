//! Templates: expressions, and what they stand for.

mod eval;
mod functions;
mod parameters;
mod parse;

pub use eval::{Frame, Stop};
pub use parameters::values;
