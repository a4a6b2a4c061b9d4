//! Which cluster this is, and what the user may do there.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams, core::Request};
use serde::Deserialize;

use super::{
    Context,
    access::Session,
    backoff::Backoff,
    chaos,
    failure::{Failure, Kind, address},
};
use crate::{
    adapters::sink::Closed,
    core::{
        around::Ability,
        event::{ClusterInfo, Fact, Permitted},
    },
};

/// The node whose annotations say how the lab treats its pods. Other clusters
/// do not have it.
const NODE: &str = "lab-node-0";

/// How the lab delays restarts.
const BACKOFF: &str = "lab.aks-tui.dev/backoff";

/// How the lab keeps pods apart.
const ISOLATION: &str = "lab.aks-tui.dev/isolation";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    metadata: NodeMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeMeta {
    annotations: BTreeMap<String, String>,
}

/// Tells of every new session what is on its other end.
pub async fn announce(context: Arc<Context>) -> Result<(), Closed> {
    let mut sessions = context.access.follow();
    let mut teller = Teller {
        context,
        info: None,
        permissions: BTreeMap::new(),
    };
    loop {
        let session = sessions.borrow_and_update().clone();
        let Some(session) = session else {
            sessions.changed().await.map_err(|_| Closed)?;
            continue;
        };
        tokio::select! {
            told = teller.tell(&session) => {
                told?;
                sessions.changed().await.map_err(|_| Closed)?;
            }
            changed = sessions.changed() => changed.map_err(|_| Closed)?,
        }
    }
}

struct Teller {
    context: Arc<Context>,
    info: Option<ClusterInfo>,
    permissions: BTreeMap<Permitted, bool>,
}

impl Teller {
    async fn tell(&mut self, session: &Arc<Session>) -> Result<(), Closed> {
        let known = self.info.clone().unwrap_or_default();
        let mut info = ClusterInfo {
            context: session.context.clone(),
            server: address(&session.server),
            namespace: session.namespace.clone(),
            ..known
        };
        self.tell_info(&info).await?;
        let mut backoff = Backoff::default();
        while let Err(failure) = self.ask(session, &mut info).await? {
            tracing::debug!(%failure, "the cluster did not tell about itself");
            self.context.pause(backoff.next()).await;
        }
        Ok(())
    }

    async fn tell_info(&mut self, info: &ClusterInfo) -> Result<(), Closed> {
        if self.info.as_ref() != Some(info) {
            self.info = Some(info.clone());
            self.context.sink.send(Fact::Cluster(info.clone())).await?;
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        session: &Session,
        info: &mut ClusterInfo,
    ) -> Result<Result<(), Failure>, Closed> {
        let version = session
            .unary("ask for the version", session.read.apiserver_version())
            .await;
        info.version = match version {
            Ok(version) => Some(version.git_version),
            Err(failure) if failure.kind == Kind::Forbidden => None,
            Err(failure) => return Ok(Err(failure)),
        };
        let annotations = annotations(session).await;
        info.backoff = annotations.get(BACKOFF).cloned();
        info.isolation = annotations.get(ISOLATION).cloned();
        self.tell_info(info).await?;
        for (action, verb, subresource) in [
            (Permitted::ExecPods, "create", Some("exec")),
            (Permitted::DeletePods, "delete", None),
            (Permitted::ReadLogs, "get", Some("log")),
        ] {
            let question = Question {
                verb,
                resource: "pods",
                subresource,
                ..Question::default()
            };
            let allowed = match may(session, question).await {
                Ok(allowed) => allowed,
                // Whoever may not even ask learns it by trying.
                Err(failure) if failure.kind == Kind::Forbidden => continue,
                Err(failure) => return Ok(Err(failure)),
            };
            if self.permissions.insert(action, allowed) != Some(allowed) {
                let fact = Fact::Permission { action, allowed };
                self.context.sink.send(fact).await?;
            }
        }
        let (why_not, leftovers) = match chaos::ability(session).await {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        let able = Fact::Able {
            ability: Ability::Network,
            why_not,
        };
        self.context.sink.send(able).await?;
        if !leftovers.is_empty() {
            let what = leftovers;
            self.context.sink.send(Fact::Leftovers { what }).await?;
        }
        Ok(Ok(()))
    }
}

/// The annotations of the lab's node; none where there is no such node, or it
/// may not be read.
async fn annotations(session: &Session) -> BTreeMap<String, String> {
    let Ok(request) = Request::new("/api/v1/nodes").get(NODE, &kube::api::GetParams::default())
    else {
        return BTreeMap::new();
    };
    session
        .unary("look at a node", session.read.request::<Node>(request))
        .await
        .map(|node| node.metadata.annotations)
        .unwrap_or_default()
}

/// What a user would like to do in the namespace that is watched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Question {
    pub verb: &'static str,
    pub group: Option<&'static str>,
    pub resource: &'static str,
    pub subresource: Option<&'static str>,
}

/// Whether the user may.
pub(super) async fn may(session: &Session, question: Question) -> Result<bool, Failure> {
    let Question {
        verb,
        group,
        resource,
        subresource,
    } = question;
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(session.namespace.clone()),
                verb: Some(verb.to_owned()),
                group: group.map(str::to_owned),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(session.read.clone());
    let answer = session
        .unary(
            "ask what is allowed",
            reviews.create(&PostParams::default(), &review),
        )
        .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
