//! What disappears, and what stays: the preview of a clean.

use serde::{Deserialize, Serialize};

/// How much is to go. The meanings are those of the original's `Clean-AKS.sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The resource group, with everything in it.
    All,
    /// `auth`, the workload, the storage account and the registry; the cluster stays.
    Most,
    /// Role assignments, and the secrets for registry and share.
    Auth,
    /// Only the logs of the workload's present run, so that the next begins anew.
    Logs,
}

impl Scope {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Most => "most",
            Self::Auth => "auth",
            Self::Logs => "logs",
        }
    }
}

/// Something that the clean came upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its id: an Azure id, or in the cluster `secret/NAMESPACE/NAME`, or
    /// `workload/KIND/NAME/UID` or `logs/WORKLOAD/RUN` in the workload's namespace.
    pub id: String,
    /// Its type, in words.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What goes with it, or why it stays.
    pub note: String,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is deleted itself.
    Delete,
    /// It goes with what it is in.
    GoesAlong,
    /// It is not ours and is left alone.
    Stays,
    /// It is not ours and would go along: nothing is deleted unless it is named.
    Objects,
}

/// Everything that a clean came upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// How much is to go.
    pub scope: Scope,
    /// The resource group.
    pub group: String,
    /// What was found, in the order in which it goes.
    pub objects: Vec<Object>,
    /// Why it cannot go: locks, by name.
    pub refused: Vec<String>,
}

impl Preview {
    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        !self
            .objects
            .iter()
            .any(|object| object.fate == Fate::Delete)
    }

    /// What is not ours and would go along.
    pub fn objections(&self) -> impl Iterator<Item = &Object> {
        self.objects
            .iter()
            .filter(|object| object.fate == Fate::Objects)
    }

    /// What a person types to confirm: the more goes, the longer the word.
    pub fn word(&self) -> &str {
        match self.scope {
            Scope::Auth => "yes",
            Scope::Logs => "logs",
            Scope::Most => "delete",
            Scope::All => &self.group,
        }
    }
}
