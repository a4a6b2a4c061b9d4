//! Network faults, as Chaos Mesh serves them: an object says what is to be
//! disturbed, and deleting it heals.
//!
//! Ours carry our label and the uid of their victim, and end by themselves a
//! while after they should have been deleted.

use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    access::Session,
    failure::{Failure, Kind},
    info::{Question, may},
    slim::{MANAGED_BY, MANAGER},
};
use crate::core::trial::{Fault, TrialId, Victim};

const GROUP: &str = "chaos-mesh.org";
const VERSION: &str = "v1alpha1";
const RESOURCE: &str = "networkchaos";

/// Whom one of our objects disturbs: the uid of a pod.
const VICTIM: &str = "aks-tui.dev/victim";

/// How much longer than it should a fault lasts that nobody heals.
const GRACE: Duration = Duration::from_secs(15);

/// How long a fault may take to hold, and to be gone.
const TAKES: Duration = Duration::from_secs(15);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// Why networks cannot be disturbed here, if they cannot; and what earlier runs
/// left in force.
pub async fn ability(session: &Session) -> Result<(Option<String>, Vec<String>), Failure> {
    let version = format!("{GROUP}/{VERSION}");
    let served = session
        .unary(
            "ask for Chaos Mesh",
            session.read.list_api_group_resources(&version),
        )
        .await;
    let missing = || format!("no Chaos Mesh here: {RESOURCE}.{GROUP} is not served");
    match served {
        Ok(list) if list.resources.iter().any(|r| r.name == RESOURCE) => {}
        Ok(_) => return Ok((Some(missing()), Vec::new())),
        Err(failure) if failure.kind == Kind::NotFound => {
            return Ok((Some(missing()), Vec::new()));
        }
        Err(failure) if failure.kind == Kind::Forbidden => {
            return Ok((Some(failure.why), Vec::new()));
        }
        Err(failure) => return Err(failure),
    }
    for verb in ["create", "list", "delete"] {
        let question = Question {
            verb,
            group: Some(GROUP),
            resource: RESOURCE,
            subresource: None,
        };
        if !may(session, question).await.unwrap_or(true) {
            let why = format!(
                "you may not {verb} {RESOURCE} in {}: ask for the role",
                session.namespace
            );
            return Ok((Some(why), Vec::new()));
        }
    }
    let ours = format!("{MANAGED_BY}={MANAGER}");
    let left = list(session, &ours).await.unwrap_or_default();
    let what = left
        .iter()
        .map(|name| format!("{RESOURCE} {name}"))
        .collect();
    Ok((None, what))
}

/// Disturbs the network of the victim as `fault` says, and waits until that
/// holds.
///
/// # Errors
/// Why it does not, in words for the screen; then nothing is left of it.
pub async fn disturb(
    session: &Session,
    trial: TrialId,
    fault: Fault,
    victim: &Victim,
    lasts: Duration,
) -> Result<(), String> {
    let name = format!("aks-tui-{}-{:08x}", trial.0, fastrand::u32(..));
    let mut object = DynamicObject::new(&name, &resource()).data(json!({
        "spec": spec(fault, victim, lasts + GRACE),
    }));
    let labels = object.metadata.labels.get_or_insert_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(VICTIM.to_owned(), victim.pod_uid.clone());
    let chaos = api(session);
    let what = format!("create {RESOURCE} `{name}`");
    session
        .unary(&what, chaos.create(&PostParams::default(), &object))
        .await
        .map_err(|failure| failure.why)?;
    let began = Instant::now();
    let mut seen = Value::Null;
    while began.elapsed() < TAKES {
        let what = format!("look at {RESOURCE} `{name}`");
        if let Ok(object) = session.unary(&what, chaos.get(&name)).await {
            seen = object.data["status"]["conditions"].clone();
            if holds(&seen, "AllInjected") {
                return Ok(());
            }
        }
        sleep(LOOK).await;
    }
    let healed = heal(session, &victim.pod_uid).await;
    Err(format!(
        "{RESOURCE} `{name}` did not take hold within {} s{}{}",
        TAKES.as_secs(),
        if holds(&seen, "Selected") {
            ""
        } else {
            ": it selects no pod"
        },
        healed.map_or_else(|why| format!("; and {why}"), |()| String::new()),
    ))
}

/// Heals whatever we do to the network of the pod with this uid.
///
/// # Errors
/// Why not, in words for the screen.
pub async fn heal(session: &Session, uid: &str) -> Result<(), String> {
    heal_selected(session, &format!("{MANAGED_BY}={MANAGER},{VICTIM}={uid}")).await
}

/// Heals whatever aks-tui does to any network of the namespace.
///
/// # Errors
/// Why not, in words for the screen.
pub async fn heal_all(session: &Session) -> Result<(), String> {
    heal_selected(session, &format!("{MANAGED_BY}={MANAGER}")).await
}

async fn heal_selected(session: &Session, selector: &str) -> Result<(), String> {
    let chaos = api(session);
    let began = Instant::now();
    let mut told = Vec::new();
    loop {
        let left = list(session, selector).await.map_err(|f| f.why)?;
        if left.is_empty() {
            return Ok(());
        }
        for name in &left {
            if told.contains(name) {
                continue;
            }
            let what = format!("delete {RESOURCE} `{name}`");
            let params = DeleteParams::default();
            match session.unary(&what, chaos.delete(name, &params)).await {
                Err(failure) if failure.kind != Kind::NotFound => return Err(failure.why),
                _ => told.push(name.clone()),
            }
        }
        if began.elapsed() > TAKES {
            return Err(format!(
                "{RESOURCE} {} is told to go and still there: is Chaos Mesh well?",
                left.join(", ")
            ));
        }
        sleep(LOOK).await;
    }
}

/// The names of our objects that match.
async fn list(session: &Session, selector: &str) -> Result<Vec<String>, Failure> {
    let what = format!("list the {RESOURCE} of namespace `{}`", session.namespace);
    let params = ListParams::default().labels(selector);
    let listed = session.unary(&what, api(session).list(&params)).await;
    match listed {
        Ok(list) => Ok(list
            .items
            .into_iter()
            .filter_map(|object| object.metadata.name)
            .collect()),
        Err(failure) if failure.kind == Kind::NotFound => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn resource() -> ApiResource {
    ApiResource {
        group: GROUP.into(),
        version: VERSION.into(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "NetworkChaos".into(),
        plural: RESOURCE.into(),
    }
}

fn api(session: &Session) -> Api<DynamicObject> {
    Api::namespaced_with(session.act.clone(), &session.namespace, &resource())
}

fn holds(conditions: &Value, kind: &str) -> bool {
    let mut conditions = conditions.as_array().into_iter().flatten();
    conditions.any(|c| c["type"] == kind && c["status"] == "True")
}

fn spec(fault: Fault, victim: &Victim, duration: Duration) -> Value {
    let namespace = victim.namespace.as_str();
    let mut spec = json!({
        "action": "partition",
        "mode": "all",
        "direction": "to",
        "selector": {"namespaces": [namespace], "pods": {namespace: [victim.pod]}},
        "duration": format!("{}s", duration.as_secs()),
    });
    match fault {
        Fault::NetworkDelay => {
            spec["action"] = json!("delay");
            let latency = format!("{}ms", Fault::LATENCY);
            spec["delay"] = json!({"latency": latency, "jitter": "0ms", "correlation": "0"});
        }
        Fault::NetworkLoss => {
            spec["action"] = json!("loss");
            spec["loss"] = json!({"loss": Fault::LOSS.to_string(), "correlation": "0"});
        }
        _ => {}
    }
    spec
}
