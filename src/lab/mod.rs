//! The lab: a Kubernetes that fits in one process and runs real processes.

pub mod api;
pub mod controllers;
pub mod defaults;
pub mod kinds;
pub mod node;
pub mod recorder;
#[cfg(target_os = "linux")]
pub mod runtime;
pub mod selector;
pub mod store;

/// Letters of generated names: no vowels, so that no words appear, and no
/// digits that look like letters. Kubernetes uses the same.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random letters that make a generated name unique.
pub(crate) fn random_suffix() -> String {
    (0..5)
        .map(|_| char::from(SUFFIX_LETTERS[fastrand::usize(..SUFFIX_LETTERS.len())]))
        .collect()
}
