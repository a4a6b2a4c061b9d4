//! What the cockpit knows: a pure fold of events.

pub mod ledger;
pub mod log;
pub mod pods;
pub mod series;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use self::{
    ledger::Ledger,
    log::Log,
    pods::Pods,
    series::{RoundMark, Series},
};
use super::{
    around::Around,
    azure::{bed::Bed, desk::Desk},
    deploy::Deploy,
    event::{ClusterInfo, Event, Fact, Feed, FeedState, Permitted, RunStarted, Trouble},
    time::Time,
    workload::{Role, line::Progress},
};

/// How many rounds are kept to be marked on the curve.
const ROUNDS_KEPT: usize = 4_096;

/// How many troubles are kept to be read again.
const TROUBLES_KEPT: usize = 100;

/// Everything the cockpit knows.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// How the run began.
    pub run: Option<RunStarted>,
    /// The run was ended in good order.
    pub ended: bool,
    /// When the newest fact came in.
    pub now: Time,
    /// Which cluster is looked at.
    pub cluster: ClusterInfo,
    /// Why none is, if none is.
    pub nowhere: Option<String>,
    /// How every stream is doing.
    pub feeds: BTreeMap<Feed, FeedStatus>,
    /// What the user may do, as far as it was asked.
    pub permissions: BTreeMap<Permitted, bool>,
    /// The cluster around the pods.
    pub around: Around,
    /// The pods of the namespace.
    pub pods: Pods,
    /// What the two sides of the workload said, indexed by `Role as usize`.
    pub sides: [Side; 2],
    /// Throughput as the client's echoes tell it.
    pub throughput: Series,
    /// The rounds that ended, news only, oldest first.
    pub rounds: VecDeque<RoundMark>,
    /// The log of both roles, as it came in.
    pub log: Log,
    /// Every trial and what came of it.
    pub ledger: Ledger,
    /// What is known of Azure.
    pub azure: Desk,
    /// What there is in Azure.
    pub bed: Bed,
    /// When the workload was asked to end.
    pub finishing: Option<Time>,
    /// The newest deployment of the workload.
    pub deploy: Deploy,
    /// What went wrong, newest last.
    pub troubles: VecDeque<(Time, Trouble)>,
}

/// How a stream is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedStatus {
    /// Its state.
    pub state: FeedState,
    /// Since when.
    pub since: Time,
    /// When it last brought a fact.
    pub newest: Option<Time>,
}

/// What one side of the workload said of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// Its last progress, and when.
    pub progress: Option<(Time, Progress)>,
    /// Its last progress that was not replay, and when.
    pub fresh: Option<(Time, Progress)>,
    /// It waits for a port of its predecessor, since.
    pub waits_for_port: Option<Time>,
    /// Call numbers that were not the next one.
    pub out_of_order: u64,
    /// Calls executed again by recoveries.
    pub replayed: u64,
    /// How many executions of it were seen to begin.
    pub lives: u64,
    /// The bytes of each round it finished, by the round's number.
    pub round_bytes: BTreeMap<u64, u64>,
    /// The total it printed at the end of the run.
    pub total: Option<u64>,
    /// It printed DONE.
    pub done: bool,
}

impl Model {
    /// Folds a list of events.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut model = Self::default();
        for event in events {
            model.apply(event);
        }
        model
    }

    /// What `role` said of itself.
    pub fn side(&self, role: Role) -> &Side {
        &self.sides[role as usize]
    }

    /// The state of a stream, if it was ever asked for.
    pub fn feed(&self, feed: Feed) -> Option<&FeedStatus> {
        self.feeds.get(&feed)
    }

    /// How old the newest fact from the cluster is.
    pub fn age(&self, now: Time) -> Option<Duration> {
        self.feeds
            .values()
            .filter_map(|feed| feed.newest)
            .max()
            .map(|at| now.since(at))
    }

    /// The first broken stream, with its reason and when it is tried again.
    pub fn broken(&self) -> Option<(Feed, &str, Time)> {
        self.feeds
            .iter()
            .find_map(|(feed, status)| match &status.state {
                FeedState::Broken { why, retry_at } => Some((*feed, why.as_str(), *retry_at)),
                _ => None,
            })
    }

    /// Whether the user may do something; `true` until the server said no.
    pub fn allows(&self, action: Permitted) -> bool {
        self.permissions.get(&action).copied().unwrap_or(true)
    }

    /// The bytes that both sides must have received at the end: the sum of the
    /// rounds that the client printed. None until each of them is known.
    pub fn expected_bytes(&self) -> Option<u64> {
        let rounds = &self.side(Role::Client).round_bytes;
        let (last, _) = rounds.last_key_value()?;
        (rounds.len() as u64 == *last).then(|| rounds.values().sum())
    }

    /// Folds one event. Returns whether anything changed that may be visible.
    pub fn apply(&mut self, event: &Event) -> bool {
        let Event { at, fact } = event;
        let at = *at;
        self.now = self.now.max(at);
        match fact {
            Fact::LogBegan { role, .. } if self.deploy.begins_anew() => self.forget(*role),
            Fact::Turned { .. } => Role::ALL.into_iter().for_each(|role| self.forget(role)),
            _ => {}
        }
        let moved = self.ledger.observe(at, fact) | self.deploy.apply(at, fact);
        self.apply_fact(at, fact) | moved
    }

    /// A side of the workload is another one from now on.
    fn forget(&mut self, role: Role) {
        self.sides[role as usize] = Side::default();
        self.ledger.forget(role);
    }

    /// Another cluster, or none. Trials, curve and log are history, and stay.
    fn turn(&mut self, at: Time, nowhere: Option<&String>) {
        self.throughput.interrupt(at);
        self.cluster = ClusterInfo::default();
        self.nowhere = nowhere.cloned();
        self.feeds.clear();
        self.permissions.clear();
        self.around = Around::default();
        self.pods = Pods::default();
        self.finishing = None;
    }

    fn apply_fact(&mut self, at: Time, fact: &Fact) -> bool {
        match fact {
            Fact::RunStarted(run) => self.run = Some(run.clone()),
            Fact::CockpitResumed => {
                self.throughput.interrupt(at);
                self.feeds.clear();
                self.azure.interrupt();
            }
            Fact::RunEnded => self.ended = true,
            Fact::Turned { nowhere } => self.turn(at, nowhere.as_ref()),
            Fact::Cluster(info) => self.cluster = info.clone(),
            Fact::Feed { feed, state } => self.apply_feed(at, *feed, state),
            Fact::Permission { action, allowed } => {
                self.permissions.insert(*action, *allowed);
            }
            Fact::Able { .. }
            | Fact::Node(_)
            | Fact::NodeGone { .. }
            | Fact::OnNode { .. }
            | Fact::DataVolume { .. }
            | Fact::Leftovers { .. } => return self.around.apply(at, fact),
            Fact::Pod(pod) => {
                let changed = self.pods.upsert(pod);
                self.pods_changed(at);
                return changed;
            }
            Fact::PodGone { uid } => {
                let changed = self.pods.remove(uid);
                self.pods_changed(at);
                return changed;
            }
            Fact::PodsListed { uids } => {
                self.pods.retain(uids);
                self.pods_changed(at);
            }
            Fact::Azure(seen) => self.azure.apply(at, seen),
            Fact::Bed(told) => return self.bed.apply(at, told),
            Fact::FinishRequested => self.finishing = Some(at),
            Fact::Trouble(trouble) => {
                if self.troubles.len() == TROUBLES_KEPT {
                    self.troubles.pop_front();
                }
                self.troubles.push_back((at, trouble.clone()));
            }
            // Trials are the ledger's, deployments are theirs.
            Fact::FaultInjected { .. }
            | Fact::FaultRefused { .. }
            | Fact::StoodStill { .. }
            | Fact::VolumeFull { .. }
            | Fact::HealSent { .. }
            | Fact::Healed { .. }
            | Fact::PidAfter { .. }
            | Fact::DeadlinePassed { .. }
            | Fact::DeployPlanning
            | Fact::DeployPlanned(_)
            | Fact::DeployBegan { .. }
            | Fact::DeployApplied { .. }
            | Fact::Rollout(_)
            | Fact::RolledOut { .. }
            | Fact::DeployRemoved
            | Fact::DeployFailed(_) => return false,
            said => self.apply_said(at, said),
        }
        true
    }

    /// What a client does that does not run is unknown.
    fn pods_changed(&mut self, at: Time) {
        self.touch(Feed::Pods, at);
        let mut clients = self.pods.rows().iter();
        if !clients.any(|pod| pod.role == Some(Role::Client) && pods::runs(pod)) {
            self.throughput.interrupt(at);
        }
    }

    fn apply_feed(&mut self, at: Time, feed: Feed, state: &FeedState) {
        let newest = self.feeds.get(&feed).and_then(|status| status.newest);
        if feed == Feed::Log(Role::Client) && *state != FeedState::Live {
            self.throughput.interrupt(at);
        }
        self.feeds.insert(
            feed,
            FeedStatus {
                state: state.clone(),
                since: at,
                newest,
            },
        );
    }

    /// Facts that a role of the workload told in its log.
    fn apply_said(&mut self, at: Time, fact: &Fact) {
        let role = match fact {
            Fact::LogBegan { role, .. }
            | Fact::Log { role, .. }
            | Fact::Progress { role, .. }
            | Fact::Round { role, .. }
            | Fact::RoundEnd { role, .. }
            | Fact::Recovered { role, .. }
            | Fact::OutOfOrder { role, .. }
            | Fact::PortBusy { role }
            | Fact::Total { role, .. }
            | Fact::Done { role } => *role,
            _ => return,
        };
        self.touch(Feed::Log(role), at);
        let side = &mut self.sides[role as usize];
        match fact {
            Fact::LogBegan { pod, restart, .. } => {
                side.lives += 1;
                side.waits_for_port = None;
                let first = side.lives == 1;
                self.log.begin(at, role, pod, *restart, first);
            }
            Fact::Log { lines, .. } => self.log.extend(role, lines),
            Fact::Progress { progress, .. } => {
                side.progress = Some((at, *progress));
                side.waits_for_port = None;
                if !progress.replaying {
                    side.fresh = Some((at, *progress));
                    if role == Role::Client {
                        self.throughput.observe(at, progress);
                    }
                }
            }
            Fact::Round {
                size,
                gib_s,
                replayed: false,
                ..
            } if role == Role::Client => {
                if self.rounds.len() == ROUNDS_KEPT {
                    self.rounds.pop_front();
                }
                self.rounds.push_back(RoundMark {
                    at,
                    size: *size,
                    gib_s: *gib_s,
                });
            }
            Fact::RoundEnd { index, bytes, .. } => {
                side.round_bytes.insert(*index, *bytes);
            }
            Fact::Recovered { replayed, .. } => side.replayed += replayed,
            Fact::OutOfOrder {
                replayed: false, ..
            } => side.out_of_order += 1,
            Fact::PortBusy { .. } => side.waits_for_port = Some(at),
            Fact::Total { bytes, .. } => side.total = Some(*bytes),
            Fact::Done { .. } => side.done = true,
            _ => {}
        }
    }

    fn touch(&mut self, feed: Feed, at: Time) {
        if let Some(status) = self.feeds.get_mut(&feed) {
            status.newest = Some(at);
        }
    }
}
