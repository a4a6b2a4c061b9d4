//! Bodies in Kubernetes' protobuf, as far as kubectl insists on sending them.
//!
//! kubectl writes most objects as JSON, but a few commands (`auth can-i`,
//! `create namespace`, `create deployment`) send protobuf and try nothing else.
//! Here are the messages they send, as tables of field numbers taken from the
//! API's published `generated.proto` files. A field that is in no table refuses
//! the body: it is never dropped in silence. Answers are always JSON.

use serde_json::{Map, Value, json};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How a field is written.
#[derive(Clone, Copy)]
enum Kind {
    /// Bytes of text.
    Text,
    /// A varint: a number.
    Number,
    /// A varint: a truth value.
    Flag,
    /// Another message.
    Message(&'static [Field]),
    /// An entry of a map from text to text.
    Entry,
    /// A time as seconds since the epoch; written for *none* as an empty message.
    Time,
    /// An integer or a text.
    IntOrString,
}

/// A field: number, name, kind, and whether it is a list.
struct Field(u64, &'static str, Kind, bool);

const META: &[Field] = &[
    Field(1, "name", Kind::Text, false),
    Field(2, "generateName", Kind::Text, false),
    Field(3, "namespace", Kind::Text, false),
    Field(4, "selfLink", Kind::Text, false),
    Field(5, "uid", Kind::Text, false),
    Field(6, "resourceVersion", Kind::Text, false),
    Field(7, "generation", Kind::Number, false),
    Field(8, "creationTimestamp", Kind::Time, false),
    Field(11, "labels", Kind::Entry, true),
    Field(12, "annotations", Kind::Entry, true),
];

const SELECTOR: &[Field] = &[
    Field(1, "matchLabels", Kind::Entry, true),
    Field(
        2,
        "matchExpressions",
        Kind::Message(&[
            Field(1, "key", Kind::Text, false),
            Field(2, "operator", Kind::Text, false),
            Field(3, "values", Kind::Text, true),
        ]),
        true,
    ),
];

const CONTAINER: &[Field] = &[
    Field(1, "name", Kind::Text, false),
    Field(2, "image", Kind::Text, false),
    Field(3, "command", Kind::Text, true),
    Field(4, "args", Kind::Text, true),
    Field(5, "workingDir", Kind::Text, false),
    Field(
        6,
        "ports",
        Kind::Message(&[
            Field(1, "name", Kind::Text, false),
            Field(2, "hostPort", Kind::Number, false),
            Field(3, "containerPort", Kind::Number, false),
            Field(4, "protocol", Kind::Text, false),
            Field(5, "hostIP", Kind::Text, false),
        ]),
        true,
    ),
    Field(
        7,
        "env",
        Kind::Message(&[
            Field(1, "name", Kind::Text, false),
            Field(2, "value", Kind::Text, false),
        ]),
        true,
    ),
    Field(8, "resources", Kind::Message(&[]), false),
    Field(13, "terminationMessagePath", Kind::Text, false),
    Field(14, "imagePullPolicy", Kind::Text, false),
    Field(16, "stdin", Kind::Flag, false),
    Field(17, "stdinOnce", Kind::Flag, false),
    Field(18, "tty", Kind::Flag, false),
    Field(20, "terminationMessagePolicy", Kind::Text, false),
];

const POD_SPEC: &[Field] = &[
    Field(2, "containers", Kind::Message(CONTAINER), true),
    Field(3, "restartPolicy", Kind::Text, false),
    Field(4, "terminationGracePeriodSeconds", Kind::Number, false),
    Field(6, "dnsPolicy", Kind::Text, false),
    Field(7, "nodeSelector", Kind::Entry, true),
    Field(8, "serviceAccountName", Kind::Text, false),
    Field(9, "serviceAccount", Kind::Text, false),
    Field(10, "nodeName", Kind::Text, false),
    Field(11, "hostNetwork", Kind::Flag, false),
    Field(12, "hostPID", Kind::Flag, false),
    Field(13, "hostIPC", Kind::Flag, false),
    Field(16, "hostname", Kind::Text, false),
    Field(17, "subdomain", Kind::Text, false),
    Field(19, "schedulerName", Kind::Text, false),
    Field(24, "priorityClassName", Kind::Text, false),
];

const DEPLOYMENT: &[Field] = &[
    Field(1, "metadata", Kind::Message(META), false),
    Field(
        2,
        "spec",
        Kind::Message(&[
            Field(1, "replicas", Kind::Number, false),
            Field(2, "selector", Kind::Message(SELECTOR), false),
            Field(
                3,
                "template",
                Kind::Message(&[
                    Field(1, "metadata", Kind::Message(META), false),
                    Field(2, "spec", Kind::Message(POD_SPEC), false),
                ]),
                false,
            ),
            Field(
                4,
                "strategy",
                Kind::Message(&[
                    Field(1, "type", Kind::Text, false),
                    Field(
                        2,
                        "rollingUpdate",
                        Kind::Message(&[
                            Field(1, "maxUnavailable", Kind::IntOrString, false),
                            Field(2, "maxSurge", Kind::IntOrString, false),
                        ]),
                        false,
                    ),
                ]),
                false,
            ),
            Field(5, "minReadySeconds", Kind::Number, false),
            Field(6, "revisionHistoryLimit", Kind::Number, false),
            Field(7, "paused", Kind::Flag, false),
            Field(9, "progressDeadlineSeconds", Kind::Number, false),
        ]),
        false,
    ),
    Field(3, "status", Kind::Message(STATUS), false),
];

/// The status of a new object: zeros, if anything.
const STATUS: &[Field] = &[
    Field(1, "observedGeneration", Kind::Number, false),
    Field(2, "replicas", Kind::Number, false),
    Field(3, "updatedReplicas", Kind::Number, false),
    Field(4, "availableReplicas", Kind::Number, false),
    Field(5, "unavailableReplicas", Kind::Number, false),
    Field(7, "readyReplicas", Kind::Number, false),
];

const NAMESPACE: &[Field] = &[
    Field(1, "metadata", Kind::Message(META), false),
    Field(
        2,
        "spec",
        Kind::Message(&[Field(1, "finalizers", Kind::Text, true)]),
        false,
    ),
    Field(
        3,
        "status",
        Kind::Message(&[Field(1, "phase", Kind::Text, false)]),
        false,
    ),
];

const ACCESS_REVIEW: &[Field] = &[
    Field(1, "metadata", Kind::Message(META), false),
    Field(
        2,
        "spec",
        Kind::Message(&[
            Field(
                1,
                "resourceAttributes",
                Kind::Message(&[
                    Field(1, "namespace", Kind::Text, false),
                    Field(2, "verb", Kind::Text, false),
                    Field(3, "group", Kind::Text, false),
                    Field(4, "version", Kind::Text, false),
                    Field(5, "resource", Kind::Text, false),
                    Field(6, "subresource", Kind::Text, false),
                    Field(7, "name", Kind::Text, false),
                ]),
                false,
            ),
            Field(
                2,
                "nonResourceAttributes",
                Kind::Message(&[
                    Field(1, "path", Kind::Text, false),
                    Field(2, "verb", Kind::Text, false),
                ]),
                false,
            ),
        ]),
        false,
    ),
    Field(3, "status", Kind::Message(REVIEW_STATUS), false),
];

const RULES_REVIEW: &[Field] = &[
    Field(1, "metadata", Kind::Message(META), false),
    Field(
        2,
        "spec",
        Kind::Message(&[Field(1, "namespace", Kind::Text, false)]),
        false,
    ),
    // `incomplete` of an answer that is not there yet.
    Field(
        3,
        "status",
        Kind::Message(&[
            Field(3, "incomplete", Kind::Flag, false),
            Field(4, "evaluationError", Kind::Text, false),
        ]),
        false,
    ),
];

const SELF_REVIEW: &[Field] = &[
    Field(1, "metadata", Kind::Message(META), false),
    Field(
        2,
        "status",
        Kind::Message(&[Field(
            1,
            "userInfo",
            Kind::Message(&[
                Field(1, "username", Kind::Text, false),
                Field(2, "uid", Kind::Text, false),
            ]),
            false,
        )]),
        false,
    ),
];

/// The answer that is not there yet.
const REVIEW_STATUS: &[Field] = &[
    Field(1, "allowed", Kind::Flag, false),
    Field(2, "reason", Kind::Text, false),
    Field(3, "evaluationError", Kind::Text, false),
    Field(4, "denied", Kind::Flag, false),
];

/// What is inside the envelope: version, kind and the message.
const ENVELOPE_TYPE: &[Field] = &[
    Field(1, "apiVersion", Kind::Text, false),
    Field(2, "kind", Kind::Text, false),
];

/// Reads a body as the object it would be in JSON.
///
/// # Errors
/// What in it is not read here.
pub fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or("it does not begin with k8s\\0")?;
    let mut reader = Reader(envelope);
    let mut object = json!({});
    let mut raw: &[u8] = &[];
    while let Some((number, item)) = reader.field()? {
        match (number, item) {
            (1, Item::Bytes(bytes)) => object = message(bytes, ENVELOPE_TYPE, "")?,
            (2, Item::Bytes(bytes)) => raw = bytes,
            // Encoding and media type of the inner message, empty for protobuf.
            (3 | 4, Item::Bytes([])) => {}
            (number, _) => return Err(format!("field {number} of its envelope")),
        }
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let fields = match kind.as_str() {
        "Namespace" => NAMESPACE,
        "Deployment" => DEPLOYMENT,
        "SelfSubjectAccessReview" => ACCESS_REVIEW,
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "SelfSubjectReview" => SELF_REVIEW,
        _ => return Err(format!("objects of kind {kind:?} are read as JSON only")),
    };
    let inner = message(raw, fields, &kind)?;
    if let (Value::Object(object), Value::Object(inner)) = (&mut object, inner) {
        object.extend(inner);
    }
    Ok(object)
}

fn message(bytes: &[u8], fields: &[Field], path: &str) -> Result<Value, String> {
    let mut object = Map::new();
    let mut reader = Reader(bytes);
    while let Some((number, item)) = reader.field()? {
        let Some(Field(_, name, kind, list)) = fields.iter().find(|it| it.0 == number) else {
            return Err(format!("field {number} of {path} is read as JSON only"));
        };
        let path = format!("{path}.{name}");
        if let Kind::Entry = kind {
            let pair = item.bytes(&path).and_then(|bytes| entry(bytes, &path))?;
            let map = object.entry(*name).or_insert_with(|| json!({}));
            map[pair.0] = json!(pair.1);
            continue;
        }
        let value = value(item, *kind, &path)?;
        if *list {
            let items = object.entry(*name).or_insert_with(|| json!([]));
            if let Some(items) = items.as_array_mut() {
                items.push(value);
            }
        } else if value != "" {
            // An empty text is how protobuf writes that there is none.
            object.insert((*name).to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

fn value(item: Item<'_>, kind: Kind, path: &str) -> Result<Value, String> {
    Ok(match kind {
        Kind::Text => json!(text(item.bytes(path)?, path)?),
        Kind::Number => json!(item.number(path)?.cast_signed()),
        Kind::Flag => json!(item.number(path)? != 0),
        Kind::Message(fields) => message(item.bytes(path)?, fields, path)?,
        Kind::Time if item.bytes(path)?.is_empty() => Value::Null,
        Kind::Time => return Err(format!("{path} is read as JSON only")),
        Kind::IntOrString => {
            const EITHER: &[Field] = &[
                Field(1, "type", Kind::Number, false),
                Field(2, "int", Kind::Number, false),
                Field(3, "text", Kind::Text, false),
            ];
            let either = message(item.bytes(path)?, EITHER, path)?;
            let field = if either["type"] == 1 { "text" } else { "int" };
            either[field].clone()
        }
        Kind::Entry => Value::Null,
    })
}

fn entry(bytes: &[u8], path: &str) -> Result<(String, String), String> {
    let mut pair = (String::new(), String::new());
    let mut reader = Reader(bytes);
    while let Some((number, item)) = reader.field()? {
        let part = text(item.bytes(path)?, path)?;
        match number {
            1 => pair.0 = part,
            2 => pair.1 = part,
            _ => return Err(format!("field {number} in {path}")),
        }
    }
    Ok(pair)
}

fn text(bytes: &[u8], path: &str) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("{path} is no UTF-8"))
}

/// A field's content.
#[derive(Clone, Copy)]
enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    fn bytes(self, path: &str) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(format!("{path} has the wrong type")),
        }
    }

    fn number(self, path: &str) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err(format!("{path} has the wrong type")),
        }
    }
}

/// Reads the fields of one message in turn.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<Option<(u64, Item<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let item = match tag & 7 {
            0 => Item::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let (bytes, rest) = self
                    .0
                    .split_at_checked(length)
                    .ok_or("it ends in the middle of a field")?;
                self.0 = rest;
                Item::Bytes(bytes)
            }
            other => return Err(format!("wire type {other}")),
        };
        Ok(Some((tag >> 3, item)))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self
                .0
                .split_first()
                .ok_or("it ends in the middle of a number")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number that is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field with bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn envelope(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        let tail = [field(3, b""), field(4, b"")].concat();
        [MAGIC, &field(1, &kind), &field(2, raw), &tail].concat()
    }

    #[test]
    fn a_review_is_read_as_its_json_would_be() {
        let attributes = [field(2, b"create"), field(4, b"*"), field(5, b"pods")].concat();
        let spec = field(1, &attributes);
        let status = [&[1 << 3, 0][..], &field(2, b"")].concat();
        let raw = [field(1, &field(1, b"")), field(2, &spec), field(3, &status)].concat();
        let body = envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", &raw);
        let object = decode(&body).unwrap();
        assert_eq!(object["kind"], "SelfSubjectAccessReview");
        let attributes = &object["spec"]["resourceAttributes"];
        assert_eq!(
            *attributes,
            json!({"verb": "create", "version": "*", "resource": "pods"})
        );
    }

    #[test]
    fn labels_and_numbers_and_lists_are_read() {
        let label = [field(1, b"app"), field(2, b"web")].concat();
        let container = [
            field(1, b"c"),
            field(2, b"i"),
            field(3, b"sh"),
            field(3, b"-c"),
        ]
        .concat();
        let template = field(2, &field(2, &container));
        let spec = [&[1 << 3, 3][..], &field(3, &template)].concat();
        let raw = [field(1, &field(11, &label)), field(2, &spec)].concat();
        let object = decode(&envelope("apps/v1", "Deployment", &raw)).unwrap();
        assert_eq!(object["metadata"]["labels"], json!({"app": "web"}));
        assert_eq!(object["spec"]["replicas"], 3);
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            *container,
            json!({"name": "c", "image": "i", "command": ["sh", "-c"]})
        );
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_dropped() {
        let raw = field(1, &field(15, b"x"));
        let error = decode(&envelope("v1", "Namespace", &raw)).unwrap_err();
        assert_eq!(error, "field 15 of Namespace.metadata is read as JSON only");
        assert!(decode(&envelope("v1", "Secret", b"")).is_err());
        assert!(decode(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&[MAGIC, &raw].concat());
            let _ = decode(&envelope("apps/v1", "Deployment", &raw));
        }
    }
}
