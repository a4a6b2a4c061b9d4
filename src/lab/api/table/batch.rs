//! Tables of stateful sets, their revisions, and jobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, parse};
use super::cells::{age, condition, items, name, number, template, text};
use super::columns::{AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR};
use crate::lab::kinds::Resource;

/// `apps/v1 StatefulSet`
pub const STATEFUL_SETS: &[Column] = &[
    NAME,
    Column(
        "Ready",
        "string",
        0,
        "Pods that are ready, of those wanted.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
];

/// `apps/v1 ControllerRevision`
pub const REVISIONS: &[Column] = &[
    NAME,
    Column("Controller", "string", 0, "What it is a revision of."),
    Column("Revision", "string", 0, "Its number."),
    AGE,
];

/// `batch/v1 Job`
pub const JOBS: &[Column] = &[
    NAME,
    Column("Status", "string", 0, "How far it is, in one word."),
    Column(
        "Completions",
        "string",
        0,
        "Pods that succeeded, of those wanted.",
    ),
    Column("Duration", "string", 0, "How long it has run."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// A stateful set's cells.
pub fn stateful_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let [names, images, _] = template(set);
    vec![
        name(set),
        json!(format!(
            "{}/{wanted}",
            number(&set["status"]["readyReplicas"])
        )),
        age(set, now),
        names,
        images,
    ]
}

/// A revision's cells.
pub fn revision(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owners = items(&revision["metadata"]["ownerReferences"]);
    let owner = owners.iter().find(|it| it["controller"] == true);
    let owner = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let (kind, version) = (text(&owner["kind"], ""), text(&owner["apiVersion"], ""));
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let mut word = Resource::of_type(version, kind)
                .map_or_else(|| kind.to_lowercase(), |it| it.names().singular.to_owned());
            if !group.is_empty() {
                word = format!("{word}.{group}");
            }
            format!("{word}/{}", text(&owner["name"], ""))
        },
    );
    vec![
        name(revision),
        json!(owner),
        json!(number(&revision["revision"])),
        age(revision, now),
    ]
}

/// A job's cells.
pub fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&job["spec"], &job["status"]);
    let succeeded = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_u64(), spec["parallelism"].as_u64()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        _ => format!("{succeeded}/1"),
    };
    let duration = parse(&status["startTime"]).map(|start| {
        let end = parse(&status["completionTime"]).unwrap_or(now);
        human_duration(end.duration_since(start).as_secs())
    });
    let [names, images, selector] = template(job);
    vec![
        name(job),
        json!(job_status(job)),
        json!(completions),
        json!(duration.unwrap_or_default()),
        age(job, now),
        names,
        images,
        selector,
    ]
}

/// What a job is doing, in one word.
fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| condition(&job["status"], kind) == "True";
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if job["metadata"]["deletionTimestamp"].is_string() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_shows_how_far_it_is_and_for_how_long() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut object = json!({
            "metadata": {"name": "j"},
            "spec": {"parallelism": 2, "template": {"spec": {"containers": []}}},
            "status": {"startTime": "2026-01-01T00:00:00Z", "succeeded": 1},
        });
        let row = |object: &Value| job(object, at("2026-01-01T00:01:30Z"));
        assert_eq!(
            row(&object)[1..4],
            ["Running", "1/1 of 2", "90s"].map(|it| json!(it))
        );
        object["spec"]["completions"] = json!(1);
        object["status"]["completionTime"] = json!("2026-01-01T00:00:05Z");
        object["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(
            row(&object)[1..4],
            ["Complete", "1/1", "5s"].map(|it| json!(it))
        );
    }

    #[test]
    fn a_revision_names_what_it_is_one_of() {
        let object = json!({
            "metadata": {"name": "r", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]},
            "revision": 2,
        });
        let row = revision(&object, Timestamp::now());
        assert_eq!(row[1..3], [json!("statefulset.apps/web"), json!(2)]);
    }
}
