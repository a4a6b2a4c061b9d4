//! Watches: a response that goes on as long as things change.
//!
//! The body is pulled: the next change is read from the store when the socket
//! has taken the one before, so that a slow client slows only itself.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::present::Presenter;
use super::read::parse_version;
use super::request::{Filter, Query};
use super::status::ApiError;
use crate::lab::kinds::Resource;
use crate::lab::store::{Change, Store, StoreError, Watch, WatchEvent};

/// How often a client that asked for progress marks gets one while nothing
/// that it watches changes.
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);
/// How long a watch lasts at least when the client names no limit.
const DEFAULT_TIME: Duration = Duration::from_secs(1800);

/// What a watch was asked to do.
struct Plan {
    /// Objects as they are, before what changes.
    initial: Vec<Arc<Value>>,
    /// Announce the end of the initial objects.
    mark_initial_end: bool,
    /// Where to go on; an error is told to the client inside the stream.
    watch: Result<Watch, StoreError>,
}

/// Starts a watch.
///
/// # Errors
/// *400* and *422* for parameters that make no sense, *504* for a version that
/// has not happened yet.
pub fn start(
    store: &Store,
    resource: Resource,
    filter: Filter,
    query: &Query,
    presenter: Presenter,
    stop: CancellationToken,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, ApiError> {
    let bookmarks = query.flag("allowWatchBookmarks")?;
    let plan = plan(store, resource, &filter, query, bookmarks)?;
    let time = match query.number("timeoutSeconds")? {
        None | Some(0) => DEFAULT_TIME + Duration::from_secs(fastrand::u64(..1800)),
        Some(seconds) => Duration::from_secs(seconds.min(u64::from(u32::MAX))),
    };
    let mut initial = plan.initial;
    initial.reverse();
    let state = Streaming {
        announce: plan.mark_initial_end && bookmarks,
        initial,
        watch: Some(plan.watch),
        filter,
        presenter,
        bookmarks,
        marked: 0,
        first: true,
        end: Instant::now() + time,
        stop,
    };
    Ok(futures::stream::unfold(state, |mut state| async move {
        let line = state.line().await?;
        Some((Ok(line), state))
    }))
}

fn plan(
    store: &Store,
    resource: Resource,
    filter: &Filter,
    query: &Query,
    bookmarks: bool,
) -> Result<Plan, ApiError> {
    let asked = match query.get("sendInitialEvents") {
        None => None,
        Some(_) => Some(query.flag("sendInitialEvents")?),
    };
    let version = parse_version(query)?;
    if asked == Some(true)
        && !(bookmarks && query.get("resourceVersionMatch") == Some("NotOlderThan"))
    {
        return Err(ApiError::bad_request(
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan and allowWatchBookmarks to true",
        ));
    }
    if let Some(asked) = version
        && asked > store.rv()
    {
        let current = store.rv();
        return Err(StoreError::TooLarge { asked, current }.into());
    }
    let from_state = asked.unwrap_or(version.is_none_or(|version| version == 0));
    if !from_state {
        // "From now on" when no version is named.
        let from = version
            .filter(|version| *version > 0)
            .unwrap_or_else(|| store.rv());
        return Ok(Plan {
            initial: Vec::new(),
            mark_initial_end: false,
            watch: store.watch(&[resource], from),
        });
    }
    let (items, watch) = store.list_and_watch(&[resource]);
    let initial = items.into_iter().filter(|item| filter.matches(item));
    Ok(Plan {
        initial: initial.collect(),
        mark_initial_end: asked == Some(true),
        watch: Ok(watch),
    })
}

struct Streaming {
    /// In reverse, so that the next one is taken from the end.
    initial: Vec<Arc<Value>>,
    announce: bool,
    /// None when the stream has ended.
    watch: Option<Result<Watch, StoreError>>,
    filter: Filter,
    presenter: Presenter,
    bookmarks: bool,
    /// Version of the newest event or mark that was sent.
    marked: u64,
    first: bool,
    end: Instant,
    stop: CancellationToken,
}

/// What ended the wait for a change.
enum Woken {
    Change(Result<Arc<WatchEvent>, StoreError>),
    Bookmark,
    End,
}

impl Streaming {
    /// The next line of the response; none at its end.
    async fn line(&mut self) -> Option<Bytes> {
        if self.watch.is_some()
            && let Some(object) = self.initial.pop()
        {
            return Some(self.event(Change::Added.as_str(), &object));
        }
        loop {
            let watch = match self.watch.as_mut()? {
                Ok(watch) => watch,
                Err(error) => {
                    let status = ApiError::from(error.clone()).status();
                    self.watch = None;
                    return Some(encode("ERROR", &status));
                }
            };
            if std::mem::take(&mut self.announce) {
                self.marked = watch.position();
                return Some(encode(
                    "BOOKMARK",
                    &self.presenter.bookmark(self.marked, true),
                ));
            }
            let bookmark = (Instant::now() + BOOKMARK_EVERY).min(self.end);
            let woken = tokio::select! {
                biased;
                () = self.stop.cancelled() => Woken::End,
                change = watch.next() => Woken::Change(change),
                () = tokio::time::sleep_until(bookmark) => {
                    if bookmark == self.end { Woken::End } else { Woken::Bookmark }
                }
            };
            let position = watch.position();
            match woken {
                Woken::Change(Ok(event)) => {
                    if let Some(line) = self.change(&event) {
                        self.marked = event.rv;
                        return Some(line);
                    }
                    if Instant::now() >= self.end {
                        return self.finish(position);
                    }
                }
                Woken::Change(Err(error)) => self.watch = Some(Err(error)),
                Woken::Bookmark => {
                    if let Some(line) = self.bookmark(position) {
                        return Some(line);
                    }
                }
                Woken::End => return self.finish(position),
            }
        }
    }

    /// The last line: where the client can go on, if it wants to know.
    fn finish(&mut self, position: u64) -> Option<Bytes> {
        self.watch = None;
        self.bookmark(position)
    }

    fn bookmark(&mut self, position: u64) -> Option<Bytes> {
        if !self.bookmarks || position == self.marked {
            return None;
        }
        self.marked = position;
        Some(encode(
            "BOOKMARK",
            &self.presenter.bookmark(position, false),
        ))
    }

    /// A change, if the client sees it.
    fn change(&mut self, event: &WatchEvent) -> Option<Bytes> {
        let change = seen_through(&self.filter, event)?;
        let object = as_seen(change, event);
        if self.presenter.is_plain() && matches!(object, Cow::Borrowed(_)) {
            return Some(line(change.as_str(), event.json()));
        }
        Some(self.event(change.as_str(), &object))
    }

    fn event(&mut self, word: &str, object: &Value) -> Bytes {
        let first = std::mem::take(&mut self.first);
        encode(word, &self.presenter.in_stream(object, first))
    }
}

/// A change as a client with a filter sees it: an object that begins to match
/// is added, one that ceases to match is deleted.
fn seen_through(filter: &Filter, event: &WatchEvent) -> Option<Change> {
    let before = event.previous.as_ref().is_some_and(|it| filter.matches(it));
    let after = event.change != Change::Deleted && filter.matches(&event.object);
    match (before, after) {
        (false, true) => Some(Change::Added),
        (true, true) => Some(Change::Modified),
        (true, false) => Some(Change::Deleted),
        (false, false) => None,
    }
}

/// The object of a change. One that is deleted, or left the filter, is sent as
/// it was when it last matched, at the version of this change.
fn as_seen(change: Change, event: &WatchEvent) -> Cow<'_, Value> {
    match &event.previous {
        Some(previous) if change == Change::Deleted => {
            let mut object = Value::clone(previous);
            object["metadata"]["resourceVersion"] = json!(event.rv.to_string());
            Cow::Owned(object)
        }
        _ => Cow::Borrowed(&event.object),
    }
}

fn encode(word: &str, object: &Value) -> Bytes {
    line(word, object.to_string().as_bytes())
}

/// One event on the wire. The words need no escaping.
fn line(word: &str, object: &[u8]) -> Bytes {
    let (before, between, after) = (r#"{"type":""#, r#"","object":"#, "}\n");
    let parts = [
        before.as_bytes(),
        word.as_bytes(),
        between.as_bytes(),
        object,
        after.as_bytes(),
    ];
    Bytes::from(parts.concat())
}

#[cfg(test)]
mod tests;
