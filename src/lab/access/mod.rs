//! Who may do what: users, and the roles and bindings that the store holds.
//!
//! Roles are evaluated as the real server evaluates them: what no rule allows
//! is forbidden, and there is no rule that forbids. Whoever is in the group
//! `system:masters` may do everything. Aggregated cluster roles are put
//! together when they are asked for, not kept up to date in the store.

use serde_json::Value;

use super::kinds::Resource;
use super::selector::LabelSelector;
use super::store::{Key, Store};

mod bootstrap;
mod rules;
mod users;

pub use bootstrap::create_roles;
pub use rules::Rules;
pub use users::{Session, User, Users, fresh_token};

/// Those who may do everything.
const MASTERS: &str = "system:masters";
/// How deep aggregated roles may contain each other.
const DEPTH: usize = 4;

/// What somebody wants to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// What it is about.
    pub about: About,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A path that is no object's.
    Path(String),
    /// Objects, whether there are such or not.
    Objects {
        /// API group.
        group: String,
        /// Plural.
        resource: String,
        /// `log`, `exec`, … or empty.
        subresource: String,
        /// Namespace; empty for none or all.
        namespace: String,
        /// Name; empty for all.
        name: String,
    },
}

impl Default for About {
    fn default() -> Self {
        Self::Path(String::new())
    }
}

impl Request {
    /// As the real server forbids it.
    pub fn forbidden(&self, user: &str) -> String {
        let verb = &self.verb;
        match &self.about {
            About::Path(path) => format!("User {user:?} cannot {verb} path {path:?}"),
            About::Objects {
                group,
                resource,
                subresource,
                namespace,
                ..
            } => {
                let part = match subresource.as_str() {
                    "" => resource.clone(),
                    part => format!("{resource}/{part}"),
                };
                let place = match namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                };
                format!(
                    "User {user:?} cannot {verb} resource {part:?} in API group {group:?} {place}"
                )
            }
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done.
    pub allowed: bool,
    /// Which binding allows it, or which role could not be found.
    pub reason: String,
}

/// Whether `user` may do `request`.
pub fn judge(store: &Store, user: &User, request: &Request) -> Verdict {
    if user.groups.iter().any(|it| it == MASTERS) {
        return Verdict {
            allowed: true,
            reason: String::new(),
        };
    }
    let namespace = match &request.about {
        About::Objects { namespace, .. } => namespace.as_str(),
        About::Path(_) => "",
    };
    let mut missing = Vec::new();
    for grant in grants(store, user, namespace) {
        match grant.rules {
            Ok(rules) if rules.allow(request) => {
                return Verdict {
                    allowed: true,
                    reason: format!("RBAC: allowed by {}", grant.by),
                };
            }
            Ok(_) => {}
            Err(why) => missing.push(why),
        }
    }
    let reason = match missing.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    };
    Verdict {
        allowed: false,
        reason,
    }
}

/// All rules that hold for `user` in a namespace.
pub fn rules(store: &Store, user: &User, namespace: &str) -> Rules {
    let mut all = Rules::default();
    if user.groups.iter().any(|it| it == MASTERS) {
        all.extend(Rules::everything());
    }
    for grant in grants(store, user, namespace) {
        if let Ok(rules) = grant.rules {
            all.extend(rules);
        }
    }
    all
}

/// What one binding gives.
struct Grant {
    /// The binding, its role and the subject, for a person.
    by: String,
    /// The rules, or which role is missing.
    rules: Result<Rules, String>,
}

fn grants(store: &Store, user: &User, namespace: &str) -> Vec<Grant> {
    let mut bindings = store.list(Resource::ClusterRoleBindings, None).items;
    if !namespace.is_empty() {
        bindings.extend(store.list(Resource::RoleBindings, Some(namespace)).items);
    }
    let of_binding = |binding: &Value| {
        let metadata = &binding["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = text(&metadata["namespace"]);
        let subjects = binding["subjects"].as_array()?;
        let subject = subjects.iter().find(|it| user.is(it, &place))?;
        let (kind, name) = (
            text(&binding["roleRef"]["kind"]),
            text(&binding["roleRef"]["name"]),
        );
        let binding_name = match place.as_str() {
            "" => text(&metadata["name"]),
            place => format!("{}/{place}", text(&metadata["name"])),
        };
        let by = format!(
            "{} {binding_name:?} of {kind} {name:?} to {} {:?}",
            if place.is_empty() {
                "ClusterRoleBinding"
            } else {
                "RoleBinding"
            },
            text(&subject["kind"]),
            subject_name(subject),
        );
        let key = if kind == "Role" {
            Key::new(Resource::Roles, place, name)
        } else {
            Key::new(Resource::ClusterRoles, "", name)
        };
        let missing = || {
            format!(
                "{}.rbac.authorization.k8s.io {:?} not found",
                kind.to_lowercase(),
                key.name
            )
        };
        let rules = role(store, &key, DEPTH).ok_or_else(missing);
        Some(Grant { by, rules })
    };
    bindings.iter().filter_map(|it| of_binding(it)).collect()
}

fn subject_name(subject: &Value) -> String {
    let text = |field: &str| subject[field].as_str().unwrap_or_default();
    match text("namespace") {
        "" => text("name").to_owned(),
        namespace => format!("{}/{namespace}", text("name")),
    }
}

/// The rules of a role, with those that it aggregates.
fn role(store: &Store, key: &Key, depth: usize) -> Option<Rules> {
    let role = store.get(key)?;
    let mut rules = Rules::parse(&role["rules"]);
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    for selector in selectors.into_iter().flatten().filter(|_| depth > 0) {
        let Some(selector) = LabelSelector::from_object(selector) else {
            continue;
        };
        for other in store.list(Resource::ClusterRoles, None).items {
            let other_key = Key::of(Resource::ClusterRoles, &other);
            if other_key != *key
                && selector.matches(&other["metadata"]["labels"])
                && let Some(more) = self::role(store, &other_key, depth - 1)
            {
                rules.extend(more);
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests;
