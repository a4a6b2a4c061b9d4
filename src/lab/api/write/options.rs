//! How a write was asked for.

use http::HeaderMap;

use crate::lab::api::manage;
use crate::lab::api::request::Query;
use crate::lab::api::status::ApiError;
use crate::lab::store::Store;

/// What is done with fields that the type does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// How a write was asked for.
#[derive(Debug)]
pub struct Options {
    pub(super) fields: FieldValidation,
    /// Only try it out.
    pub dry_run: bool,
    /// Under whose name the fields are recorded.
    pub(super) manager: String,
}

impl Options {
    /// Reads `fieldValidation`, `dryRun` and `fieldManager`.
    ///
    /// # Errors
    /// *400* for values that there are not.
    pub fn parse(query: &Query, headers: &HeaderMap) -> Result<Self, ApiError> {
        let fields = match query.get("fieldValidation") {
            Some("Ignore") => FieldValidation::Ignore,
            None | Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some(odd) => {
                return Err(ApiError::bad_request(format!(
                    "fieldValidation: Unsupported value: {odd:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        let dry_run = match query.get("dryRun") {
            None => false,
            Some("All") => true,
            Some(odd) => {
                return Err(ApiError::bad_request(format!(
                    "dryRun: Unsupported value: {odd:?}: supported values: \"All\""
                )));
            }
        };
        Ok(Self {
            fields,
            dry_run,
            manager: manage::manager(query, headers)?,
        })
    }

    /// For objects of the lab's own: they are right or they are refused.
    pub fn strict() -> Self {
        Self {
            fields: FieldValidation::Strict,
            dry_run: false,
            manager: "aks-tui-lab".to_owned(),
        }
    }

    /// The store to write to.
    pub fn store(&self, store: &Store) -> Store {
        if self.dry_run {
            store.fork()
        } else {
            store.clone()
        }
    }
}
