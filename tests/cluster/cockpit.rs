//! The adapter with a test at its other end.

use std::{path::PathBuf, time::Duration};

use aks_tui::{
    adapters::{
        cluster::{self, Options},
        sink::{Clock, Sink},
    },
    core::{
        effect::Effect,
        event::{Event, Fact, Feed, FeedState, LogLine},
        time::Time,
        trial::{Fault, TrialId, Victim},
        workload::Role,
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fake::Fake;

/// The adapter, and everything it said so far.
pub struct Cockpit {
    events: mpsc::Receiver<Event>,
    effects: mpsc::Sender<Effect>,
    _guard: DropGuard,
    pub said: Vec<Fact>,
    pub kubeconfig: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

pub fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: fake\n  cluster: {{server: '{server}'}}\n\
         contexts:\n- name: here\n  context: {{cluster: fake, user: me}}\ncurrent-context: here\n\
         users:\n- name: me\n  user: {user}\n"
    )
}

impl Cockpit {
    pub fn at(fake: &Fake) -> Self {
        Self::with(&format!("http://{}", fake.address), "{}", |_| {})
    }

    pub fn with(server: &str, user: &str, change: impl FnOnce(&mut Options)) -> Self {
        Self::reading(&kubeconfig(server, user), change)
    }

    pub fn reading(text: &str, change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        if !text.is_empty() {
            std::fs::write(&path, text).unwrap();
        }
        let mut options = Options {
            kubeconfig: Some(path),
            client_selector: "component=client".to_owned(),
            server_selector: "component=server".to_owned(),
            ..Options::default()
        };
        change(&mut options);
        Self {
            _directory: Some(directory),
            ..Self::started(options)
        }
    }

    pub fn started(options: Options) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let (effects, receiver) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let sink = Sink::new(Clock::starting_at(Time::ZERO), sender);
        let kubeconfig = options.kubeconfig.clone().unwrap();
        cluster::start(options, sink, receiver, cancel.clone());
        Self {
            events,
            effects,
            _guard: cancel.drop_guard(),
            said: Vec::new(),
            kubeconfig,
            _directory: None,
        }
    }

    /// Waits for a fact; gives it back.
    pub async fn hear(&mut self, what: &str, mut fits: impl FnMut(&Fact) -> bool) -> Fact {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(15), self.events.recv()).await;
            let Ok(Some(event)) = event else {
                panic!("waited in vain for {what}; heard {:#?}", self.said);
            };
            self.said.push(event.fact.clone());
            if fits(&event.fact) {
                return event.fact;
            }
        }
    }

    pub async fn hear_broken(&mut self, feed: Feed) -> String {
        let fact = self
            .hear("a broken feed", |fact| {
                matches!(fact, Fact::Feed { feed: of, state: FeedState::Broken { .. } } if *of == feed)
            })
            .await;
        match fact {
            Fact::Feed {
                state: FeedState::Broken { why, .. },
                ..
            } => why,
            other => panic!("{other:?}"),
        }
    }

    pub async fn hear_live(&mut self, feed: Feed) {
        self.hear("a live feed", |fact| {
            *fact
                == Fact::Feed {
                    feed,
                    state: FeedState::Live,
                }
        })
        .await;
    }

    pub async fn hear_line(&mut self, text: &str) {
        self.hear(text, |fact| {
            lines(fact).iter().any(|line| line.text == text)
        })
        .await;
    }

    pub async fn hear_refusal(&mut self) -> String {
        let fact = self
            .hear("a refusal", |fact| {
                matches!(fact, Fact::FaultRefused { .. })
            })
            .await;
        match fact {
            Fact::FaultRefused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// All log lines of a role that were told so far.
    pub fn log(&self, role: Role) -> Vec<String> {
        self.said
            .iter()
            .filter(|fact| matches!(fact, Fact::Log { role: of, .. } if *of == role))
            .flat_map(lines)
            .map(|line| line.text.clone())
            .collect()
    }

    pub async fn ask(&self, effect: Effect) {
        self.effects.send(effect).await.unwrap();
    }
}

pub fn lines(fact: &Fact) -> &[LogLine] {
    match fact {
        Fact::Log { lines, .. } => lines,
        _ => &[],
    }
}

pub fn stamp(millis: u64) -> String {
    format!(
        "2026-11-22T07:40:{:02}.{:03}000000Z",
        millis / 1000,
        millis % 1000
    )
}

pub fn victim(name: &str) -> Victim {
    Victim {
        role: Role::Client,
        namespace: "default".to_owned(),
        pod: name.to_owned(),
        node: Some("node".to_owned()),
        pod_uid: format!("uid-{name}"),
        container: "client".to_owned(),
        container_id: None,
        restarts: 0,
        pid: None,
        volume: None,
    }
}

pub fn inject(fault: Fault, name: &str) -> Effect {
    Effect::Inject {
        trial: TrialId(1),
        fault,
        victim: victim(name),
        lasts: fault.holds().then_some(Fault::LASTS),
    }
}
