//! The log of one role, followed across restarts and replacement pods.
//!
//! The API serves the log of a container, not of an execution: after a restart
//! the same request brings another log. So which execution speaks is told by the
//! pod's status, and every execution is read to its end (if its stream broke,
//! from the node's copy of the previous log) before the next is begun. No line
//! is lost, and none is told twice.

mod lines;
mod past;
mod position;
mod seat;
mod teller;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{AsyncBufRead, AsyncBufReadExt, FutureExt};
use http::header::{ACCEPT_ENCODING, HeaderValue};
use kube::{
    api::{GetParams, LogParams},
    core::Request,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::{
    lines::Splitter,
    past::{HISTORY, Past, at},
    seat::{Plan, Seat},
    teller::Teller,
};
use super::{
    Context,
    access::Session,
    backoff::Backoff,
    cast::{Cast, Player},
    failure::{Failure, Kind},
    slim::Slim,
};
use crate::{
    adapters::sink::Closed,
    core::{event::FeedState, workload::Role},
};

/// A stream that lasted so long worked.
const WORKED: Duration = Duration::from_secs(1);

/// When a stream ended and the status does not say why for so long, it is
/// opened again. A real node looks after its containers once a second.
const UNEXPLAINED: Duration = Duration::from_secs(5);

/// How long the log of a pod that was replaced may go on, once its replacement
/// speaks: the node may be slow to kill it, and the recovery is told by the new
/// one.
const FAREWELL: Duration = Duration::from_millis(250);

/// How long the log of an execution may go on when the next one runs already.
const DRAIN: Duration = Duration::from_secs(2);

/// A container that waits is looked at again after so long, should the pod's
/// status lag behind the node.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Follows the log of `role` until the cockpit leaves.
pub async fn follow(
    context: Arc<Context>,
    role: Role,
    cast: watch::Receiver<Cast>,
) -> Result<(), Closed> {
    let mut follower = Follower {
        teller: Teller::new(context.sink.clone(), role),
        lost: context.follow_losses(),
        context,
        role,
        cast,
        seat: None,
        fresh: None,
        state: None,
        met: false,
        backoff: Backoff::default(),
    };
    loop {
        let plan = follower.plan();
        follower.carry_out(plan).await?;
    }
}

/// How a stream ended.
enum Ended {
    /// The server ended it: the container ended, or the connection did.
    Regularly,
    /// It broke, or was left because it may be dead.
    Broken(Option<Failure>),
    /// Whatever it may still bring is not waited for.
    Left,
}

struct Follower {
    context: Arc<Context>,
    role: Role,
    cast: watch::Receiver<Cast>,
    lost: watch::Receiver<u64>,
    teller: Teller,
    seat: Option<Seat>,
    /// The player as it was asked for, should the watch lag behind.
    fresh: Option<Player>,
    /// What the feed was said to be.
    state: Option<FeedState>,
    /// A log of this role was read before: what comes is no history.
    met: bool,
    backoff: Backoff,
}

impl Follower {
    /// Who plays, by the newest that is known.
    fn player(&mut self) -> Option<Player> {
        let player = self.cast.borrow_and_update().player(self.role).cloned()?;
        self.fresh
            .take_if(|fresh| fresh.uid != player.uid || fresh.restarts <= player.restarts);
        Some(self.fresh.clone().unwrap_or(player))
    }

    /// Whether the server knows a later execution than `execution`, which the
    /// watch may not have told yet: it may have broken at the same time as the
    /// stream that is opened again. Without asking, the new log would be taken
    /// for the rest of the old one, and that rest be lost.
    async fn is_superseded(&mut self, session: &Session, execution: u32) -> Result<bool, Failure> {
        let Some(seat) = &self.seat else {
            return Ok(false);
        };
        let what = format!("look at pod `{}`", seat.pod);
        let path = format!("/api/v1/namespaces/{}/pods", session.namespace);
        let request = Request::new(path)
            .get(&seat.pod, &GetParams::default())
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        let slim: Slim = match session.unary(&what, session.read.request(request)).await {
            Ok(slim) => slim,
            // Whoever may not look, or looks too late, goes by what the watch says.
            Err(failure) if matches!(failure.kind, Kind::Forbidden | Kind::NotFound) => {
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        };
        let pod = slim.into_pod(&self.context.selectors);
        self.fresh =
            Player::of(&pod).filter(|player| player.uid == seat.uid && player.restarts > execution);
        Ok(self.fresh.is_some())
    }

    fn plan(&mut self) -> Plan {
        let listed = self.cast.borrow().listed;
        let Some(player) = self.player() else {
            self.seat = None;
            return Plan::Wait(if listed {
                self.context.nobody(self.role)
            } else {
                "the list of pods".to_owned()
            });
        };
        let seat = match &mut self.seat {
            Some(seat) if seat.uid == player.uid => seat,
            seat => seat.insert(Seat::of(&player)),
        };
        seat.plan(&player, self.role)
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<(), Closed> {
        match plan {
            Plan::Wait(what) => {
                self.say(FeedState::Waiting { what }).await?;
                self.wait_for_change(None).await
            }
            Plan::Read {
                execution,
                previous,
            } => self.read(execution, previous).await,
        }
    }

    /// Waits until the cast changes, or `at_most` so long. Progress that was
    /// held back comes through meanwhile.
    async fn wait_for_change(&mut self, at_most: Option<Duration>) -> Result<(), Closed> {
        self.teller.release().await?;
        let limit = async {
            match at_most {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.cast.changed() => changed.map_err(|_| Closed),
            () = limit => Ok(()),
        }
    }

    async fn say(&mut self, state: FeedState) -> Result<(), Closed> {
        if self.state.as_ref() != Some(&state) {
            self.teller.flush().await?;
            let feed = crate::core::event::Feed::Log(self.role);
            self.context.sink.feed(feed, state.clone()).await?;
            self.state = Some(state);
        }
        Ok(())
    }

    async fn read(&mut self, execution: u32, previous: bool) -> Result<(), Closed> {
        let session = match self.context.access.session().await {
            Ok(session) => session,
            Err(failure) => return self.fail(&failure).await,
        };
        let again = self
            .seat
            .as_ref()
            .is_some_and(|seat| seat.begun == Some(execution));
        if again && !previous {
            match self.is_superseded(&session, execution).await {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(failure) => {
                    self.context.access.discard_after(&session, &failure);
                    return self.fail(&failure).await;
                }
            }
        }
        let first = !self.met;
        let stream = match self.open(&session, previous, first).await {
            Ok(stream) => stream,
            Err(failure) => {
                self.context.access.discard_after(&session, &failure);
                return self.not_opened(failure, execution, previous).await;
            }
        };
        self.met = true;
        let began = Instant::now();
        let ended = self
            .consume(stream, &session, execution, previous, first)
            .await?;
        let worked = began.elapsed() >= WORKED;
        if worked {
            self.backoff.reset();
        }
        match ended {
            Ended::Broken(Some(failure)) => {
                self.teller.release().await?;
                self.context.access.discard_after(&session, &failure);
                // One that worked for a while is opened again at once.
                if worked {
                    Ok(())
                } else {
                    self.fail(&failure).await
                }
            }
            ended => self.conclude(ended, execution, previous).await,
        }
    }

    async fn open(
        &mut self,
        session: &Session,
        previous: bool,
        first: bool,
    ) -> Result<impl AsyncBufRead + Unpin + Send + use<>, Failure> {
        let Some(seat) = &mut self.seat else {
            return Err(Failure::new(Kind::NotFound, "nobody speaks"));
        };
        seat.position.resume();
        let params = LogParams {
            container: Some(seat.container.clone()),
            follow: !previous,
            previous,
            timestamps: true,
            since_time: seat
                .position
                .since()
                .or_else(|| self.context.log_since.filter(|_| first)),
            tail_lines: (first && self.context.log_since.is_none()).then_some(HISTORY as i64),
            ..LogParams::default()
        };
        let what = format!("read the log of pod `{}`", seat.pod);
        let path = format!("/api/v1/namespaces/{}/pods", session.namespace);
        let mut request = Request::new(path)
            .logs(&seat.pod, &params)
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        // Compression would hold lines back until a block of them is full.
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let stream = session
            .unary(&what, session.read.request_stream(request))
            .await?;
        Ok(Box::pin(stream))
    }

    /// The stream could not be opened.
    async fn not_opened(
        &mut self,
        failure: Failure,
        execution: u32,
        previous: bool,
    ) -> Result<(), Closed> {
        match failure.kind {
            // The node keeps one previous log, and not for ever.
            Kind::BadRequest | Kind::NotFound if previous => {
                if let Some(seat) = &mut self.seat {
                    seat.begun = Some(execution);
                }
                self.drained();
                Ok(())
            }
            // The container has no log yet, or its pod goes: the status will tell.
            Kind::BadRequest | Kind::NotFound => {
                self.say(FeedState::Waiting { what: failure.why }).await?;
                self.wait_for_change(Some(LOOK_AGAIN)).await
            }
            _ => self.fail(&failure).await,
        }
    }

    async fn fail(&mut self, failure: &Failure) -> Result<(), Closed> {
        let wait = self.backoff.next();
        let state = self.context.broken(failure, wait);
        self.say(state).await?;
        self.teller.release().await?;
        if self.context.pause(wait).await {
            self.backoff.reset();
        }
        Ok(())
    }

    fn drained(&mut self) {
        if let Some(seat) = &mut self.seat {
            seat.drained = true;
            if let Some(torn) = seat.torn.take() {
                self.teller.note_time();
                self.teller.accept(&torn, &mut seat.position, false);
            }
        }
    }

    /// What the end of a stream means for the execution that it was of.
    async fn conclude(
        &mut self,
        ended: Ended,
        execution: u32,
        previous: bool,
    ) -> Result<(), Closed> {
        self.teller.release().await?;
        match ended {
            Ended::Broken(_) => {}
            Ended::Left => self.drained(),
            Ended::Regularly if previous || self.is_over(execution) => self.drained(),
            Ended::Regularly => {
                // The log ends before the status says so.
                let what = format!("word of the {} that stopped speaking", self.role);
                self.say(FeedState::Waiting { what }).await?;
                let over = async {
                    while !self.is_over(execution) {
                        self.wait_for_change(None).await?;
                    }
                    Ok::<_, Closed>(())
                };
                if let Ok(over) = timeout(UNEXPLAINED, over).await {
                    over?;
                    self.drained();
                }
            }
        }
        Ok(())
    }

    /// Whether the execution that was followed is known to be over.
    fn is_over(&mut self, execution: u32) -> bool {
        let player = self.player();
        match (&self.seat, player) {
            (Some(seat), Some(player)) => player.uid != seat.uid || player.has_ended(execution),
            _ => true,
        }
    }

    async fn consume(
        &mut self,
        mut stream: impl AsyncBufRead + Unpin + Send,
        session: &Session,
        execution: u32,
        previous: bool,
        first: bool,
    ) -> Result<Ended, Closed> {
        let mut past = Past::new(first);
        if !first {
            self.begin(execution, false).await?;
            if !previous {
                self.say(FeedState::Live).await?;
            }
        }
        self.lost.mark_unchanged();
        let mut splitter = Splitter::default();
        let mut until: Option<Instant> = None;
        loop {
            let held = self.teller.held_for().map(|wait| Instant::now() + wait);
            let woke = tokio::select! {
                biased;
                data = stream.fill_buf() => Woke::Data(data.map(<[u8]>::is_empty)),
                changed = self.cast.changed() => {
                    changed.map_err(|_| Closed)?;
                    Woke::Cast
                }
                _ = self.lost.changed() => Woke::Lost,
                () = at(held) => Woke::Held,
                () = at(until) => Woke::Late,
                () = past.over() => Woke::Present,
            };
            match woke {
                Woke::Data(Ok(false)) => {
                    self.teller.note_time();
                    let end = self.take_in(&mut stream, &mut splitter, &mut past).await?;
                    if end.is_some() || self.is_told(&past) {
                        self.relive(&mut past, execution).await?;
                    }
                    if let Some(end) = end {
                        return Ok(self.at_end(end, splitter, session));
                    }
                }
                Woke::Data(end) => {
                    self.relive(&mut past, execution).await?;
                    return Ok(self.at_end(end.map(|_| ()), splitter, session));
                }
                Woke::Cast => until = until.or_else(|| self.farewell(execution)),
                Woke::Lost => {
                    self.relive(&mut past, execution).await?;
                    return Ok(Ended::Broken(None));
                }
                Woke::Held => self.teller.release().await?,
                Woke::Late => {
                    self.relive(&mut past, execution).await?;
                    return Ok(Ended::Left);
                }
                Woke::Present => self.relive(&mut past, execution).await?,
            }
        }
    }

    fn at_end(
        &mut self,
        end: std::io::Result<()>,
        mut splitter: Splitter,
        session: &Session,
    ) -> Ended {
        match end {
            Ok(()) => {
                if let Some(seat) = &mut self.seat {
                    seat.torn = splitter.finish();
                }
                Ended::Regularly
            }
            Err(error) => Ended::Broken(Some(Failure::of(
                &format!("go on reading the log of the {}", self.role),
                &session.server,
                &kube::Error::ReadEvents(error),
            ))),
        }
    }

    /// Reads whatever is there now; tells it in batches. Returns how the stream
    /// ended, if it did.
    async fn take_in(
        &mut self,
        stream: &mut (impl AsyncBufRead + Unpin + Send),
        splitter: &mut Splitter,
        past: &mut Past,
    ) -> Result<Option<std::io::Result<()>>, Closed> {
        let end = loop {
            let size = match stream.fill_buf().now_or_never() {
                None => break None,
                Some(Err(error)) => break Some(Err(error)),
                Some(Ok([])) => break Some(Ok(())),
                Some(Ok(chunk)) => {
                    if let Some(seat) = &mut self.seat {
                        splitter.feed(chunk, |line| {
                            if let Some(line) = past.keep(line) {
                                self.teller.accept(&line, &mut seat.position, false);
                            }
                        });
                    }
                    chunk.len()
                }
            };
            Pin::new(&mut *stream).consume(size);
            if self.teller.is_full() {
                self.teller.flush().await?;
            }
        };
        self.teller.flush().await?;
        Ok(end)
    }

    /// Whether as much of the past came as was asked for.
    fn is_told(&self, past: &Past) -> bool {
        self.context.log_since.is_none() && past.is_long()
    }

    /// The past is over: tells what was kept of it.
    async fn relive(&mut self, past: &mut Past, execution: u32) -> Result<(), Closed> {
        let Some(lines) = past.take() else {
            return Ok(());
        };
        let midway = lines.len() >= HISTORY || self.context.log_since.is_some();
        self.begin(execution, midway).await?;
        self.teller.note_time();
        if let Some(seat) = &mut self.seat {
            for line in &lines {
                self.teller.accept(line, &mut seat.position, true);
            }
        }
        self.teller.flush().await?;
        self.say(FeedState::Live).await
    }

    async fn begin(&mut self, execution: u32, midway: bool) -> Result<(), Closed> {
        let Some(seat) = &mut self.seat else {
            return Ok(());
        };
        if seat.begun == Some(execution) {
            return Ok(());
        }
        seat.begun = Some(execution);
        seat.drained = false;
        let pod = seat.pod.clone();
        self.teller.begin(&pod, execution, midway).await
    }

    /// When to leave a stream that should have ended by now.
    fn farewell(&mut self, execution: u32) -> Option<Instant> {
        let player = self.player();
        let seat = self.seat.as_ref()?;
        let now = Instant::now();
        match player {
            // Nobody plays: the log may yet bring last words.
            None => Some(now + DRAIN),
            Some(player) if player.uid != seat.uid => player.readable().map(|_| now + FAREWELL),
            Some(player) if player.restarts > execution => Some(now + DRAIN),
            Some(_) => None,
        }
    }
}

enum Woke {
    Data(std::io::Result<bool>),
    Cast,
    Lost,
    Held,
    Late,
    Present,
}
