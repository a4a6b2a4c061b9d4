//! The watch of the namespace's pods: list once, then hear of every change.
//!
//! The watch goes on from the version it last heard of, so a broken connection
//! loses nothing; only when the server has forgotten that version (410) the
//! pods are listed anew.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use kube::core::{
    Request, WatchEvent,
    params::{ListParams, WatchParams},
};
use tokio::time::timeout;

use super::{
    Context,
    access::Session,
    backoff::Backoff,
    cast::Stage,
    failure::{Failure, Kind},
    slim::{Page, Slim},
};
use crate::{
    adapters::sink::Closed,
    core::event::{Fact, Feed, FeedState},
};

/// Pods in one answer: what kubectl asks for.
const PAGE: u32 = 500;

/// How long the server keeps one watch open, seconds.
const WATCH_FOR: u32 = 290;

/// When a watch was silent for so long, the server is asked for a sign of life:
/// a connection that died without a word would be silent for ever.
const SILENCE: Duration = Duration::from_secs(15);

/// A watch that lasted so long worked.
const WORKED: Duration = Duration::from_secs(5);

/// Watches until the cockpit leaves.
pub async fn watch(context: Arc<Context>, stage: Stage) -> Result<(), Closed> {
    let mut watcher = Watcher {
        context,
        stage,
        version: None,
        session: None,
        live: false,
    };
    watcher.feed(FeedState::Connecting).await?;
    let mut backoff = Backoff::default();
    let mut forgotten: Option<tokio::time::Instant> = None;
    loop {
        let began = tokio::time::Instant::now();
        let ended = watcher.attempt().await?;
        if began.elapsed() >= WORKED {
            backoff.reset();
        }
        match ended {
            // The end of a watch is its regular fate; one that ends at once is
            // a server that has trouble.
            Ended::Regularly if began.elapsed() >= WORKED => {}
            Ended::Regularly => {
                watcher.context.pause(backoff.next()).await;
            }
            // A server that forgets what it just said has trouble, too.
            Ended::Failed(failure)
                if failure.kind == Kind::Gone
                    && forgotten.is_none_or(|at| at.elapsed() >= WORKED) =>
            {
                forgotten = Some(tokio::time::Instant::now());
                watcher.version = None;
            }
            Ended::Failed(failure) => {
                watcher.live = false;
                if failure.kind == Kind::Gone {
                    watcher.version = None;
                }
                let wait = backoff.next();
                let state = watcher.context.broken(&failure, wait);
                watcher.feed(state).await?;
                if failure.kind == Kind::Unreachable {
                    watcher.context.connection_was_lost();
                }
                if watcher.context.pause(wait).await {
                    backoff.reset();
                }
            }
        }
    }
}

/// How an attempt ended.
enum Ended {
    Regularly,
    Failed(Failure),
}

struct Watcher {
    context: Arc<Context>,
    stage: Stage,
    /// Where the watch goes on; none if the pods must be listed.
    version: Option<String>,
    /// The session that version was heard in.
    session: Option<Arc<Session>>,
    live: bool,
}

impl Watcher {
    async fn feed(&self, state: FeedState) -> Result<(), Closed> {
        self.context.sink.feed(Feed::Pods, state).await
    }

    /// What is shown is how things are.
    async fn is_live(&mut self) -> Result<(), Closed> {
        if !self.live {
            self.live = true;
            self.feed(FeedState::Live).await?;
        }
        Ok(())
    }

    async fn attempt(&mut self) -> Result<Ended, Closed> {
        let session = match self.context.access.session().await {
            Ok(session) => session,
            Err(failure) => return Ok(Ended::Failed(failure)),
        };
        // Another session may lead to another cluster, or to one that was made
        // anew at the same address: its versions mean nothing there.
        if !self
            .session
            .as_ref()
            .is_some_and(|s| Arc::ptr_eq(s, &session))
        {
            self.version = None;
            self.session = Some(Arc::clone(&session));
        }
        let version = match self.version.take() {
            Some(version) => version,
            None => match self.list(&session).await? {
                Ok(version) => version,
                Err(failure) => {
                    self.context.access.discard_after(&session, &failure);
                    return Ok(Ended::Failed(failure));
                }
            },
        };
        self.version = Some(version);
        let ended = self.follow(&session).await?;
        if let Err(failure) = ended {
            self.context.access.discard_after(&session, &failure);
            return Ok(Ended::Failed(failure));
        }
        Ok(Ended::Regularly)
    }

    async fn list(&mut self, session: &Session) -> Result<Result<String, Failure>, Closed> {
        let what = format!("list the pods of namespace `{}`", session.namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut uids = Vec::new();
        loop {
            let request = match pods_of(session).list(&params) {
                Ok(request) => request,
                Err(error) => return Ok(Err(Failure::new(Kind::Other, error.to_string()))),
            };
            let page: Page = match session.unary(&what, session.read.request(request)).await {
                Ok(page) => page,
                Err(failure) => return Ok(Err(failure)),
            };
            for slim in page.items {
                uids.push(slim.uid().to_owned());
                self.enter(slim).await?;
            }
            if let Some(next) = page.metadata.next.filter(|next| !next.is_empty()) {
                params = params.continue_token(&next);
                continue;
            }
            self.stage.retain(&uids);
            self.context.sink.send(Fact::PodsListed { uids }).await?;
            self.is_live().await?;
            return Ok(Ok(page.metadata.resource_version));
        }
    }

    async fn follow(&mut self, session: &Session) -> Result<Result<(), Failure>, Closed> {
        let what = format!("watch the pods of namespace `{}`", session.namespace);
        let params = WatchParams::default().timeout(WATCH_FOR);
        let version = self.version.clone().unwrap_or_default();
        let request = match pods_of(session).watch(&params, &version) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::new(Kind::Other, error.to_string()))),
        };
        let opened = session
            .unary(&what, session.read.request_events::<Slim>(request))
            .await;
        let mut events = match opened {
            Ok(events) => Box::pin(events),
            Err(failure) => return Ok(Err(failure)),
        };
        self.is_live().await?;
        loop {
            let event = match timeout(SILENCE, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Err(error)) => {
                    return Ok(Err(Failure::of(&what, &session.server, &error)));
                }
                Err(_) => match sign_of_life(session).await {
                    Ok(()) => continue,
                    Err(failure) => return Ok(Err(failure)),
                },
            };
            if let Err(failure) = self.hear(session, &what, event).await? {
                return Ok(Err(failure));
            }
        }
    }

    async fn hear(
        &mut self,
        session: &Session,
        what: &str,
        event: WatchEvent<Slim>,
    ) -> Result<Result<(), Failure>, Closed> {
        match event {
            WatchEvent::Added(slim) | WatchEvent::Modified(slim) => {
                self.version = Some(slim.resource_version().to_owned());
                self.enter(slim).await?;
            }
            WatchEvent::Deleted(slim) => {
                self.version = Some(slim.resource_version().to_owned());
                if self.stage.leave(slim.uid()) {
                    let uid = slim.uid().to_owned();
                    self.context.sink.send(Fact::PodGone { uid }).await?;
                }
            }
            WatchEvent::Bookmark(mark) => self.version = Some(mark.metadata.resource_version),
            WatchEvent::Error(status) => {
                let error = kube::Error::Api(status);
                return Ok(Err(Failure::of(what, &session.server, &error)));
            }
        }
        Ok(Ok(()))
    }

    async fn enter(&mut self, slim: Slim) -> Result<(), Closed> {
        let pod = slim.into_pod(&self.context.selectors);
        if self.stage.enter(&pod) {
            self.context.sink.send(Fact::Pod(Box::new(pod))).await?;
        }
        Ok(())
    }
}

fn pods_of(session: &Session) -> Request {
    Request::new(format!("/api/v1/namespaces/{}/pods", session.namespace))
}

/// Anything that only a living connection to a living server answers.
async fn sign_of_life(session: &Session) -> Result<(), Failure> {
    session
        .unary("reach the API server", session.act.apiserver_version())
        .await
        .map(|_| ())
        // Whoever may not ask for the version has reached the server.
        .or_else(|failure| match failure.kind {
            Kind::Unreachable | Kind::Unauthorized => Err(failure),
            _ => Ok(()),
        })
}
