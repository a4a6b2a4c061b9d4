//! Resources: what every one of them has, whatever its kind.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::ids;
use super::storage;
use super::world::World;

/// A resource as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resource {
    /// Its id, written as it was created.
    pub id: String,
    /// What clients see.
    pub body: Value,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// What clients do not see.
    #[serde(default)]
    pub secret: Value,
}

impl World {
    /// The resource of an id.
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&ids::key(id))
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Resource> {
        let now = self.now;
        let found = self.resources.get_mut(&ids::key(id))?;
        found.changed = now;
        Some(found)
    }

    /// The resource of an id.
    ///
    /// # Errors
    /// *404*, as of its resource group.
    pub fn need(&self, id: &str) -> Result<&Resource, ArmError> {
        self.get(id).ok_or_else(|| not_found(id))
    }

    /// Puts a resource there: new, or with another body.
    pub fn put(&mut self, id: &str, body: Value) -> &mut Resource {
        let now = self.now;
        let entry = self.resources.entry(ids::key(id));
        let resource = entry.or_insert_with(|| Resource {
            id: id.to_owned(),
            body: Value::Null,
            created: now,
            changed: now,
            secret: Value::Null,
        });
        resource.changed = now;
        resource.body = body;
        resource
    }

    /// Writes a resource's provisioning state, if it has one.
    pub fn set_state(&mut self, id: &str, state: &str) {
        if let Some(resource) = self.get_mut(id)
            && !resource.body["properties"]["provisioningState"].is_null()
        {
            resource.body["properties"]["provisioningState"] = json!(state);
        }
    }

    /// Removes a resource and everything below it.
    pub fn remove_below(&mut self, id: &str) {
        self.deployments.retain(|key, _| !ids::is_below(key, id));
        let gone = self
            .resources
            .extract_if(.., |key, _| ids::is_below(key, id));
        let gone: Vec<String> = gone.map(|(_, it)| it.id).collect();
        for id in gone {
            storage::forget(self, &id);
        }
    }

    /// The resources that lists show, below a scope.
    pub fn listed<'a>(&'a self, scope: &'a str) -> impl Iterator<Item = &'a Resource> {
        let all = self.resources.values();
        all.filter(move |it| ids::is_below(&it.id, scope) && is_listed(it))
    }

    /// All resources of a type, ordered by id; below a scope.
    pub fn of_kind<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a str,
    ) -> impl Iterator<Item = &'a Resource> {
        self.resources.values().filter(move |it| {
            ids::kind(&it.id).eq_ignore_ascii_case(kind) && ids::is_below(&it.id, scope)
        })
    }
}

/// *404*, as of a resource in a group.
pub fn not_found(id: &str) -> ArmError {
    let what = format!("{}/{}", ids::kind(id), ids::name(id));
    let group = ids::group(id).unwrap_or_default();
    ArmError::not_found(
        "ResourceNotFound",
        format!(
            "The Resource '{what}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        ),
    )
}

/// Whether a resource is one that lists show: not nested in another, and not
/// about another.
fn is_listed(resource: &Resource) -> bool {
    let kind = ids::kind(&resource.id);
    let about_others = ["Microsoft.Authorization/", "Microsoft.Resources/"];
    kind.matches('/').count() == 1 && !about_others.iter().any(|it| kind.starts_with(it))
}

/// A resource as lists show it.
fn listed(resource: &Resource, call: &Call) -> Value {
    let body = &resource.body;
    let mut item = json!({
        "id": resource.id,
        "name": ids::name(&resource.id),
        "type": ids::kind(&resource.id),
    });
    for field in ["location", "tags", "sku", "kind", "managedBy", "identity"] {
        if !body[field].is_null() {
            item[field] = body[field].clone();
        }
    }
    let wanted = call.query("$expand").to_ascii_lowercase();
    for (word, value) in [
        ("createdtime", json!(resource.created.to_string())),
        ("changedtime", json!(resource.changed.to_string())),
        (
            "provisioningstate",
            body["properties"]["provisioningState"].clone(),
        ),
    ] {
        if wanted.split(',').any(|it| it.trim() == word) && !value.is_null() {
            let field = match word {
                "createdtime" => "createdTime",
                "changedtime" => "changedTime",
                _ => "provisioningState",
            };
            item[field] = value;
        }
    }
    item
}

/// `GET …/resources`, of a subscription or a group.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.path.trim_end_matches('/');
    let scope = &scope[..scope.len() - "/resources".len()];
    let filter = Filter::parse(call.query("$filter"))?;
    let items = world
        .listed(scope)
        .map(|it| listed(it, call))
        .filter(|it| filter.fits(it))
        .collect();
    Ok(page(call, items))
}

/// A list, in pages of `$top` if that is asked for.
pub fn page(call: &Call, items: Vec<Value>) -> Answer {
    let start: usize = call.query("$skiptoken").parse().unwrap_or(0);
    let Ok(top @ 1..) = call.query("$top").parse::<usize>() else {
        return Answer::list(items.into_iter().skip(start).collect());
    };
    let more = items.len() > start + top;
    let mut body = json!({
        "value": items.into_iter().skip(start).take(top).collect::<Vec<_>>(),
    });
    if more {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &call.query {
            if name != "$skiptoken" {
                query.append_pair(name, value);
            }
        }
        query.append_pair("$skiptoken", &(start + top).to_string());
        let path = call.path.replace(' ', "%20");
        body["nextLink"] = json!(format!("{}{path}?{}", call.base, query.finish()));
    }
    Answer::ok(body)
}

/// A filter of a list: comparisons that must all hold.
#[derive(Debug, Default)]
pub struct Filter {
    wanted: Vec<(String, bool, String)>,
}

impl Filter {
    /// Reads `field eq 'value' and …`, and the shorthands that take no value.
    ///
    /// # Errors
    /// *400* for anything else: a filter that is not understood is never
    /// taken for none.
    pub fn parse(text: &str) -> Result<Self, ArmError> {
        let mut filter = Self::default();
        for part in text.split(" and ").map(str::trim) {
            if part.is_empty() {
                continue;
            }
            let mut words = part.splitn(3, ' ');
            let (field, verb, value) = (words.next(), words.next(), words.next());
            let (Some(field), Some(verb @ ("eq" | "ne")), Some(value)) = (field, verb, value)
            else {
                return Err(ArmError::bad(
                    "InvalidFilterInQueryString",
                    format!("Invalid $filter '{text}' specified in the query string."),
                ));
            };
            let value = value.trim().trim_matches('\'').replace("''", "'");
            filter.wanted.push((field.to_owned(), verb == "eq", value));
        }
        Ok(filter)
    }

    /// Whether an object fits. `tagName` and `tagValue` ask for one tag.
    pub fn fits(&self, item: &Value) -> bool {
        let tag = self.value("tagName");
        self.wanted.iter().all(|(field, same, value)| {
            let found = match field.as_str() {
                "tagName" => return item["tags"][value].is_null() != *same,
                "tagValue" => &item["tags"][tag.unwrap_or_default()],
                "resourceType" => &item["type"],
                "resourceGroup" => {
                    return *same
                        == item["id"]
                            .as_str()
                            .and_then(ids::group)
                            .is_some_and(|it| it.eq_ignore_ascii_case(value));
                }
                field => {
                    let pointer = format!("/{field}");
                    let inner = format!("/properties/{field}");
                    let found = item.pointer(&pointer).or_else(|| item.pointer(&inner));
                    found.unwrap_or(&Value::Null)
                }
            };
            let text = found
                .as_str()
                .map_or_else(|| found.to_string(), str::to_owned);
            text.eq_ignore_ascii_case(value) == *same
        })
    }

    /// The value that a field must have, if one is named.
    pub fn value(&self, field: &str) -> Option<&str> {
        let found = self
            .wanted
            .iter()
            .find(|(name, same, _)| name == field && *same);
        found.map(|(_, _, value)| value.as_str())
    }
}
