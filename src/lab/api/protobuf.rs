//! Bodies in Kubernetes' protobuf, as far as kubectl insists on sending them.
//!
//! kubectl writes most objects as JSON, but some commands (`auth can-i`, `drain`,
//! most forms of `create`) send protobuf and try nothing else. The messages they
//! send are tables in [`schema`]. A field that is in no table refuses the body:
//! it is never dropped in silence. Answers are always JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

mod schema;

use schema::{EITHER, ENVELOPE_TYPE, Field, Kind};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

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
    let fields = schema::of(&kind)
        .ok_or_else(|| format!("objects of kind {kind:?} are read as JSON only"))?;
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
        let Some(field) = fields.iter().find(|it| it.number == number) else {
            return Err(format!("field {number} of {path} is read as JSON only"));
        };
        let (name, path) = (field.name, format!("{path}.{}", field.name));
        if matches!(field.kind, Kind::Entry | Kind::BytesEntry) {
            let (key, bytes) = item.bytes(&path).and_then(|bytes| entry(bytes, &path))?;
            let map = object.entry(name).or_insert_with(|| json!({}));
            map[key] = match field.kind {
                Kind::BytesEntry => json!(BASE64_STANDARD.encode(bytes)),
                _ => json!(text(bytes, &path)?),
            };
            continue;
        }
        let value = value(item, field.kind, &path)?;
        if field.list {
            let items = object.entry(name).or_insert_with(|| json!([]));
            if let Some(items) = items.as_array_mut() {
                items.push(value);
            }
        } else if value != "" && !(field.omit && (value == 0 || value == false)) {
            // An empty text is how protobuf writes that there is none.
            object.insert(name.to_owned(), value);
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
            let either = message(item.bytes(path)?, EITHER, path)?;
            let field = if either["type"] == 1 { "text" } else { "int" };
            either[field].clone()
        }
        Kind::Entry | Kind::BytesEntry => Value::Null,
    })
}

fn entry<'a>(bytes: &'a [u8], path: &str) -> Result<(String, &'a [u8]), String> {
    let mut pair = (String::new(), &bytes[..0]);
    let mut reader = Reader(bytes);
    while let Some((number, item)) = reader.field()? {
        let part = item.bytes(path)?;
        match number {
            1 => pair.0 = text(part, path)?,
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
    fn bytes_in_maps_are_encoded_and_zeros_mean_none() {
        let entry = [field(1, b"k"), field(2, &[0xff, 0])].concat();
        let raw = [field(1, b""), field(2, &entry), field(3, b"Opaque")].concat();
        let secret = decode(&envelope("v1", "Secret", &raw)).unwrap();
        assert_eq!(secret["data"], json!({"k": "/wA="}));
        let port = [&[3 << 3, 80][..], &[5 << 3, 0]].concat();
        let raw = [field(1, b""), field(2, &field(1, &port))].concat();
        let service = decode(&envelope("v1", "Service", &raw)).unwrap();
        assert_eq!(service["spec"]["ports"], json!([{"port": 80}]));
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_dropped() {
        let raw = field(1, &field(15, b"x"));
        let error = decode(&envelope("v1", "Namespace", &raw)).unwrap_err();
        assert_eq!(error, "field 15 of Namespace.metadata is read as JSON only");
        assert!(decode(&envelope("v1", "Node", b"")).is_err());
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
