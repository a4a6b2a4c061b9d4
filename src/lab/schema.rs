//! What objects are made of: the schemas that Kubernetes publishes.
//!
//! One source for everything that depends on the shape of a type: how lists
//! and maps merge (strategic merge by `x-kubernetes-patch-*`, server-side apply
//! by `x-kubernetes-list-*` and `-map-*`), and what `kubectl explain` explains.
//! The data is derived from Kubernetes' own documents, see
//! `assets/openapi/derive.py`; a custom resource brings its schema along.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// Where a schema points to another one.
pub const REFERENCE: &str = "#/components/schemas/";
/// The schema of every object's metadata.
pub const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const GVK: &str = "x-kubernetes-group-version-kind";

static NONE: Value = Value::Null;
static ALL: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let packed: &[u8] = include_bytes!("../../assets/openapi/schemas.json.gz");
    let mut text = String::new();
    let read = GzDecoder::new(packed).read_to_string(&mut text);
    let parsed = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    // A test reads it; what is compiled in does not change afterwards.
    parsed.unwrap_or_default()
});

/// The schema of a built-in type by its full name.
pub fn named(name: &str) -> Option<&'static Value> {
    ALL.get(name)
}

/// The full name and the schema of a built-in kind.
pub fn of_kind(group: &str, version: &str, kind: &str) -> Option<(&'static str, &'static Value)> {
    let found = ALL.iter().find(|(_, schema)| {
        let kinds = schema[GVK].as_array();
        kinds.is_some_and(|kinds| {
            kinds
                .iter()
                .any(|it| it["group"] == group && it["version"] == version && it["kind"] == kind)
        })
    });
    found.map(|(name, schema)| (name.as_str(), schema))
}

/// A place in a schema: what is known of the value there. A place that no
/// schema describes knows nothing, and values speak for themselves.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The mention of the type, with marks that hold for this place only.
    mention: &'a Value,
    /// The type itself.
    body: &'a Value,
    /// Whether this is a whole object with metadata of its own.
    object: bool,
    /// Whether the type is one of Kubernetes' own.
    builtin: bool,
}

/// How a list is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind<'a> {
    /// It is one value.
    Atomic,
    /// Its items are values that are in it or not.
    Set,
    /// Its items are told apart by these of their fields.
    Map(Vec<&'a str>),
}

impl<'a> Place<'a> {
    /// An object of a built-in kind; a kind without a schema is open.
    pub fn builtin(group: &str, version: &str, kind: &str) -> Place<'static> {
        let body = of_kind(group, version, kind).map_or(&NONE, |(_, schema)| schema);
        Place {
            mention: body,
            body,
            object: true,
            builtin: true,
        }
    }

    /// An object of a custom kind, by the schema in its definition.
    pub fn custom(schema: &'a Value) -> Self {
        Self {
            mention: schema,
            body: schema,
            object: true,
            builtin: false,
        }
    }

    /// A place that nothing is known of.
    pub const fn open() -> Place<'static> {
        Place {
            mention: &NONE,
            body: &NONE,
            object: false,
            builtin: false,
        }
    }

    fn at(mention: &'a Value, builtin: bool) -> Self {
        let target = mention["$ref"]
            .as_str()
            .or_else(|| mention.pointer("/allOf/0/$ref").and_then(Value::as_str));
        let body = target
            .and_then(|name| named(name.trim_start_matches(REFERENCE)))
            .unwrap_or(mention);
        Self {
            mention,
            body,
            object: body["x-kubernetes-embedded-resource"] == true,
            builtin,
        }
    }

    fn mark(self, name: &str) -> Option<&'a Value> {
        self.mention.get(name).or_else(|| self.body.get(name))
    }

    /// The place of a field, or of a map's entry.
    pub fn field(self, name: &str) -> Self {
        if self.object && !self.builtin && name == "metadata" {
            let body = named(METADATA).unwrap_or(&NONE);
            return Self {
                mention: body,
                body,
                object: false,
                builtin: true,
            };
        }
        let property = self.body["properties"].get(name);
        let entry = || {
            self.body
                .get("additionalProperties")
                .filter(|it| it.is_object())
        };
        match property.or_else(entry) {
            Some(mention) => Self::at(mention, self.builtin),
            None => Place::open(),
        }
    }

    /// Whether the type has a field of that name.
    pub fn declares(self, name: &str) -> bool {
        self.body["properties"].get(name).is_some()
            || self.object && matches!(name, "apiVersion" | "kind" | "metadata")
    }

    /// Whether fields that the type does not have may be there.
    pub fn takes(self, name: &str) -> bool {
        let fields = self.body.get("properties").is_some() || self.is_whole_object();
        !fields
            || self.declares(name)
            || self.body.get("additionalProperties").is_some()
            || self.mark("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
    }

    fn is_whole_object(self) -> bool {
        self.object && !self.body.is_null()
    }

    /// The place of a list's items.
    pub fn item(self) -> Self {
        match self.body.get("items") {
            Some(mention) => Self::at(mention, self.builtin),
            None => Place::open(),
        }
    }

    /// Whether a map here is one value.
    pub fn is_atomic(self) -> bool {
        self.mark("x-kubernetes-map-type")
            .is_some_and(|it| it == "atomic")
    }

    /// How a list here is merged.
    pub fn list(self) -> ListKind<'a> {
        let kind = self.mark("x-kubernetes-list-type").and_then(Value::as_str);
        let keys = self
            .mark("x-kubernetes-list-map-keys")
            .and_then(Value::as_array);
        match (kind, keys) {
            (Some("set"), _) => ListKind::Set,
            (Some("map"), Some(keys)) => {
                ListKind::Map(keys.iter().filter_map(Value::as_str).collect())
            }
            _ => ListKind::Atomic,
        }
    }

    /// What an absent value means here.
    pub fn default(self) -> Option<&'a Value> {
        self.mention.get("default")
    }

    /// What the real server's types hold when nothing was given for a field:
    /// a structure that is part of its parent is empty, never absent, and so
    /// is a list that must be given. None when absent means absent.
    pub fn nothing(self, parent: Self, name: &str) -> Option<&'static Value> {
        static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
        if !self.builtin {
            return None;
        }
        if self.mention["default"]
            .as_object()
            .is_some_and(Map::is_empty)
        {
            return Some(&EMPTY);
        }
        let required = parent.body["required"].as_array();
        let required = required.is_some_and(|all| all.iter().any(|it| it == name));
        let list = self.body["type"] == "array" || self.body.get("additionalProperties").is_some();
        (required && list).then_some(&NONE)
    }

    /// For strategic merge: whether a list is merged rather than replaced, and
    /// by which field of its items; without one its items are plain values.
    pub fn merges(self) -> Option<Option<&'a str>> {
        let strategy = self.mark("x-kubernetes-patch-strategy")?.as_str()?;
        let merges = strategy.split(',').any(|it| it == "merge");
        let key = self.mark("x-kubernetes-patch-merge-key");
        merges.then(|| key.and_then(Value::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_schemas_know_how_lists_merge() {
        let spec = Place::builtin("", "v1", "Pod").field("spec");
        assert_eq!(spec.field("containers").list(), ListKind::Map(vec!["name"]));
        assert_eq!(spec.field("tolerations").list(), ListKind::Atomic);
        let ports = spec.field("containers").item().field("ports");
        assert_eq!(
            ports.list(),
            ListKind::Map(vec!["containerPort", "protocol"])
        );
        assert_eq!(ports.merges(), Some(Some("containerPort")));
        assert_eq!(
            ports.item().field("protocol").default(),
            Some(&"TCP".into())
        );
        let metadata = Place::builtin("apps", "v1", "Deployment").field("metadata");
        assert_eq!(metadata.field("finalizers").list(), ListKind::Set);
        assert_eq!(metadata.field("finalizers").merges(), Some(None));
        assert!(spec.field("nodeSelector").is_atomic());
        assert!(!metadata.field("labels").is_atomic());
        assert!(spec.takes("hostname") && !spec.takes("hostnames"));
        assert!(metadata.field("labels").takes("anything"));
    }

    #[test]
    fn a_custom_object_has_metadata_like_any_other() {
        let schema = serde_json::json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"ports": {
                "type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port"], "items": {"type": "object"}}}}}});
        let object = Place::custom(&schema);
        assert_eq!(
            object.field("metadata").field("finalizers").list(),
            ListKind::Set
        );
        let ports = object.field("spec").field("ports");
        assert_eq!(ports.list(), ListKind::Map(vec!["port"]));
        assert!(object.takes("kind") && !object.takes("status"));
        assert!(Place::open().takes("anything"));
    }
}
