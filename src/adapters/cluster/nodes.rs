//! The nodes: whether they are well, and whether they have a power switch.
//!
//! A node with the annotation `aks-tui.dev/power` has one: whoever sets it to
//! `off` switches the node off, and on again with `on`. What we switch off
//! carries our mark, so that it is found by whoever comes after us.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::json;

use super::{
    Context,
    access::Session,
    failure::{Failure, Kind},
    info::{Question, may},
    slim::{MANAGED_BY, MANAGER},
};
use crate::{
    adapters::sink::Closed,
    core::{
        around::{Ability, Node, Resident, Residents},
        event::Fact,
    },
};

/// The switch.
const POWER: &str = "aks-tui.dev/power";

/// Who switched it off.
const OFF_BY: &str = "aks-tui.dev/powered-off-by";

/// What the ids of Azure's machines begin with in a node's own words.
const PROVIDER: &str = "azure://";

/// How long after a watch that ended another is begun.
const PAUSE: Duration = Duration::from_secs(5);

/// Watches the nodes until the cockpit leaves.
pub async fn watch(context: Arc<Context>) -> Result<(), Closed> {
    let mut sessions = context.access.follow();
    let mut watcher = Watcher {
        context: Arc::clone(&context),
        nodes: BTreeMap::new(),
        told: None,
    };
    loop {
        let session = sessions.borrow_and_update().clone();
        let Some(session) = session else {
            sessions.changed().await.map_err(|_| Closed)?;
            continue;
        };
        tokio::select! {
            ended = watcher.follow(&session) => {
                ended?;
                context.pause(PAUSE).await;
            }
            changed = sessions.changed() => changed.map_err(|_| Closed)?,
        }
    }
}

struct Watcher {
    context: Arc<Context>,
    nodes: BTreeMap<String, Node>,
    /// What was said of the power switches.
    told: Option<Fact>,
}

impl Watcher {
    async fn follow(&mut self, session: &Session) -> Result<(), Closed> {
        let question = Question {
            verb: "patch",
            resource: "nodes",
            ..Question::default()
        };
        let may_switch = may(session, question).await.unwrap_or(true);
        let nodes: Api<KubeNode> = Api::all(session.read.clone());
        let mut events = pin!(watcher(nodes, watcher::Config::default()).default_backoff());
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(node)) => {
                    let node = slim(&node);
                    listed.push(node.name.clone());
                    self.enter(node).await?;
                }
                Ok(Event::InitDone) => {
                    let known: Vec<_> = self.nodes.keys().cloned().collect();
                    for name in known.into_iter().filter(|name| !listed.contains(name)) {
                        self.leave(name).await?;
                    }
                    self.tell(may_switch).await?;
                }
                Ok(Event::Apply(node)) => {
                    self.enter(slim(&node)).await?;
                    self.tell(may_switch).await?;
                }
                Ok(Event::Delete(node)) => {
                    self.leave(slim(&node).name).await?;
                    self.tell(may_switch).await?;
                }
                Err(watcher::Error::InitialListFailed(error)) => {
                    let failure = Failure::of("look at the nodes", &session.server, &error);
                    self.say(Some(failure.why)).await?;
                }
                Err(error) => tracing::debug!(%error, "the watch of the nodes broke"),
            }
        }
        Ok(())
    }

    async fn enter(&mut self, node: Node) -> Result<(), Closed> {
        if self.nodes.get(&node.name) == Some(&node) {
            return Ok(());
        }
        self.nodes.insert(node.name.clone(), node.clone());
        self.context.sink.send(Fact::Node(node)).await
    }

    async fn leave(&mut self, name: String) -> Result<(), Closed> {
        self.nodes.remove(&name);
        self.context.sink.send(Fact::NodeGone { name }).await
    }

    async fn tell(&mut self, may_switch: bool) -> Result<(), Closed> {
        let any = self.nodes.values().any(|node| node.powered.is_some());
        let why_not = match (any, may_switch) {
            (false, _) => Some(format!("no node here has a power switch ({POWER})")),
            (true, false) => Some("you may not patch nodes: ask for the role".to_owned()),
            (true, true) => None,
        };
        self.say(why_not).await
    }

    async fn say(&mut self, why_not: Option<String>) -> Result<(), Closed> {
        let able = Fact::Able {
            ability: Ability::Power,
            why_not,
        };
        if self.told.as_ref() == Some(&able) {
            return Ok(());
        }
        self.told = Some(able.clone());
        self.context.sink.send(able).await
    }
}

/// What the cockpit keeps of a node.
fn slim(node: &KubeNode) -> Node {
    let annotation = |key: &str| {
        let annotations = node.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    };
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready: conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True"),
        powered: annotation(POWER).map(|power| power != "off"),
        off_by_us: annotation(POWER) == Some("off") && annotation(OFF_BY) == Some(MANAGER),
        machine: node
            .spec
            .as_ref()
            .and_then(|spec| spec.provider_id.as_deref()?.strip_prefix(PROVIDER))
            .map(str::to_owned),
    }
}

/// Switches a node off.
///
/// # Errors
/// Why not, in words for the screen.
pub async fn power_off(session: &Session, name: &str) -> Result<(), String> {
    let nodes: Api<KubeNode> = Api::all(session.act.clone());
    let node = session
        .unary("look at the node", nodes.get(name))
        .await
        .map_err(|failure| failure.why)?;
    match slim(&node).powered {
        Some(true) => switch(session, name, json!({POWER: "off", OFF_BY: MANAGER}))
            .await
            .map_err(|failure| failure.why),
        Some(false) => Err(format!("node {name} is switched off already")),
        None => Err(format!("node {name} has no power switch ({POWER})")),
    }
}

/// Switches a node on again; one that is gone needs no power.
///
/// # Errors
/// Why not, in words for the screen.
pub async fn power_on(session: &Session, name: &str) -> Result<(), String> {
    match switch(session, name, json!({POWER: "on", OFF_BY: null})).await {
        Err(failure) if failure.kind != Kind::NotFound => Err(failure.why),
        _ => Ok(()),
    }
}

/// Switches every node on again that aks-tui switched off.
///
/// # Errors
/// Why not, in words for the screen.
pub async fn power_on_all(session: &Session) -> Result<(), String> {
    let nodes: Api<KubeNode> = Api::all(session.read.clone());
    let params = ListParams::default();
    let listed = match session
        .unary("look at the nodes", nodes.list(&params))
        .await
    {
        Ok(listed) => listed.items,
        // Whoever may not see nodes has switched none off.
        Err(failure) if failure.kind == Kind::Forbidden => return Ok(()),
        Err(failure) => return Err(failure.why),
    };
    for node in listed.iter().map(slim).filter(|node| node.off_by_us) {
        power_on(session, &node.name).await?;
    }
    Ok(())
}

async fn switch(
    session: &Session,
    name: &str,
    annotations: serde_json::Value,
) -> Result<(), Failure> {
    let nodes: Api<KubeNode> = Api::all(session.act.clone());
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let what = format!("switch the power of node `{name}`");
    session
        .unary(&what, nodes.patch(name, &PatchParams::default(), &patch))
        .await
        .map(|_| ())
}

/// What runs on a node, as far as the user may see.
pub async fn residents(session: &Session, name: &str) -> Residents {
    let pods: Api<Pod> = Api::all(session.read.clone());
    let params = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let what = format!("list the pods on node `{name}`");
    match session.unary(&what, pods.list(&params)).await {
        Ok(list) => Residents {
            pods: list.items.iter().filter_map(resident).collect(),
            unseen: None,
        },
        Err(failure) => Residents {
            pods: Vec::new(),
            unseen: Some(failure.why),
        },
    }
}

fn resident(pod: &Pod) -> Option<Resident> {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    // What has ended cannot be hit any more.
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let meta = &pod.metadata;
    let labels = meta.labels.as_ref();
    Some(Resident {
        name: format!(
            "{}/{}",
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default()
        ),
        managed: labels.is_some_and(|l| l.get(MANAGED_BY).is_some_and(|by| by == MANAGER)),
    })
}
