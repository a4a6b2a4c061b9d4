//! Taking the workload away: only what carries our label, and only the objects
//! that were named before.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    objects::{delete, get, ours, text},
    plan::trouble,
    rollout::LOOK,
};
use crate::{
    adapters::cluster::{
        access::Session,
        failure::{Failure, Kind},
    },
    core::{
        deploy::{Change, Plan, Planned},
        event::Trouble,
        workload::{
            Role, Workload,
            manifests::{MANAGED_BY, MANAGER, RUN},
        },
    },
};

/// What runs; goes always.
const RUNS: [&str; 3] = ["Deployment", "Job", "Service"];

/// What logs are in; goes on request.
const STORAGE: [&str; 2] = ["PersistentVolumeClaim", "PersistentVolume"];

/// Works out what taking the workload away would do.
///
/// # Errors
/// Why it cannot be known.
pub(super) async fn plan(
    session: &Session,
    workload: Option<Workload>,
    storage: bool,
) -> Result<Plan, Trouble> {
    let workloads = workload.map_or(Workload::ALL.to_vec(), |one| vec![one]);
    let mut plan = Plan {
        context: session.context.clone(),
        namespace: session.namespace.clone(),
        ..Plan::default()
    };
    for kind in RUNS {
        let found = ours(session, &workloads, kind).await.map_err(trouble)?;
        for object in found {
            if let Some(run) = object["metadata"]["annotations"][RUN].as_str() {
                run.clone_into(&mut plan.run);
            }
            plan.objects.push(planned(kind, &object, Change::Delete));
        }
    }
    let mut claims = Vec::new();
    for kind in STORAGE {
        let found = match ours(session, &workloads, kind).await {
            Ok(found) => found,
            // Volumes are the cluster's: not everybody may see them.
            Err(Failure {
                kind: Kind::Forbidden,
                why,
            }) => {
                plan.notes
                    .push(format!("what there is of {kind} is not known: {why}"));
                continue;
            }
            Err(failure) => return Err(trouble(failure)),
        };
        let change = if storage {
            Change::Delete
        } else {
            Change::Leave
        };
        let here = found.iter().filter(|object| {
            kind != "PersistentVolume"
                || text(object, "/spec/claimRef/namespace") == session.namespace
        });
        plan.objects
            .extend(here.map(|object| planned(kind, object, change)));
        if kind == "PersistentVolumeClaim" {
            claims = found;
        }
    }
    foreign(session, &workloads, &mut plan).await?;
    remark(&mut plan, &claims);
    Ok(plan)
}

/// What has our name and not our label is somebody else's.
async fn foreign(
    session: &Session,
    workloads: &[Workload],
    plan: &mut Plan,
) -> Result<(), Trouble> {
    let names = workloads
        .iter()
        .flat_map(|workload| Role::ALL.map(|role| workload.deployment(role)));
    for name in names {
        let found = get(session, "Deployment", &name).await.map_err(trouble)?;
        let Some(found) = found else { continue };
        if found["metadata"]["labels"][MANAGED_BY] != MANAGER {
            plan.objects
                .push(planned("Deployment", &found, Change::Leave));
            plan.notes.push(format!(
                "Deployment {name} was not made by aks-tui, and stays; `kubectl delete deployment {name}` deletes it"
            ));
        }
    }
    Ok(())
}

/// Says what becomes of the logs.
fn remark(plan: &mut Plan, claims: &[Value]) {
    let mut notes = Vec::new();
    let mut told = |yes: bool, text: &str| {
        if yes {
            notes.push(text.to_owned());
        }
    };
    let goes = |kind: &str, change: Change| {
        let mut all = plan.objects.iter();
        all.any(|it| it.kind == kind && it.change == change)
    };
    told(
        goes("PersistentVolumeClaim", Change::Leave),
        "the logs stay: `deploy` goes on with them; --storage deletes the claims, too",
    );
    let deleted = goes("PersistentVolumeClaim", Change::Delete);
    let of_class = |claim: &Value| !text(claim, "/spec/storageClassName").is_empty();
    told(
        deleted && claims.iter().any(of_class),
        "with the claims of a storage class goes what is in them: the logs of all their runs",
    );
    told(
        deleted && !claims.iter().all(of_class),
        "what is in the share stays there",
    );
    plan.notes.append(&mut notes);
}

fn planned(kind: &str, object: &Value, change: Change) -> Planned {
    Planned {
        kind: kind.to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        change,
        fields: Vec::new(),
        object: json!({"metadata": {"uid": object["metadata"]["uid"]}}),
    }
}

/// Tells an object to go and waits until it has.
///
/// # Errors
/// Why it did not, and what to do.
pub(super) async fn remove(
    session: &Session,
    planned: &Planned,
    within: Duration,
) -> Result<(), Trouble> {
    let (kind, name) = (planned.kind.as_str(), planned.name.as_str());
    let uid = text(&planned.object, "/metadata/uid");
    delete(session, kind, name, uid).await.map_err(trouble)?;
    let began = Instant::now();
    loop {
        match get(session, kind, name).await {
            Ok(None) => return Ok(()),
            // Another one of that name was never named to a person.
            Ok(Some(object)) if text(&object, "/metadata/uid") != uid => return Ok(()),
            Ok(Some(object)) if began.elapsed() > within => {
                let finalizers: Vec<_> = object["metadata"]["finalizers"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let what = format!(
                    "{kind} {name} was told to go and is still there after {} s; it waits for: {}",
                    within.as_secs(),
                    finalizers.join(", ")
                );
                return Err(Trouble::new(
                    what,
                    "look at it with kubectl; run again later",
                ));
            }
            Err(failure) if began.elapsed() > within => return Err(trouble(failure)),
            Ok(Some(_)) | Err(_) => {}
        }
        sleep(LOOK).await;
    }
}
