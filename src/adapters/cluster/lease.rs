//! The lease by which a cockpit says that it is there: a lab that was held and
//! is held no more cleans itself up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};
use tokio::time::{Instant, sleep};

use super::{
    Options,
    access::{Access, Session},
    failure::{Failure, Kind},
};
use crate::{
    adapters::sink::{Closed, Sink},
    core::event::{Fact, Trouble},
};

/// The lease's name.
const NAME: &str = "aks-tui-cockpit";

/// The namespace it lives in.
const NAMESPACE: &str = "kube-system";

/// A lease that was not renewed for so long is held no more, seconds.
const LASTS: i32 = 15;

/// How often it is renewed: twice may fail.
const RENEW: Duration = Duration::from_secs(4);

/// Holds the lease at the cluster of this kubeconfig until the cockpit leaves,
/// whatever cluster it looks at.
pub async fn hold(kubeconfig: PathBuf, sink: Sink) -> Result<(), Closed> {
    let access = Access::new(Arc::new(Options {
        kubeconfig: Some(kubeconfig),
        ..Options::default()
    }));
    let holder = format!("aks-tui-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let mut renewed = Instant::now();
    let mut told = false;
    loop {
        let failure = match access.session().await {
            Ok(session) => {
                let renewed = renew(&session, &holder).await;
                let failure = renewed.err();
                if let Some(failure) = &failure {
                    access.discard_after(&session, failure);
                }
                failure
            }
            Err(failure) => Some(failure),
        };
        match failure {
            None => {
                renewed = Instant::now();
                told = false;
            }
            Some(failure) if !told && renewed.elapsed().as_secs() >= LASTS as u64 => {
                told = true;
                let trouble = Trouble::new(
                    format!("the lease on the lab could not be renewed: {failure}"),
                    "the lab stops itself if this lasts; what it runs is kept until then",
                );
                sink.send(Fact::Trouble(trouble)).await?;
            }
            Some(failure) => tracing::debug!(%failure, "the lease was not renewed"),
        }
        sleep(RENEW).await;
    }
}

async fn renew(session: &Session, holder: &str) -> Result<(), Failure> {
    let leases: Api<Lease> = Api::namespaced(session.act.clone(), NAMESPACE);
    let held = session
        .unary("read the lease", leases.get_opt(NAME))
        .await?;
    let now = MicroTime(jiff::Timestamp::now());
    let params = PostParams::default();
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(LASTS),
        renew_time: Some(now.clone()),
        ..LeaseSpec::default()
    };
    let written = if let Some(mut lease) = held {
        let before = lease.spec.take().unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(holder);
        lease.spec = Some(LeaseSpec {
            acquire_time: before.acquire_time.filter(|_| ours).or(Some(now)),
            ..spec
        });
        session
            .unary("renew the lease", leases.replace(NAME, &params, &lease))
            .await
    } else {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                acquire_time: Some(now),
                ..spec
            }),
        };
        session
            .unary("take the lease", leases.create(&params, &lease))
            .await
    };
    match written {
        // Another cockpit was faster: the lab is held, which is what matters.
        Err(failure) if failure.kind == Kind::Conflict => Ok(()),
        written => written.map(|_| ()),
    }
}
