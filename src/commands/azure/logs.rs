//! `clean logs`: only a run's logs, on whatever cluster the workload is.

use std::time::Duration;

use color_eyre::eyre::{Result, bail};

use crate::{
    commands::deploy::Talk,
    core::{
        azure::{
            clean::{Fate, Object},
            progress::Progress,
        },
        deploy::Plan,
        effect::Effect,
        workload::Workload,
    },
};

/// How long each step may take: a pod to end, a job to delete.
const WITHIN: Duration = Duration::from_mins(10);

/// What ids of logs begin with.
pub const LOGS: &str = "logs/";

/// The logs that are there to go, each run's as one object.
pub async fn preview(talk: &mut Talk) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    for workload in Workload::ALL {
        let plan = talk.plan(Effect::PlanSweep { workload }).await?;
        if plan.objects.is_empty() {
            continue;
        }
        let on = plan
            .order
            .storage
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        found.push(Object {
            id: id(&plan),
            kind: "logs".to_owned(),
            name: format!("{}/{workload} {}", plan.namespace, plan.run),
            fate: Fate::Delete,
            note: format!("on {on}; its pods stop first, and `deploy` begins a new run"),
        });
    }
    Ok(found)
}

fn id(plan: &Plan) -> String {
    format!("{LOGS}{}/{}", plan.workload, plan.run)
}

/// Stops what writes the logs that `objects` name and deletes them.
pub async fn carry_out(
    talk: &mut Talk,
    objects: &[Object],
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    for object in objects.iter().filter(|it| it.fate == Fate::Delete) {
        let workload = Workload::ALL
            .into_iter()
            .find(|it| object.id.starts_with(&format!("{LOGS}{it}/")));
        let Some(workload) = workload else { continue };
        tell(Progress::Step {
            doing: format!(
                "stop {workload} and delete the {} {}",
                object.kind, object.name
            ),
        });
        let plan = talk.plan(Effect::PlanSweep { workload }).await?;
        if id(&plan) != object.id {
            bail!(
                "{} is no longer the run that was shown: look again",
                object.name
            );
        }
        let wish = Effect::Sweep {
            plan: Box::new(plan),
            within: WITHIN,
        };
        talk.carry_out(wish, WITHIN * 3, |_| false, |_| ()).await?;
    }
    Ok(())
}
