//! Which kinds there are now: those of the lab, and those that definitions in
//! the store have made.

use std::sync::Arc;

use serde_json::Value;

use super::{Key, Store};
use crate::lab::kinds::{Resource, custom};

impl Store {
    /// Every kind that is kept now.
    pub fn kinds(&self) -> Vec<Resource> {
        let definitions = self.list(Resource::CustomResourceDefinitions, None).items;
        let made = definitions.iter().filter_map(|it| custom::kind_of(it));
        Resource::ALL.into_iter().chain(made).collect()
    }

    /// The kind that a group and a plural name.
    pub fn find_kind(&self, group: &str, plural: &str) -> Option<Resource> {
        let known = Resource::find(group, plural);
        known.or_else(|| {
            let definition = self.get(&definition_key(group, plural))?;
            custom::kind_of(&definition)
        })
    }

    /// The kind of an object that says `apiVersion` and `kind`.
    pub fn kind_of(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let is = |it: &Resource| it.names().kind == kind && it.api_version() == api_version;
        let known = Resource::ALL.into_iter().find(is);
        known.or_else(|| self.kinds().into_iter().find(is))
    }

    /// The definition of a custom kind; none for a kind of the lab.
    pub fn definition(&self, resource: Resource) -> Option<Arc<Value>> {
        let Resource::Custom(_) = resource else {
            return None;
        };
        let names = resource.names();
        self.get(&definition_key(names.group, names.plural))
    }
}

/// Where the definition of a kind is.
fn definition_key(group: &str, plural: &str) -> Key {
    Key::new(
        Resource::CustomResourceDefinitions,
        "",
        format!("{plural}.{group}"),
    )
}
