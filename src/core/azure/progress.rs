//! How far a change in Azure is.

use serde::{Deserialize, Serialize};

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Progress {
    /// A part of the whole began.
    Step {
        /// What is done, in words: `make the resource group xyz-group`.
        doing: String,
    },
    /// A resource is in another state than before.
    Resource(Resource),
    /// What was asked for must wait.
    Wait {
        /// Why.
        why: String,
        /// Seconds until it is tried again.
        seconds: f64,
    },
    /// Something that a person should know.
    Note {
        /// What.
        text: String,
    },
}

/// How far one resource is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its type.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How far.
    pub state: State,
    /// Azure's own word for it.
    pub word: String,
    /// How long it took so far, seconds, where Azure says so.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being worked on.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}
