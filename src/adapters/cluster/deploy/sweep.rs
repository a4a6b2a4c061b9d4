//! Taking a run's logs away: whatever writes them stops first, and what is deployed
//! next begins anew.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    objects::{apply, called, get, text},
    plan::{look, trouble},
    remove::remove,
    rollout::{LOOK, job, pods},
    told,
};
use crate::{
    adapters::cluster::{Context, access::Session},
    adapters::sink::Closed,
    core::{
        deploy::{Change, Plan, Planned},
        event::{Fact, Trouble},
        workload::{
            Role, Workload,
            manifests::{RUN, Spec},
            order::Run,
        },
    },
};

/// Works out what taking the logs of `workload`'s present run away would do; nothing
/// if there is no run.
///
/// # Errors
/// Why it cannot be known.
pub(super) async fn plan(session: &Session, workload: Workload) -> Result<Plan, Trouble> {
    let mut plan = Plan {
        workload,
        context: session.context.clone(),
        namespace: session.namespace.clone(),
        ..Plan::default()
    };
    let present = look(session, workload).await?;
    let (Some(order), Some(run)) = (present.order, present.run) else {
        return Ok(plan);
    };
    // It becomes part of a shell's command, and an annotation is anybody's to write.
    let named = Run::Named(run.clone()).check();
    named.map_err(|why| Trouble::new(why, "was the annotation changed by hand?"))?;
    let Some(storage) = order.storage.clone() else {
        return Ok(plan);
    };
    let spec = Spec {
        workload,
        namespace: session.namespace.clone(),
        order: order.clone(),
        storage,
        run: run.clone(),
    };
    plan.order = order;
    plan.run = run;
    plan.resumes = true;
    let (deployments, claims): (Vec<_>, Vec<_>) = spec
        .at_rest()
        .into_iter()
        .partition(|it| it["kind"] == "Deployment");
    for (objects, change) in [
        (deployments, Change::Change),
        (spec.sweeps(), Change::Create),
        (claims, Change::Change),
    ] {
        for object in objects {
            let (kind, name) = (text(&object, "/kind"), text(&object, "/metadata/name"));
            let there = get(session, kind, name).await.map_err(trouble)?.is_some();
            if there || change == Change::Create {
                plan.objects.push(Planned {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    change,
                    fields: Vec::new(),
                    object,
                });
            }
        }
    }
    Ok(plan)
}

/// Does what was planned and waits until it is done.
pub(super) async fn sweep(
    context: &Context,
    session: &Session,
    plan: &Plan,
    within: Duration,
) -> Result<Result<(), Trouble>, Closed> {
    let of = |kind: &'static str| plan.objects.iter().filter(move |it| it.kind == kind);
    let tell = async |what: String| {
        context
            .sink
            .send(Fact::DeployApplied { object: what })
            .await
    };
    for planned in of("Deployment") {
        let mut stopped = planned.object.clone();
        stopped["metadata"]["annotations"][RUN] = plan.run.as_str().into();
        if let Err(trouble) = put(session, &stopped).await {
            return Ok(Err(trouble));
        }
    }
    if let Err(trouble) = stopped(session, plan.workload, within).await {
        return Ok(Err(trouble));
    }
    for planned in of("Job") {
        match swept(session, planned, within).await {
            Ok(()) => tell(format!("logs of {}", plan.run)).await?,
            Err(trouble) => return Ok(Err(trouble)),
        }
    }
    // A run is forgotten when its logs are gone, not before: whoever is interrupted
    // finds it again.
    for planned in of("PersistentVolumeClaim").chain(of("Deployment")) {
        if let Err(trouble) = put(session, &planned.object).await {
            return Ok(Err(trouble));
        }
    }
    Ok(Ok(()))
}

async fn put(session: &Session, object: &Value) -> Result<(), Trouble> {
    let applied = apply(session, object, true, false).await;
    applied.map(|_| ()).map_err(|refusal| told(object, refusal))
}

/// Waits until nothing writes any more.
async fn stopped(session: &Session, workload: Workload, within: Duration) -> Result<(), Trouble> {
    let began = Instant::now();
    for role in Role::ALL {
        let selector = workload.selector(role);
        loop {
            let left = pods(session, &selector).await.map_err(trouble)?;
            if left.is_empty() {
                break;
            }
            if began.elapsed() > within {
                let what = format!(
                    "the {role}'s pod is still there after {} s",
                    within.as_secs()
                );
                return Err(Trouble::new(
                    what,
                    "no log was deleted; is its node down? run again later",
                ));
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Has a job delete logs; it is gone afterwards, and so is one that somebody who was
/// interrupted left behind.
async fn swept(session: &Session, planned: &Planned, within: Duration) -> Result<(), Trouble> {
    clear(session, planned, within).await?;
    let made = apply(session, &planned.object, true, false).await;
    let made = made.map_err(|refusal| told(&planned.object, refusal))?;
    tracing::debug!(job = %called(&made), "sweeping");
    job(session, &planned.name, within).await?;
    clear(session, planned, within).await
}

async fn clear(session: &Session, planned: &Planned, within: Duration) -> Result<(), Trouble> {
    let there = get(session, &planned.kind, &planned.name).await;
    let Some(there) = there.map_err(trouble)? else {
        return Ok(());
    };
    let old = Planned {
        object: json!({"metadata": {"uid": there["metadata"]["uid"]}}),
        ..planned.clone()
    };
    remove(session, &old, within).await
}
