//! The hands and eyes of the cockpit: each adapter runs effects against one
//! part of the world and answers with facts.
//!
//! Adapters never see the screen and never wait for it longer than their queue
//! is full: the queue is bounded and pushes back on the source, so nothing is
//! dropped between a socket and the model.

pub mod azure;
pub mod cluster;
pub mod journal;
pub mod sink;
