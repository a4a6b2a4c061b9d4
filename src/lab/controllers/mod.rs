//! controllers
pub mod garbage;
