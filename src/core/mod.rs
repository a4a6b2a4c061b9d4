//! What happened, and what it means: no clock, no randomness, no I/O.
//!
//! Everything the cockpit knows came in as an [`event::Event`] and was folded
//! into the [`model::Model`]. Everything a person asks for is an
//! [`action::Action`]; [`update::update`] turns it into [`effect::Effect`]s for
//! the adapters, which answer with events. So a screen, a test, a replayed run
//! and a report are all the same thing: a list of events and a fold.

pub mod action;
pub mod around;
pub mod azure;
pub mod deploy;
pub mod effect;
pub mod event;
pub mod model;
pub mod time;
pub mod trial;
pub mod update;
pub mod workload;
