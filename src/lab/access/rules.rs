//! Rules: which verbs on what.

use serde_json::{Value, json};

use super::{About, Request};

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
}

/// The rules of a role or of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a list names something, or everything.
fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|it| it == "*" || it == wanted)
}

impl Rule {
    fn allows(&self, request: &Request) -> bool {
        if !has(&self.verbs, &request.verb) {
            return false;
        }
        match &request.about {
            About::Path(path) => self.paths.iter().any(|it| match it.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => it == path,
            }),
            About::Objects {
                group,
                resource,
                subresource,
                name,
                ..
            } => {
                has(&self.groups, group)
                    && self.covers(resource, subresource)
                    && (self.names.is_empty() || self.names.contains(name))
            }
        }
    }

    fn covers(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|it| {
            if it == "*" {
                return true;
            }
            if subresource.is_empty() {
                return it == resource;
            }
            let Some((base, part)) = it.split_once('/') else {
                return false;
            };
            part == subresource && (base == "*" || base == resource)
        })
    }
}

impl Rules {
    /// Reads the `rules` of a role.
    pub fn parse(rules: &Value) -> Self {
        let rules = rules.as_array().into_iter().flatten();
        let rule = |rule: &Value| Rule {
            verbs: texts(&rule["verbs"]),
            groups: texts(&rule["apiGroups"]),
            resources: texts(&rule["resources"]),
            names: texts(&rule["resourceNames"]),
            paths: texts(&rule["nonResourceURLs"]),
        };
        Self(rules.map(rule).collect())
    }

    /// What a member of `system:masters` may do.
    pub fn everything() -> Self {
        Self::parse(&json!([
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]))
    }

    /// Adds rules.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(
            others
                .0
                .into_iter()
                .filter(|it| !self.0.contains(it))
                .collect::<Vec<_>>(),
        );
    }

    /// Whether one of the rules allows it.
    pub fn allow(&self, request: &Request) -> bool {
        self.0.iter().any(|it| it.allows(request))
    }

    /// As a rules review tells them: those about objects, those about paths.
    pub fn review(&self) -> (Vec<Value>, Vec<Value>) {
        let (mut objects, mut paths) = (Vec::new(), Vec::new());
        for rule in &self.0 {
            if !rule.paths.is_empty() {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths}));
            }
            if !rule.resources.is_empty() {
                let mut entry = json!({
                    "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources,
                });
                if !rule.names.is_empty() {
                    entry["resourceNames"] = json!(rule.names);
                }
                objects.push(entry);
            }
        }
        (objects, paths)
    }
}
