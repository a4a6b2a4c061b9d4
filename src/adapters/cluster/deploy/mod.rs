//! Deploying the workload, and taking it away: plan, apply, wait, in facts.
//!
//! Objects are applied by the server, as ours: what another manager has is not
//! taken from it unasked, and who has it is told. Nothing here knows a cluster
//! from another.

mod diff;
mod objects;
mod plan;
mod remove;
mod rollout;
mod sweep;

use std::time::Duration;

use self::objects::{Refusal, called};
use super::{Context, access::Session};
use crate::{
    adapters::sink::Closed,
    core::{
        deploy::{Change, Plan, Planned, Request},
        event::{Fact, Trouble},
        workload::Workload,
    },
};

/// Works out what a deployment would do, and says so.
pub async fn plan_deploy(context: &Context, request: &Request) -> Result<(), Closed> {
    context.sink.send(Fact::DeployPlanning).await?;
    let planned = match context.access.session().await {
        Ok(session) => plan::plan(&session, request).await,
        Err(failure) => Err(plan::trouble(failure)),
    };
    tell_plan(context, planned).await
}

/// Works out what taking the workload away would do, and says so.
pub async fn plan_undeploy(
    context: &Context,
    workload: Option<Workload>,
    storage: bool,
) -> Result<(), Closed> {
    context.sink.send(Fact::DeployPlanning).await?;
    let planned = match context.access.session().await {
        Ok(session) => remove::plan(&session, workload, storage).await,
        Err(failure) => Err(plan::trouble(failure)),
    };
    tell_plan(context, planned).await
}

async fn tell_plan(context: &Context, planned: Result<Plan, Trouble>) -> Result<(), Closed> {
    let fact = match planned {
        Ok(plan) => Fact::DeployPlanned(Box::new(plan)),
        Err(trouble) => Fact::DeployFailed(trouble),
    };
    context.sink.send(fact).await
}

/// Does what was planned and waits until it runs.
pub async fn deploy(
    context: &Context,
    plan: &Plan,
    force: bool,
    within: Duration,
) -> Result<(), Closed> {
    context
        .sink
        .send(Fact::DeployBegan { removes: false })
        .await?;
    match carry_out(context, plan, force, within).await? {
        Ok(client) => context.sink.send(Fact::RolledOut { client }).await,
        Err(trouble) => context.sink.send(Fact::DeployFailed(trouble)).await,
    }
}

/// The client's pod, or why there is none that serves.
type Outcome = Result<String, Trouble>;

async fn carry_out(
    context: &Context,
    plan: &Plan,
    force: bool,
    within: Duration,
) -> Result<Outcome, Closed> {
    let session = match armed(context).await {
        Ok(session) => session,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let (rest, ground): (Vec<_>, Vec<_>) =
        plan.objects.iter().partition(|it| it.kind == "Deployment");
    if let Err(trouble) = send(context, &session, &ground, force).await? {
        return Ok(Err(trouble));
    }
    // What instances need to start must be done, not only begun.
    for job in ground.iter().filter(|it| it.kind == "Job") {
        if let Err(trouble) = rollout::job(&session, &job.name, within).await {
            return Ok(Err(trouble));
        }
    }
    if let Err(trouble) = send(context, &session, &rest, force).await? {
        return Ok(Err(trouble));
    }
    let sink = &context.sink;
    let tell = async |progress| sink.send(Fact::Rollout(progress)).await.is_ok();
    Ok(rollout::wait(&session, plan.workload, within, tell).await)
}

/// Applies objects in this order, until one is refused.
async fn send(
    context: &Context,
    session: &Session,
    objects: &[&Planned],
    force: bool,
) -> Result<Result<(), Trouble>, Closed> {
    for planned in objects {
        match objects::apply(session, &planned.object, force, false).await {
            Ok(applied) => {
                let object = called(&applied);
                context.sink.send(Fact::DeployApplied { object }).await?;
            }
            Err(refusal) => return Ok(Err(told(&planned.object, refusal))),
        }
    }
    Ok(Ok(()))
}

/// Between plan and deed the world may have moved on.
fn told(object: &serde_json::Value, refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Conflicts(conflicts) => {
            let owners: Vec<_> = conflicts
                .iter()
                .map(|it| format!("{} has {}", it.owner, it.field))
                .collect();
            Trouble::new(
                format!("{} was not applied: {}", called(object), owners.join(", ")),
                "let them have it, or take it over with --force-conflicts",
            )
        }
        Refusal::Failed(failure) => plan::trouble(failure),
    }
}

/// Takes away what was planned and waits until it is gone.
pub async fn undeploy(context: &Context, plan: &Plan, within: Duration) -> Result<(), Closed> {
    context
        .sink
        .send(Fact::DeployBegan { removes: true })
        .await?;
    let session = match armed(context).await {
        Ok(session) => session,
        Err(trouble) => return context.sink.send(Fact::DeployFailed(trouble)).await,
    };
    for planned in plan.objects.iter().filter(|it| it.change == Change::Delete) {
        if let Err(trouble) = remove::remove(&session, planned, within).await {
            return context.sink.send(Fact::DeployFailed(trouble)).await;
        }
        let object = format!("{} {}", planned.kind, planned.name);
        context.sink.send(Fact::DeployApplied { object }).await?;
    }
    context.sink.send(Fact::DeployRemoved).await
}

/// Works out what taking a run's logs away would do, and says so.
pub async fn plan_sweep(context: &Context, workload: Workload) -> Result<(), Closed> {
    context.sink.send(Fact::DeployPlanning).await?;
    let planned = match context.access.session().await {
        Ok(session) => sweep::plan(&session, workload).await,
        Err(failure) => Err(plan::trouble(failure)),
    };
    tell_plan(context, planned).await
}

/// Takes the logs away that were planned and waits until they are gone.
pub async fn sweep(context: &Context, plan: &Plan, within: Duration) -> Result<(), Closed> {
    let began = Fact::DeployBegan { removes: true };
    context.sink.send(began).await?;
    let swept = match armed(context).await {
        Ok(session) => sweep::sweep(context, &session, plan, within).await?,
        Err(trouble) => Err(trouble),
    };
    let fact = match swept {
        Ok(()) => Fact::DeployRemoved,
        Err(trouble) => Fact::DeployFailed(trouble),
    };
    context.sink.send(fact).await
}

/// A session to act with, unless nothing may be done.
async fn armed(context: &Context) -> Result<std::sync::Arc<Session>, Trouble> {
    if context.options.read_only {
        return Err(Trouble::new(
            "read-only: nothing is deployed and nothing taken away",
            "start without --read-only",
        ));
    }
    context.access.session().await.map_err(plan::trouble)
}
