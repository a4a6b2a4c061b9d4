//! What a request carries besides its path: query, formats, body.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use serde_json::Value;

use super::limits::Room;
use super::status::ApiError;
use super::{protobuf, yaml};
use crate::lab::kinds::Resource;
use crate::lab::selector::{FieldSelector, LabelSelector};

/// The longest body that is read, as the real server's.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// A body that is too long is read up to here all the same: many a client looks
/// for an answer only when it has said everything.
const HEARD_OUT: usize = 64 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The query of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after the question mark.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of a name; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Every value of a name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A truth value; absent is false, present without value is true.
    ///
    /// # Errors
    /// Anything that is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.all(name).next() {
            None | Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some("" | "true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some(odd) => Err(ApiError::bad_request(format!(
                "invalid value {odd:?} of parameter {name}: expected true or false"
            ))),
        }
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// Anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!(
                "invalid value {text:?} of parameter {name}: expected a number that is not negative"
            ))
        })
    }
}

/// Which objects a list or a watch is about.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Their namespace; none means all.
    pub namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    /// Reads `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// *400* in the server's words.
    pub fn parse(
        resource: Resource,
        namespace: Option<String>,
        query: &Query,
    ) -> Result<Self, ApiError> {
        let labels = query.get("labelSelector").unwrap_or_default();
        let fields = query.get("fieldSelector").unwrap_or_default();
        Ok(Self {
            namespace,
            labels: LabelSelector::parse(labels).map_err(ApiError::bad_request)?,
            fields: FieldSelector::parse(fields, &known_fields(resource))
                .map_err(ApiError::bad_request)?,
        })
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.namespace
            .as_ref()
            .is_none_or(|namespace| metadata["namespace"] == namespace.as_str())
            && self.labels.matches(&metadata["labels"])
            && self.fields.matches(object)
    }

    /// Whether the selectors leave something out that the namespace does not.
    pub fn selects_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// The fields that the real server lets a client select by.
fn known_fields(resource: Resource) -> Vec<&'static str> {
    let about = resource.about();
    let mut fields = vec!["metadata.name"];
    if about.names.namespaced {
        fields.push("metadata.namespace");
    }
    fields.extend(about.fields);
    fields
}

/// How the client wants objects to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The object itself.
    Object,
    /// Only its metadata.
    Metadata,
    /// Rows and columns for a person.
    Table,
}

/// Chooses the first format in `Accept` that can be written.
///
/// # Errors
/// *406* when there is none.
pub fn accepted(headers: &HeaderMap) -> Result<Format, ApiError> {
    let accepts: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    if accepts.is_empty() {
        return Ok(Format::Object);
    }
    accepts
        .into_iter()
        .find_map(format_of)
        .ok_or_else(ApiError::not_acceptable)
}

fn format_of(range: &str) -> Option<Format> {
    let mut parts = range.split(';').map(str::trim);
    let json = matches!(parts.next()?, "application/json" | "application/*" | "*/*");
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let get = |name| {
        let found = parameters.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    };
    let meta = get("g") == Some("meta.k8s.io") && get("v") == Some("v1");
    match get("as") {
        _ if !json => None,
        None => Some(Format::Object),
        Some("Table") if meta => Some(Format::Table),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") if meta => {
            Some(Format::Metadata)
        }
        Some(_) => None,
    }
}

/// The media type of a body, without parameters.
pub fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.unwrap_or_default().trim()
}

/// Reads a body to its end, and takes the room that it needs.
///
/// # Errors
/// *413* when it is too long, *408* when it takes too long, *429* when there is
/// no room for it, *400* when the client breaks off.
pub async fn read_body<B>(body: B, room: &mut Room) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = std::pin::pin!(body);
    let read = tokio::time::timeout(BODY_TIME, read_all(body, room));
    read.await.unwrap_or_else(|_| {
        Err(ApiError::timeout(
            "the request body did not arrive within 30 seconds",
        ))
    })
}

async fn read_all<B>(mut body: Pin<&mut B>, room: &mut Room) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut read, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error = error.into();
            ApiError::bad_request(format!("the request body could not be read: {error}"))
        })?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        length += bytes.len();
        if length <= BODY_LIMIT {
            room.grow(length).await?;
            read.extend_from_slice(&bytes);
        } else if length > HEARD_OUT {
            break;
        }
    }
    if length > BODY_LIMIT {
        return Err(ApiError::too_large(BODY_LIMIT));
    }
    Ok(read.freeze())
}

/// Reads an object from a body; none when the body is empty.
///
/// # Errors
/// *415* for a format that is not read here, *400* for text that is not what
/// it says or is no object.
pub fn parse_object(content_type: &str, body: &[u8]) -> Result<Option<Value>, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let broken =
        |why: String| ApiError::bad_request(format!("the object provided is unrecognized: {why}"));
    let value: Value = match content_type {
        "" | "application/json" => {
            serde_json::from_slice(body).map_err(|error| broken(error.to_string()))?
        }
        "application/yaml" => yaml::read(body, BODY_LIMIT).map_err(broken)?,
        protobuf::MEDIA_TYPE => protobuf::decode(body).map_err(|why| {
            let mut error = unsupported_media_type();
            error.message = format!("{} ({why})", error.message);
            error
        })?,
        _ => return Err(unsupported_media_type()),
    };
    let metadata = value.get("metadata");
    if !value.is_object() || metadata.is_some_and(|it| !it.is_object() && !it.is_null()) {
        return Err(broken("it is no object with metadata".to_owned()));
    }
    Ok(Some(value))
}

/// Reads an applied object: YAML, of which JSON is a part.
///
/// # Errors
/// *400*.
pub fn parse_applied(body: &[u8]) -> Result<Value, ApiError> {
    let value = yaml::read(body, BODY_LIMIT)
        .map_err(|why| ApiError::bad_request(format!("error decoding YAML: {why}")))?;
    if value.is_object() && value.get("metadata").is_none_or(Value::is_object) {
        Ok(value)
    } else {
        Err(ApiError::bad_request(
            "error decoding YAML: it is no object with metadata",
        ))
    }
}

fn unsupported_media_type() -> ApiError {
    ApiError::unsupported_media_type(&["application/json", "application/yaml"])
}

/// Whether a JSON list holds a text.
pub fn lists(list: &Value, text: &str) -> bool {
    let items = list.as_array();
    items.is_some_and(|items| items.iter().any(|item| item == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> Result<Format, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, value.parse().unwrap());
        accepted(&headers)
    }

    #[test]
    fn the_first_format_that_can_be_written_is_chosen() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(
            accepts(&format!("{table},application/json")),
            Ok(Format::Table)
        );
        assert_eq!(accepts("application/json"), Ok(Format::Object));
        assert_eq!(accepts("*/*"), Ok(Format::Object));
        assert_eq!(
            accepts("application/vnd.kubernetes.protobuf,application/json"),
            Ok(Format::Object)
        );
        assert_eq!(
            accepts("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Ok(Format::Metadata)
        );
        assert_eq!(
            accepts("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Ok(Format::Object)
        );
        assert_eq!(
            accepts("application/vnd.kubernetes.protobuf")
                .unwrap_err()
                .code,
            406
        );
    }

    #[test]
    fn queries_are_decoded_and_odd_values_refused() {
        let query = Query::parse(Some(
            "command=a%20b&command=c+d&stdin=true&tty=&tailLines=-1",
        ));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["a b", "c d"]);
        assert_eq!(query.flag("stdin"), Ok(true));
        assert_eq!(query.flag("tty"), Ok(true));
        assert_eq!(query.flag("stdout"), Ok(false));
        assert!(query.number("tailLines").is_err());
        assert_eq!(query.number("limit"), Ok(None));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        assert!(parse_object("application/json", b"[1]").is_err());
        assert!(parse_object("application/json", b"{\"metadata\":3}").is_err());
        assert!(parse_object("application/json", b"{").is_err());
        assert_eq!(parse_object("application/json", b" \n"), Ok(None));
        assert_eq!(
            parse_object("application/vnd.kubernetes.protobuf", b"k8s")
                .unwrap_err()
                .code,
            415
        );
        let yaml = parse_object("application/yaml", b"metadata: {name: a}").unwrap();
        assert_eq!(yaml.unwrap()["metadata"]["name"], "a");
    }
}
