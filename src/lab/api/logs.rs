//! A container's log as a response.
//!
//! Files are in the container runtime's format, one line each: time, stream,
//! `F` for a whole line or `P` for a part of one, text. A follower sleeps
//! until the node says that there is more; nothing is polled.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::request::Query;
use super::status::ApiError;
use crate::lab::node::{LogSource, LogState, Node, NodeError};

/// How much is gathered before it is handed to the socket.
const CHUNK: usize = 32 * 1024;

/// What part of a log is wanted, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<u64>,
    limit: Option<u64>,
}

impl Options {
    /// Reads the query.
    ///
    /// # Errors
    /// *400* and *422* for values that make no sense.
    pub fn parse(query: &Query) -> Result<Self, ApiError> {
        let invalid = |text: &str| {
            let mut error = ApiError::bad_request(format!("PodLogOptions \"\" is invalid: {text}"));
            error.code = StatusCode::UNPROCESSABLE_ENTITY;
            error.reason = "Invalid";
            error
        };
        let seconds = query.number("sinceSeconds")?;
        let since = match (query.get("sinceTime"), seconds) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
                ));
            }
            (None, Some(0)) => {
                return Err(invalid(
                    "sinceSeconds: Invalid value: 0: must be greater than 0",
                ));
            }
            (None, Some(seconds)) => {
                let back = SignedDuration::from_secs(seconds.min(i32::MAX as u64) as i64);
                Timestamp::now().checked_sub(back).ok()
            }
            (Some(time), None) => Some(time.parse().map_err(|_| {
                ApiError::bad_request(format!("sinceTime {time:?} is no RFC 3339 time"))
            })?),
            (None, None) => None,
        };
        if query.get("stream").is_some_and(|stream| stream != "All") {
            return Err(ApiError::not_implemented("logs of one stream only"));
        }
        let limit = query.number("limitBytes")?;
        if limit == Some(0) {
            return Err(invalid(
                "limitBytes: Invalid value: 0: must be greater than 0",
            ));
        }
        Ok(Self {
            follow: query.flag("follow")?,
            previous: query.flag("previous")?,
            timestamps: query.flag("timestamps")?,
            since,
            tail: query.number("tailLines")?,
            limit,
        })
    }
}

/// The container that a request means.
///
/// # Errors
/// *400* when the pod has no such container, or several and none was named.
pub fn container<'a>(pod: &'a Value, asked: Option<&str>) -> Result<&'a str, ApiError> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let containers = pod["spec"]["containers"].as_array();
    let names: Vec<&str> = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    match (asked, names.as_slice()) {
        (None, [only]) => Ok(only),
        (None, many) => {
            let first = pod["spec"]["initContainers"].as_array();
            let first = first.into_iter().flatten();
            let first: Vec<&str> = first.filter_map(|it| it["name"].as_str()).collect();
            let first = match first.as_slice() {
                [] => String::new(),
                some => format!(" or one of the init containers: [{}]", some.join(" ")),
            };
            Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]{first}",
                many.join(" ")
            )))
        }
        (Some(asked), _) => {
            let containers = ["initContainers", "containers"]
                .iter()
                .filter_map(|list| pod["spec"][*list].as_array());
            let names = containers.flatten().filter_map(|it| it["name"].as_str());
            let found = names.into_iter().find(|it| *it == asked);
            found.ok_or_else(|| {
                ApiError::bad_request(format!("container {asked} is not valid for pod {name}"))
            })
        }
    }
}

/// Opens a log and begins to read it.
///
/// # Errors
/// *400* while the container has no log, *500* when the files cannot be read.
pub async fn open(
    node: &dyn Node,
    pod: &Value,
    container: &str,
    options: Options,
    stop: CancellationToken,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, ApiError> {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let refusal = |error: NodeError| match error {
        NodeError::NotStarted(reason) => ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"
        )),
        NodeError::NoPrevious(_) => ApiError::bad_request(format!(
            "previous terminated container \"{container}\" in pod \"{name}\" not found"
        )),
        NodeError::NotFound(_) => ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is not available"
        )),
        other => ApiError::internal(other),
    };
    // A log that is rotated between naming its files and opening them is named
    // again.
    let reader = loop {
        let source = node
            .open_log(uid, container, options.previous)
            .map_err(refusal)?;
        let state = *source.state.borrow();
        let reader = Reader::open(&source, state, &options, stop.clone())
            .await
            .map_err(|error| ApiError::internal(format!("cannot read the log: {error}")))?;
        if source.state.borrow().rotations == state.rotations {
            break reader;
        }
    };
    Ok(futures::stream::unfold(reader, |mut reader| async move {
        let chunk = reader.chunk().await.transpose()?;
        Some((chunk, reader))
    }))
}

struct Reader {
    source: LogSource,
    files: VecDeque<BufReader<File>>,
    rotations: u64,
    /// Lines still to be left out before the last `tail` ones begin.
    skip: u64,
    /// An unfinished line: the node was still writing it.
    partial: Vec<u8>,
    /// The next text begins a line.
    fresh: bool,
    left: u64,
    options: Options,
    stop: CancellationToken,
}

impl Reader {
    async fn open(
        source: &LogSource,
        state: LogState,
        options: &Options,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let skip = match options.tail {
            Some(tail) => {
                let mut lines = 0;
                for mut file in open_all(source).await? {
                    lines += count_lines(&mut file).await?;
                }
                lines.saturating_sub(tail)
            }
            None => 0,
        };
        Ok(Self {
            source: source.clone(),
            files: open_all(source).await?,
            rotations: state.rotations,
            skip,
            partial: Vec::new(),
            fresh: true,
            left: options.limit.unwrap_or(u64::MAX),
            options: options.clone(),
            stop,
        })
    }

    /// The next piece of the response; none at its end.
    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = BytesMut::new();
        while self.left > 0 {
            // Noted before reading: what is written later wakes the wait below.
            let state = *self.source.state.borrow_and_update();
            let more = self.read(&mut out).await?;
            if more || (!out.is_empty() && self.options.follow) {
                break;
            }
            if self.files.len() > 1 {
                self.files.pop_front();
                continue;
            }
            if state.rotations > self.rotations {
                self.rotations = state.rotations;
                self.files.clear();
                self.files.push_back(open_file(&self.source.current).await?);
                continue;
            }
            if !self.options.follow || state.ended {
                break;
            }
            tokio::select! {
                changed = self.source.state.changed() => if changed.is_err() { break },
                () = self.stop.cancelled() => break,
            }
        }
        if out.len() as u64 > self.left {
            out.truncate(self.left as usize);
        }
        self.left -= out.len() as u64;
        Ok((!out.is_empty()).then(|| out.freeze()))
    }

    /// Reads lines of the first file until there is a chunk of them; whether
    /// there may be more.
    async fn read(&mut self, out: &mut BytesMut) -> io::Result<bool> {
        let Some(file) = self.files.front_mut() else {
            return Ok(false);
        };
        while out.len() < CHUNK {
            let read = file.read_until(b'\n', &mut self.partial).await?;
            if read == 0 || self.partial.last() != Some(&b'\n') {
                return Ok(false);
            }
            if self.skip > 0 {
                self.skip -= 1;
            } else {
                render(&self.partial, &self.options, &mut self.fresh, out);
            }
            self.partial.clear();
        }
        Ok(true)
    }
}

async fn open_all(source: &LogSource) -> io::Result<VecDeque<BufReader<File>>> {
    let mut files = VecDeque::new();
    for path in &source.rotated {
        match open_file(path).await {
            Ok(file) => files.push_back(file),
            // Removed in the meantime, to keep the log bounded.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.push_back(open_file(&source.current).await?);
    Ok(files)
}

async fn open_file(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(2 * CHUNK, File::open(path).await?))
}

async fn count_lines(file: &mut BufReader<File>) -> io::Result<u64> {
    let mut lines = 0;
    loop {
        let buffer = file.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = buffer.len();
        file.consume(length);
    }
}

/// Writes one stored line as a client reads it. A line that is not in the
/// format is written as it is: better odd than lost.
fn render(line: &[u8], options: &Options, fresh: &mut bool, out: &mut BytesMut) {
    let Some((time, part, text)) = split(line) else {
        out.put_slice(line);
        *fresh = true;
        return;
    };
    if let Some(since) = options.since
        && time.parse::<Timestamp>().is_ok_and(|time| time < since)
    {
        return;
    }
    if options.timestamps && *fresh {
        out.put_slice(time.as_bytes());
        out.put_u8(b' ');
    }
    out.put_slice(text);
    *fresh = !part;
    if *fresh {
        out.put_u8(b'\n');
    }
}

/// Time, whether it is only a part, and text without its line end.
fn split(line: &[u8]) -> Option<(&str, bool, &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let stream = fields.next()?;
    let tag = fields.next()?;
    let text = fields.next()?;
    let known = matches!(stream, b"stdout" | b"stderr");
    // Tags may carry more after a colon; only the first says whether it is whole.
    let part = tag.first() == Some(&b'P');
    (known && (part || tag.first() == Some(&b'F'))).then_some((time, part, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(lines: &[&str], options: &Options) -> String {
        let (mut out, mut fresh) = (BytesMut::new(), true);
        for line in lines {
            render(line.as_bytes(), options, &mut fresh, &mut out);
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    const LINES: [&str; 4] = [
        "2026-01-01T00:00:01.5Z stdout F one\n",
        "2026-01-01T00:00:02Z stdout P two \n",
        "2026-01-01T00:00:03Z stdout F parts\n",
        "2026-01-01T00:00:04Z stderr F \n",
    ];

    #[test]
    fn parts_are_joined_and_empty_lines_kept() {
        assert_eq!(rendered(&LINES, &Options::default()), "one\ntwo parts\n\n");
    }

    #[test]
    fn timestamps_stand_before_whole_lines_only() {
        let options = Options {
            timestamps: true,
            ..Options::default()
        };
        assert_eq!(
            rendered(&LINES, &options),
            "2026-01-01T00:00:01.5Z one\n2026-01-01T00:00:02Z two parts\n2026-01-01T00:00:04Z \n"
        );
    }

    #[test]
    fn since_compares_to_the_fraction_of_a_second() {
        let options = |since: &str| Options {
            since: Some(since.parse().unwrap()),
            ..Options::default()
        };
        assert_eq!(
            rendered(&LINES[..1], &options("2026-01-01T00:00:01.5Z")),
            "one\n"
        );
        assert_eq!(
            rendered(&LINES[..1], &options("2026-01-01T00:00:01.500000001Z")),
            ""
        );
    }

    #[test]
    fn a_line_in_no_format_is_shown_as_it_is() {
        assert_eq!(rendered(&["junk\n"], &Options::default()), "junk\n");
    }

    #[test]
    fn options_that_contradict_themselves_are_refused() {
        for query in [
            "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            "sinceSeconds=0",
            "sinceTime=yesterday",
            "tailLines=-1",
            "limitBytes=0",
            "follow=maybe",
        ] {
            assert!(
                Options::parse(&Query::parse(Some(query))).is_err(),
                "{query}"
            );
        }
    }

    #[test]
    fn the_container_is_the_only_one_or_the_one_named() {
        let pod = |names: &[&str]| {
            let containers: Vec<Value> = names
                .iter()
                .map(|name| serde_json::json!({"name": name}))
                .collect();
            serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": containers}})
        };
        assert_eq!(container(&pod(&["a"]), None), Ok("a"));
        assert_eq!(container(&pod(&["a", "b"]), Some("b")), Ok("b"));
        let mut first = pod(&["a"]);
        first["spec"]["initContainers"] = serde_json::json!([{"name": "i"}]);
        assert_eq!(container(&first, Some("i")), Ok("i"));
        assert_eq!(container(&first, None), Ok("a"));
        assert_eq!(
            container(&pod(&["a", "b"]), None).unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        assert_eq!(
            container(&pod(&["a"]), Some("x")).unwrap_err().message,
            "container x is not valid for pod p"
        );
    }
}
