//! Runs as they happen, told as lists of facts.

#![allow(dead_code)]

mod scenes;

use std::time::Duration;

use aks_tui::core::{
    around::{Ability, Node, Resident, Residents, Volume},
    event::{
        ClusterInfo, Container, ContainerState, Event, Fact, Feed, FeedState, LineKind, LogLine,
        Permitted, Pod, RunStarted, Terminated, Trouble,
    },
    model::Model,
    time::Time,
    trial::{Fault, TrialId, Victim},
    update::fault,
    workload::{Role, line::Progress, next_size},
};

/// Wall-clock time at which every story begins, ms since 1970.
const WALL: i64 = 1_763_800_000_000;

/// Bytes that a round moves.
const ROUND: u64 = 768 << 20;

/// A run that is being told. Time goes on as things happen.
pub struct Story {
    pub events: Vec<Event>,
    pub model: Model,
    pub now: Time,
    epochs: [u64; 2],
    restarts: [u32; 2],
    generation: [u32; 2],
    calls: u64,
    echoed: u64,
    round: u64,
    size: u64,
    round_began: (Time, u64),
    trials: u32,
    noise: u64,
}

impl Story {
    /// Folds a fact that happens now.
    pub fn tell(&mut self, fact: Fact) {
        let event = Event { at: self.now, fact };
        self.model.apply(&event);
        self.events.push(event);
    }

    /// Time goes on and nothing is heard.
    pub fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// The workload works for so long.
    pub fn works(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.wait(100);
            self.noise = self
                .noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let noise = (self.noise >> 40) as f64 / f64::from(1 << 24);
            // Small messages move less.
            let share = 1.0 - (65_536f64 / self.size as f64).log2() * 0.055;
            let rate = 0.44 * share * (0.94 + 0.12 * noise);
            let moved = (rate * 0.1 * 1_073_741_824.0) as u64;
            self.echoed += moved;
            self.calls += moved / self.size.max(1);
            for role in Role::ALL {
                self.progress(role, false);
            }
            if self.echoed >= self.round_began.1 + ROUND {
                self.round_ends();
            }
        }
    }

    /// A process is killed and comes back `rto` ms later.
    pub fn process_trial(&mut self, role: Role, rto: u64) {
        self.inject(Fault::ProcessKill, role);
        self.wait(41);
        self.down(role);
        self.wait(rto * 4 / 10);
        self.back(role);
        self.recovers(role, rto - 41 - rto * 4 / 10);
    }

    /// A pod is deleted, and its replacement is back `rto` ms later.
    pub fn pod_trial(&mut self, role: Role, rto: u64) {
        let victim = self.inject(Fault::PodDelete, role);
        self.wait(25);
        self.tell(Fact::PodGone {
            uid: victim.pod_uid,
        });
        self.generation[role as usize] += 1;
        self.restarts[role as usize] = 0;
        self.wait(60);
        let mut pod = self.running(role);
        pod.phase = "Pending".into();
        pod.ready = false;
        pod.containers[0].ready = false;
        pod.containers[0].state = ContainerState::Waiting {
            reason: "ContainerCreating".into(),
            message: String::new(),
        };
        self.tell(Fact::Pod(Box::new(pod)));
        self.wait(rto / 2);
        self.restarts[role as usize] = u32::MAX;
        self.back(role);
        self.recovers(role, rto - 85 - rto / 2);
    }

    /// A process stands still, is let go after ten seconds, and works on.
    pub fn stop_trial(&mut self, role: Role) {
        self.stops(role, 10_000);
        let trial = TrialId(self.trials);
        self.tell(Fact::HealSent { trial });
        self.wait(31);
        self.echoed += 1 << 20;
        self.progress(Role::Client, false);
        self.tell(Fact::Healed { trial });
        self.wait(100);
        for role in Role::ALL {
            self.echoed += 1 << 20;
            self.progress(role, false);
        }
        self.wait(100);
        for role in Role::ALL {
            self.progress(role, false);
        }
        self.tell(Fact::PidAfter { trial, pid: 7 });
    }

    /// A process stands still, for so long already.
    pub fn stops(&mut self, role: Role, millis: u64) {
        self.inject(Fault::ProcessStop, role);
        let trial = TrialId(self.trials);
        let since = self.now + Duration::from_millis(40);
        self.wait(1_100);
        self.tell(Fact::StoodStill { trial, since });
        self.wait(millis - 1_100);
    }

    /// A disk is full, for so long already.
    pub fn fills(&mut self, role: Role, millis: u64) {
        self.inject(Fault::DiskFill, role);
        let trial = TrialId(self.trials);
        self.wait(210);
        self.tell(Fact::VolumeFull { trial });
        let since = self.now + Duration::from_millis(30);
        self.wait(1_100);
        self.tell(Fact::StoodStill { trial, since });
        self.wait(millis - 1_310);
    }

    /// The volume that a role writes its data to was looked for.
    pub fn looked_for_volume(&mut self, role: Role, found: Result<Volume, &str>) {
        let uid = self.running(role).uid;
        self.tell(Fact::DataVolume {
            uid,
            why_not: found.as_ref().err().map(|why| (*why).to_owned()),
            volume: found.ok(),
        });
    }

    /// A fault that reaches nobody.
    pub fn refused(&mut self) {
        self.trials += 1;
        self.tell(Fact::FaultRefused {
            trial: TrialId(self.trials),
            fault: Fault::ProcessTerm,
            role: Role::Server,
            reason: "no process is called Server".into(),
        });
    }

    /// A fault is injected now.
    pub fn inject(&mut self, fault: Fault, role: Role) -> Victim {
        self.trials += 1;
        let mut victim = fault::victim(&self.model, role).expect("a pod plays the role");
        victim.pid = Some(7);
        victim.volume = (fault == Fault::DiskFill).then(|| "/ambrosia_logs".into());
        self.tell(Fact::FaultInjected {
            trial: TrialId(self.trials),
            fault,
            victim: victim.clone(),
            lasts: fault.holds().then_some(Fault::LASTS),
        });
        victim
    }

    /// The workload is asked to end, and does.
    pub fn finishes(&mut self) {
        self.tell(Fact::FinishRequested);
        self.works(1_200);
        for role in Role::ALL {
            let bytes = self.echoed;
            let text = format!("Bytes received: {bytes}");
            self.line(role, &text, LineKind::Milestone, false);
            self.tell(Fact::Total { role, bytes });
            self.line(role, "DONE", LineKind::Milestone, false);
            self.tell(Fact::Done { role });
        }
        self.wait(800);
    }

    /// Something happens, for stories that nobody planned.
    pub fn something(&mut self, act: u8, millis: u64) {
        let role = Role::ALL[(millis % 2) as usize];
        let free = self.model.ledger.open().is_none()
            && Role::ALL
                .iter()
                .all(|r| self.model.pods.playing(*r).is_some());
        match act {
            0 => self.works(millis),
            1 => self.wait(millis * 20),
            2 if free => self.process_trial(role, 100 + millis),
            3 if free => self.pod_trial(role, 200 + millis),
            4 if free => {
                self.inject(Fault::ProcessKill, role);
            }
            5 => self.down(role),
            6 => self.refused(),
            7 => {
                let text = "\u{4e2d}\u{6587} e\u{301} ".repeat(millis as usize % 60);
                self.line(role, &text, LineKind::Alarm, millis.is_multiple_of(3));
                self.tell(Fact::OutOfOrder {
                    role,
                    expected: 1,
                    got: millis,
                    replayed: false,
                });
            }
            _ => {
                let retry_at = self.now + Duration::from_millis(millis);
                let why = "the watch ended: connection reset".to_owned();
                self.feed(Feed::Log(role), FeedState::Broken { why, retry_at });
            }
        }
    }

    /// The container is seen dead.
    pub fn down(&mut self, role: Role) {
        let mut pod = self.running(role);
        pod.ready = false;
        pod.containers[0].ready = false;
        pod.containers[0].state = ContainerState::Terminated(self.end(role));
        self.tell(Fact::Pod(Box::new(pod)));
    }

    /// A new execution runs.
    pub fn back(&mut self, role: Role) {
        let i = role as usize;
        self.restarts[i] = self.restarts[i].wrapping_add(1);
        self.epochs[i] += 1;
        let pod = self.running(role);
        self.tell(Fact::Pod(Box::new(pod)));
        self.log_begins(role);
    }

    fn recovers(&mut self, role: Role, millis: u64) {
        let replayed = 1_804 + u64::from(self.trials) * 113;
        self.line(
            role,
            "*X* ImmortalCoordinator recovering from checkpoint 3",
            LineKind::Plain,
            true,
        );
        if role == Role::Client && self.round > 0 {
            let text = format!(
                "*X* {}       0.4388",
                self.size.saturating_mul(2).min(65_536)
            );
            self.line(role, &text, LineKind::Round, true);
        }
        self.progress(role, true);
        self.wait(millis);
        let epoch = self.epochs[role as usize];
        let text = format!(
            "*X* recovered epoch={epoch} replayed={replayed} pages=12 from_checkpoint=3 ms={millis}"
        );
        self.line(role, &text, LineKind::Milestone, false);
        self.tell(Fact::Recovered {
            role,
            epoch,
            replayed,
            millis,
        });
        self.echoed += 2 << 20;
        for role in Role::ALL {
            self.progress(role, false);
        }
        self.wait(60);
        for role in Role::ALL {
            self.progress(role, false);
        }
        self.tell(Fact::PidAfter {
            trial: TrialId(self.trials),
            pid: 31,
        });
    }

    fn round_ends(&mut self) {
        let (began, before) = self.round_began;
        let took = self.now.since(began).as_secs_f64();
        let gib_s = (self.echoed - before) as f64 / 1_073_741_824.0 / took;
        self.round += 1;
        let (index, size) = (self.round, self.size);
        self.line(
            Role::Client,
            &format!("*X* {size:<8}{gib_s:.4}"),
            LineKind::Round,
            false,
        );
        self.tell(Fact::Round {
            role: Role::Client,
            size,
            gib_s,
            replayed: false,
        });
        self.tell(Fact::RoundEnd {
            role: Role::Client,
            index,
            size,
            bytes: ROUND,
        });
        self.size = next_size(size, 65_536);
        self.round_began = (self.now, self.echoed);
    }

    fn progress(&mut self, role: Role, replaying: bool) {
        let progress = Progress {
            epoch: self.epochs[role as usize],
            call: self.calls,
            echoed: self.echoed,
            replaying,
        };
        let text = format!(
            "*X* progress epoch={} call={} echoed={} replaying={}",
            progress.epoch,
            progress.call,
            progress.echoed,
            u8::from(replaying)
        );
        self.line(role, &text, LineKind::Progress, replaying);
        self.tell(Fact::Progress { role, progress });
    }

    /// A line is printed.
    pub fn line(&mut self, role: Role, text: &str, kind: LineKind, replayed: bool) {
        let stamp_ms = Some(WALL + self.now.millis() as i64);
        let line = LogLine {
            stamp_ms,
            text: text.into(),
            kind,
            replayed,
        };
        self.tell(Fact::Log {
            role,
            lines: vec![line],
        });
    }

    fn log_begins(&mut self, role: Role) {
        let pod = self.running(role);
        self.tell(Fact::LogBegan {
            role,
            pod: pod.name,
            restart: self.restarts[role as usize],
        });
    }

    pub fn feed(&mut self, feed: Feed, state: FeedState) {
        self.tell(Fact::Feed { feed, state });
    }

    /// The user may not do this.
    pub fn forbid(&mut self, action: Permitted) {
        self.tell(Fact::Permission {
            action,
            allowed: false,
        });
    }

    /// Something went wrong.
    pub fn trouble(&mut self, what: &str, next: &str) {
        self.tell(Fact::Trouble(Trouble::new(what, next)));
    }

    fn end(&self, role: Role) -> Terminated {
        Terminated {
            exit_code: 137,
            signal: Some(9),
            reason: "Error".into(),
            container_id: Some(self.container_id(role)),
        }
    }

    fn container_id(&self, role: Role) -> String {
        let n = u64::from(self.restarts[role as usize]) * 2 + role as u64 + 1;
        format!("lab://{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The pod of a role as it is while it runs.
    pub fn running(&self, role: Role) -> Pod {
        let i = role as usize;
        let tails = [["x2x4z", "p8w6q", "t5hnv"], ["k9d2m", "zr7bc", "w4jfx"]];
        let hash = ["7d9f8b6c5", "5b8c7f9d4"][i];
        let tail = tails[i][self.generation[i] as usize % 3];
        Pod {
            uid: format!("uid-{role}-{tail}"),
            name: format!("generated-perftest{role}-{hash}-{tail}"),
            namespace: "default".into(),
            role: Some(role),
            managed: true,
            phase: "Running".into(),
            reason: None,
            node: Some("lab-node-0".into()),
            ip: Some(format!("127.83.12.{}", i + 2)),
            created_ms: Some(
                WALL + self.now.millis() as i64 * i64::from(self.generation[i].min(1)),
            ),
            deleting: false,
            ready: true,
            shares_pids: false,
            containers: vec![Container {
                name: format!("perftest{role}"),
                id: Some(self.container_id(role)),
                restarts: self.restarts[i],
                ready: true,
                state: ContainerState::Running,
                last: (self.restarts[i] > 0).then(|| self.end(role)),
                program: true,
                bytes_per_round: Some(ROUND),
            }],
        }
    }
}
