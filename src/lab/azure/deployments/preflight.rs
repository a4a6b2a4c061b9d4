//! What is looked at before a deployment begins.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::ArmError;
use super::super::guard;
use super::super::ids;
use super::super::providers;
use super::super::routes;
use super::super::world::World;
use super::Deployment;
use super::expand;
use crate::lab::azure::template::Frame;

/// Refuses a deployment that cannot succeed: unknown types and versions,
/// providers that are not registered, policies, locks.
///
/// # Errors
/// The first of these; all that policies forbid at once.
pub fn check(world: &World, deployment: &Deployment) -> Result<(), ArmError> {
    for step in &deployment.steps {
        let (namespace, kind) = (ids::namespace(&step.id), ids::kind(&step.id));
        let kind = kind.split_once('/').map_or("", |it| it.1);
        let versions = routes::types(namespace)
            .into_iter()
            .find(|it| it.0.eq_ignore_ascii_case(kind));
        let asked = step.raw["apiVersion"].as_str().unwrap_or_default();
        let Some((_, versions)) = versions else {
            return Err(ArmError::bad(
                "InvalidTemplateDeployment",
                format!(
                    "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{asked}'."
                ),
            ));
        };
        if !versions.contains(&asked) {
            return Err(ArmError::bad(
                "NoRegisteredProviderFound",
                format!(
                    "No registered resource provider found for location '' and API version '{asked}' for type '{kind}'. The supported api-versions are '{}'.",
                    versions.join(", ")
                ),
            ));
        }
        providers::check(world, namespace)?;
    }
    let refused: Vec<Value> = deployment
        .steps
        .iter()
        .filter_map(|step| {
            let known = deployment.known();
            let (group, name) = super::place(&deployment.id);
            let frame = Frame {
                world,
                group,
                name,
                template: deployment.template(),
                parameters: &deployment.parameters,
                known: &known,
                copies: &step.copies,
                live: false,
            };
            let body = frame.evaluate(&step.raw).ok()?;
            guard::write(world, &step.id, &expand::body(&body)).err()
        })
        .map(|it| it.error)
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let policy = refused
        .iter()
        .any(|it| it["code"] == "RequestDisallowedByPolicy");
    let message = if policy {
        "The template deployment failed because of policy violation. Please see details for more information.".to_owned()
    } else {
        format!(
            "The template deployment '{}' is not valid according to the validation procedure. The tracking id is '{}'. See inner errors for details.",
            ids::name(&deployment.id),
            deployment.operation
        )
    };
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "InvalidTemplateDeployment",
        message,
    )
    .with("details", json!(refused)))
}
