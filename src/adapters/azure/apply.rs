//! Making a plan true: the resource group, one deployment, every resource's
//! progress as it happens.
//!
//! Nothing is remembered here: a deployment's name says what it deploys, so whoever
//! was interrupted finds it again, and two who want the same meet in it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    api::{self, Paths},
    client::{Call, Client},
    error::Failure,
    plan::Planned,
    template,
};
use crate::core::azure::{
    plan::kind_and_name,
    progress::{Progress, Resource, State},
    settings::Settings,
};

/// Who hears how far it is.
pub type Tell<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Looks at a deployment come after these waits; the last one repeats.
const LOOKS: [Duration; 6] = [
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1200),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

/// How long we wait for somebody else who is busy with the same thing.
const PATIENCE: Duration = Duration::from_secs(900);

/// Between looks at somebody who is busy.
const BUSY: Duration = Duration::from_secs(3);

/// Makes `planned` true. What the deployment has to say of the result is returned.
pub async fn apply(
    client: &Client,
    settings: &Settings,
    planned: &Planned,
    tell: Tell<'_>,
) -> Result<Value, Failure> {
    let paths = &planned.paths;
    make_group(client, settings, paths, tell).await?;
    if planned.there.cluster.is_none() && planned.there.registry.is_some() {
        forget_old_cluster(client, settings, paths).await?;
    }
    let name = planned.deployable.name();
    let path = paths.deployment(&name);
    start(client, &path, planned, tell).await?;
    follow(client, paths, &name, tell).await
}

/// Asks Azure to give the running deployment of `planned` up. What is made already
/// stays.
pub async fn cancel(client: &Client, planned: &Planned) -> Result<(), Failure> {
    let path = planned.paths.deployment(&planned.deployable.name());
    let call = Call::post(
        "cancel the deployment",
        format!("{path}/cancel"),
        api::DEPLOYMENTS,
    );
    // 409: it is over already.
    client.send(&call.accepting(&[404, 409])).await.map(|_| ())
}

/// Registers the providers that are missing, and waits until they are.
pub async fn register(client: &Client, subscription: &str, tell: Tell<'_>) -> Result<(), Failure> {
    for namespace in api::PROVIDERS {
        let path = format!("/subscriptions/{subscription}/providers/{namespace}");
        let read = Call::get(
            format!("read the provider {namespace}"),
            &path,
            api::RESOURCES,
        );
        let mut state = client.send(&read).await?.body["registrationState"].clone();
        if state == "Registered" {
            continue;
        }
        tell(Progress::Step {
            doing: format!("register the provider {namespace}"),
        });
        let call = Call::post(
            format!("register the provider {namespace}"),
            format!("{path}/register"),
            api::RESOURCES,
        );
        client.send(&call).await?;
        for look in 0.. {
            sleep(LOOKS[look.min(LOOKS.len() - 1)]).await;
            state = client.send(&read).await?.body["registrationState"].clone();
            match state.as_str() {
                Some("Registered") => break,
                Some("Registering" | "NotRegistered") => {}
                _ => {
                    return Err(Failure::new(
                        format!("register the provider {namespace}"),
                        format!("it is {state}"),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Makes the group if it is not there. One that is there stays as it is.
async fn make_group(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let group = &paths.group;
    let read = Call::get(
        format!("read the resource group {group}"),
        paths.group(),
        api::RESOURCES,
    );
    let found = client.find(&read).await?;
    let is_leaving = |group: &Value| group["properties"]["provisioningState"] == "Deleting";
    if found.as_ref().is_some_and(|group| !is_leaving(group)) {
        return Ok(());
    }
    tell(Progress::Step {
        doing: format!("make the resource group {group}"),
    });
    let body = json!({"location": settings.azure.location, "tags": template::tags(settings)});
    let call = Call::put(
        format!("make the resource group {group}"),
        paths.group(),
        api::RESOURCES,
        body,
    );
    patiently(client, &call, tell).await?;
    Ok(())
}

/// The role assignment of a cluster that is gone names an identity that is gone, and
/// may not be given to another: it goes first.
async fn forget_old_cluster(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
) -> Result<(), Failure> {
    let name = &settings.cluster.name;
    let read = Call::get(
        format!("read the cluster {name}"),
        paths.cluster(name),
        api::CONTAINER_SERVICE,
    );
    // Somebody else may have begun to make it since the plan, and the role assignment
    // may be the new one's.
    if client.find(&read).await?.is_some() {
        return Ok(());
    }
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        paths.registry(&settings.registry.name),
        template::pull_assignment(settings, paths)
    );
    let call = Call::delete(
        "delete the role assignment of the cluster that is gone",
        path,
        api::ROLES,
    );
    client.send(&call.accepting(&[404])).await.map(|_| ())
}

/// Sends `call` until nobody else is busy with the same thing.
pub async fn patiently(client: &Client, call: &Call, tell: Tell<'_>) -> Result<Value, Failure> {
    let mut waited = Duration::ZERO;
    loop {
        match client.operate(call, &mut |_| {}).await {
            Err(failure) if failure.is_busy() && waited < PATIENCE => {
                tell(Progress::Wait {
                    why: failure.to_string(),
                    seconds: BUSY.as_secs_f64(),
                });
                sleep(BUSY).await;
                waited += BUSY;
            }
            answer => return answer,
        }
    }
}

/// Starts the deployment, unless it is running already.
async fn start(
    client: &Client,
    path: &str,
    planned: &Planned,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let read = Call::get("read the deployment", path, api::DEPLOYMENTS);
    if let Some(there) = client.find(&read).await?
        && is_running(&there)
    {
        tell(Progress::Note {
            text: "the same deployment is running already: it is followed".to_owned(),
        });
        return Ok(());
    }
    tell(Progress::Step {
        doing: format!("deploy to {}", planned.paths.group),
    });
    let call = Call::put("deploy", path, api::DEPLOYMENTS, planned.deployable.body());
    match client.send(&call).await {
        Ok(_) => Ok(()),
        Err(failure)
            if failure.has("DeploymentActive") || failure.has("DeploymentActiveAndUneditable") =>
        {
            tell(Progress::Note {
                text: "somebody else has just started the same deployment: it is followed"
                    .to_owned(),
            });
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

fn state_of(deployment: &Value) -> &str {
    deployment["properties"]["provisioningState"]
        .as_str()
        .unwrap_or_default()
}

fn is_running(deployment: &Value) -> bool {
    !matches!(
        state_of(deployment),
        "Succeeded" | "Failed" | "Canceled" | ""
    )
}

/// Follows the deployment to its end.
async fn follow(
    client: &Client,
    paths: &Paths,
    name: &str,
    tell: Tell<'_>,
) -> Result<Value, Failure> {
    let wanted = "follow the deployment";
    let read = Call::get(wanted, paths.deployment(name), api::DEPLOYMENTS);
    let operations = Call::get(wanted, paths.deployment_operations(name), api::DEPLOYMENTS);
    let mut seen = BTreeMap::new();
    for look in 0.. {
        // The deployment first: what its operations say afterwards is at least as new.
        let deployment = client.send(&read).await?.body;
        let done = client.list(&operations).await?;
        report(&done, &mut seen, tell);
        match state_of(&deployment) {
            "Succeeded" => return Ok(deployment["properties"]["outputs"].clone()),
            "Failed" => return Err(why_failed(&deployment, &done)),
            "Canceled" => {
                return Err(Failure::new(
                    "deploy",
                    "the deployment was cancelled; what was made stays",
                ));
            }
            _ => sleep(LOOKS[look.min(LOOKS.len() - 1)]).await,
        }
    }
    Ok(Value::Null)
}

/// The deployment's error, or that of the operation that goes deeper.
fn why_failed(deployment: &Value, operations: &[Value]) -> Failure {
    let own = Failure::told("deploy", &deployment["properties"]["error"]);
    let depth = |failure: &Failure| failure.causes.iter().map(|cause| cause.depth).max();
    operations
        .iter()
        .map(|operation| {
            let target = &operation["properties"]["targetResource"]["id"];
            let (kind, name) = kind_and_name(target.as_str().unwrap_or_default());
            let wanted = format!(
                "make the {} {name}",
                crate::core::azure::plan::kind_name(&kind)
            );
            Failure::told(&wanted, &operation["properties"]["statusMessage"])
        })
        .filter(|failure| !failure.causes.is_empty())
        .chain([own])
        .max_by_key(depth)
        .unwrap_or_default()
}

/// Tells of every resource that is in another state than at the last look.
fn report(operations: &[Value], seen: &mut BTreeMap<String, String>, tell: Tell<'_>) {
    for operation in operations {
        let properties = &operation["properties"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&properties["targetResource"]["id"]);
        // Reads of what is referred to are nobody's progress.
        let is_work = matches!(
            properties["provisioningOperation"].as_str(),
            None | Some("Create" | "AzureAsyncOperationWaiting" | "Waiting" | "Delete")
        );
        if id.is_empty() || !is_work {
            continue;
        }
        let word = text(&properties["provisioningState"]);
        if seen.insert(id.clone(), word.clone()).as_ref() == Some(&word) {
            continue;
        }
        let (kind, name) = kind_and_name(&id);
        let failure = Failure::told("make it", &properties["statusMessage"]);
        let state = match word.as_str() {
            "Succeeded" => State::Done,
            "Failed" | "Canceled" => State::Failed,
            _ => State::Running,
        };
        tell(Progress::Resource(Resource {
            kind,
            name,
            state,
            word,
            seconds: properties["duration"].as_str().and_then(seconds),
            error: failure
                .deepest()
                .filter(|_| state == State::Failed)
                .map(|cause| format!("{} ({})", cause.message, cause.code)),
        }));
    }
}

/// The seconds of an ISO 8601 duration like `PT1M23.4S`.
fn seconds(text: &str) -> Option<f64> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Some(span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(seconds("PT1M23.5S"), Some(83.5));
        assert_eq!(seconds("later"), None);
    }

    #[test]
    fn the_deepest_error_of_a_failed_deployment_is_told() {
        let deployment = json!({"properties": {"error": {"code": "DeploymentFailed", "message": "see", "details": [{"code": "Conflict", "message": "m"}]}}});
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        let operations = [
            json!({"properties": {"targetResource": {"id": id}, "statusMessage":
            {"status": "Failed", "error": {"code": "ResourceDeploymentFailure", "message": "x", "details": [
                {"code": "BadRequest", "message": "y", "details": [{"code": "QuotaExceeded", "message": "2 of 2 used"}]}]}}}}),
        ];
        let failure = why_failed(&deployment, &operations);
        assert_eq!(failure.deepest().unwrap().code, "QuotaExceeded");
        assert!(
            failure
                .to_string()
                .starts_with("could not make the cluster c: 2 of 2 used"),
            "{failure}"
        );
    }
}
