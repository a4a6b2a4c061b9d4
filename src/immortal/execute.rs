//! Executing pages, the first time and again after a kill: one path for both.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use super::app::{App, Call, Caller, Chance, Context};
use super::checkpoint::{self, Snapshot};
use super::codec::take_call;
use super::error::Error;
use super::outgoing::{BEGIN, Outgoing};
use super::page::{Origin, Page, Record, Stamp, records};
use super::shared::{Event, Shared};

/// What the committer hands over, in the order of the log.
#[derive(Debug)]
pub enum Committed {
    /// A page is safe: execute it.
    Page {
        /// The page.
        page: Page,
        /// When and where it was written.
        stamp: Stamp,
    },
    /// A new log begins here: take the checkpoint of its generation.
    Generation(u64),
}

/// Executes calls in the order of the log.
#[derive(Debug)]
pub struct Executor<A> {
    app: A,
    shared: Arc<Shared>,
    outgoing: Outgoing,
    next_in: Vec<u64>,
    next_page: u64,
    time: u64,
    chance: Chance,
    calls: u64,
    finished: bool,
    told_finished: bool,
}

impl<A: App> Executor<A> {
    /// Continues from a checkpoint whose links `shared` was made of.
    pub fn new(app: A, shared: Arc<Shared>, snapshot: Snapshot) -> Self {
        Self {
            app,
            outgoing: Outgoing::new(Arc::clone(&shared), snapshot.own, snapshot.next_own),
            shared,
            next_in: snapshot.links.iter().map(|link| link.next_in).collect(),
            next_page: snapshot.next_page,
            time: snapshot.time,
            chance: Chance::default(),
            calls: 0,
            finished: false,
            told_finished: false,
        }
    }

    /// The application.
    pub fn app(&mut self) -> &mut A {
        &mut self.app
    }

    /// The application, without what executes it.
    pub fn into_app(self) -> A {
        self.app
    }

    /// Calls executed so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Per link, the next call to be executed.
    pub fn next_in(&self) -> &[u64] {
        &self.next_in
    }

    /// Sequence number of the next page, and the clock of the last one.
    pub fn position(&self) -> (u64, u64) {
        (self.next_page, self.time)
    }

    /// Replay is over.
    pub fn live(&mut self) {
        self.outgoing.live();
    }

    /// The application had finished before this execution.
    pub fn finished_before(&mut self) {
        self.finished = true;
        self.tell_finished();
    }

    /// Executes one page, whose records lie in `bodies`.
    pub fn execute<'a>(
        &mut self,
        stamp: &Stamp,
        bodies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Error> {
        self.time = stamp.time;
        self.chance = Chance::of_page(stamp.seq, stamp.time, stamp.seed);
        for record in bodies.into_iter().flat_map(records) {
            match record {
                Record::Calls {
                    origin,
                    first,
                    count,
                    run,
                } => self.run(origin, first, count, run)?,
                Record::Acknowledged { link, seq } => {
                    if self.outgoing.replaying() {
                        self.shared.links[usize::from(link)].acknowledged(seq);
                    }
                }
                Record::Attached { link, name } => {
                    self.shared.links[usize::from(link)].attach(name);
                }
            }
        }
        self.next_page = stamp.seq + 1;
        Ok(())
    }

    fn run(&mut self, origin: Origin, first: u64, count: u32, run: &[u8]) -> Result<(), Error> {
        let live = !self.outgoing.replaying();
        let caller = match origin {
            Origin::Peer(link) => {
                let link = usize::from(link);
                if A::ANSWERS && live {
                    self.shared.wait_for_room();
                }
                if self.next_in.get(link) != Some(&first) {
                    return Err(self.malformed(origin, first));
                }
                self.next_in[link] = first + u64::from(count);
                Caller::Peer(link)
            }
            Origin::Own => {
                if !self.outgoing.own_executed(first) {
                    return Err(self.malformed(origin, first));
                }
                Caller::Own
            }
            Origin::Impulse => Caller::World,
        };
        let mut rest = run;
        for index in 0..count {
            let Some((method, payload)) = take_call(&mut rest) else {
                return Err(self.malformed(origin, first + u64::from(index)));
            };
            self.call(Call {
                caller,
                method,
                payload,
            });
        }
        self.outgoing.seal_all();
        match caller {
            Caller::Peer(link) if live => {
                self.shared.links[link].count_executed(run.len() as u64);
            }
            Caller::World if live => self.shared.inbox.impulses_executed(run.len()),
            _ => {}
        }
        self.app.settled();
        self.tell_finished();
        Ok(())
    }

    fn call(&mut self, call: Call<'_>) {
        self.calls += 1;
        let mut context = Context {
            outgoing: &mut self.outgoing,
            now: self.time,
            chance: &mut self.chance,
            finished: &mut self.finished,
        };
        if call.caller == Caller::Own && call.method == BEGIN {
            self.app.begin(&mut context);
        } else {
            self.app.call(&call, &mut context);
        }
    }

    fn malformed(&self, origin: Origin, seq: u64) -> Error {
        let source_name = match origin {
            Origin::Peer(link) => self
                .shared
                .links
                .get(usize::from(link))
                .and_then(super::link::Link::peer)
                .unwrap_or_else(|| "an unknown peer".into()),
            Origin::Own => "the instance itself".into(),
            Origin::Impulse => "the outside".into(),
        };
        Error::Malformed { source_name, seq }
    }

    fn tell_finished(&mut self) {
        if self.finished && !self.told_finished {
            self.told_finished = true;
            if !self.outgoing.replaying() {
                let state = self.state();
                self.app.finished(state);
            }
            self.shared.tell(Event::Finished);
        }
    }

    /// A fingerprint of the state after the last page: of the application's own, of how
    /// far each link got, and of the calls to itself that wait. Whoever executes the
    /// same pages comes to the same; what peers have confirmed depends on the moment
    /// and is left out.
    pub fn state(&self) -> u64 {
        let mut app = Vec::new();
        self.app.save(&mut app);
        let (own, next_own) = self.outgoing.own_snapshot();
        let links = self.shared.links.iter().zip(&self.next_in);
        let links = links.map(|(link, next_in)| (*next_in, link.next_out()));
        checkpoint::state(&app, next_own, &own, links)
    }

    /// The state after the last page.
    pub fn snapshot(&mut self, number: u64) -> Snapshot {
        self.app.checkpointing();
        let mut app = Vec::new();
        self.app.save(&mut app);
        let (own, next_own) = self.outgoing.own_snapshot();
        let links = self.shared.links.iter().zip(&self.next_in);
        Snapshot {
            number,
            epoch: self.shared.epoch(),
            next_page: self.next_page,
            time: self.time,
            app,
            next_own,
            own,
            links: links
                .map(|(link, next_in)| link.snapshot(*next_in))
                .collect(),
        }
    }

    /// Executes what the committer hands over, for as long as it does.
    pub fn follow(
        &mut self,
        pages: &Receiver<Committed>,
        checkpoints: &Sender<Snapshot>,
    ) -> Result<(), Error> {
        for committed in pages {
            match committed {
                Committed::Page { page, stamp } => {
                    let since = own_time();
                    self.execute(&stamp, page.bodies())?;
                    let busy = own_time().saturating_sub(since).as_nanos() as u64;
                    self.shared.busy.fetch_add(busy, Ordering::SeqCst);
                    self.shared.inbox.recycle(page);
                }
                Committed::Generation(number) => {
                    // The other end goes away only with the process.
                    let _ = checkpoints.send(self.snapshot(number));
                }
            }
        }
        Ok(())
    }
}

/// Time that this thread has computed, which waits and busy neighbours do not add
/// to: about what replay will take.
fn own_time() -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap_or_default()
    }
    // Without such a clock, real time is the next best.
    #[cfg(not(unix))]
    {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        START.elapsed()
    }
}
