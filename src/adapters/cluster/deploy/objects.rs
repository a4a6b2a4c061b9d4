//! Single objects of any kind that a deployment has: read, applied, deleted.

use kube::{
    Api, Error,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    adapters::cluster::{
        access::{Session, UNARY},
        failure::{Failure, Kind, quote},
    },
    core::{
        deploy::Conflict,
        workload::{
            Workload,
            manifests::{MANAGED_BY, MANAGER, PART_OF},
        },
    },
};

/// The kinds that a deployment is made of: group and version, kind, plural,
/// whether it lives in a namespace.
const KINDS: [(&str, &str, &str, bool); 6] = [
    ("apps/v1", "Deployment", "deployments", true),
    ("batch/v1", "Job", "jobs", true),
    ("v1", "Service", "services", true),
    (
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        true,
    ),
    ("v1", "PersistentVolume", "persistentvolumes", false),
    ("v1", "Secret", "secrets", true),
];

/// Why an object was not taken.
pub(super) enum Refusal {
    /// Fields belong to others.
    Conflicts(Vec<Conflict>),
    /// Anything else.
    Failed(Failure),
}

/// What of an object is a string.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `Kind name`, as people call it.
pub(super) fn called(object: &Value) -> String {
    format!(
        "{} {}",
        text(object, "/kind"),
        text(object, "/metadata/name")
    )
}

/// The objects of a kind, in the namespace that is watched.
fn api(client: &kube::Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let known = KINDS.iter().find(|known| known.1 == kind);
    let &(api_version, kind, plural, namespaced) = known.unwrap_or(&KINDS[0]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
    };
    if namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

/// The object as JSON, with its kind, which lists leave out.
fn json(kind: &str, object: &DynamicObject) -> Value {
    let mut json = serde_json::to_value(object).unwrap_or_default();
    json["kind"] = kind.into();
    json
}

/// An object as it is; none if it is not there.
pub(super) async fn get(
    session: &Session,
    kind: &str,
    name: &str,
) -> Result<Option<Value>, Failure> {
    let api = api(&session.read, &session.namespace, kind);
    let what = format!("read {kind} `{name}`");
    let found = session.unary(&what, api.get_opt(name)).await?;
    Ok(found.map(|object| json(kind, &object)))
}

/// Whether an object is there, without its content being sent.
pub(super) async fn exists(session: &Session, kind: &str, name: &str) -> Result<bool, Failure> {
    let api = api(&session.read, &session.namespace, kind);
    let what = format!("look for {kind} `{name}`");
    let found = session.unary(&what, api.get_metadata_opt(name)).await?;
    Ok(found.is_some())
}

/// The objects of a kind that are ours, of these workloads.
pub(super) async fn ours(
    session: &Session,
    workloads: &[Workload],
    kind: &str,
) -> Result<Vec<Value>, Failure> {
    let api = api(&session.read, &session.namespace, kind);
    let names: Vec<_> = workloads.iter().map(|it| it.name()).collect();
    let selector = format!("{MANAGED_BY}={MANAGER},{PART_OF} in ({})", names.join(","));
    let params = ListParams::default().labels(&selector);
    let what = format!("list what is ours of kind {kind}");
    let list = session.unary(&what, api.list(&params)).await?;
    Ok(list.items.iter().map(|object| json(kind, object)).collect())
}

/// Applies an object as ours; with `dry_run` the server only says what would be.
pub(super) async fn apply(
    session: &Session,
    object: &Value,
    force: bool,
    dry_run: bool,
) -> Result<Value, Refusal> {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    let api = api(&session.act, &session.namespace, kind);
    let params = PatchParams {
        dry_run,
        force,
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let request = async { api.patch(name, &params, &Patch::Apply(object)).await };
    let what = format!("apply {kind} `{name}`");
    match timeout(UNARY, request).await {
        Ok(Ok(applied)) => Ok(json(kind, &applied)),
        Ok(Err(error)) => Err(conflicts(object, &error).map_or_else(
            || Refusal::Failed(Failure::of(&what, &session.server, &error)),
            Refusal::Conflicts,
        )),
        Err(_) => Err(Refusal::Failed(Failure::timed_out(&what, &session.server))),
    }
}

/// The fields that belong to others, if that is what the server says.
fn conflicts(object: &Value, error: &Error) -> Option<Vec<Conflict>> {
    let Error::Api(status) = error else {
        return None;
    };
    let causes = &status.details.as_ref()?.causes;
    let conflicts: Vec<_> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // `conflict with "kubectl" using apps/v1`: who is what matters.
            let said = cause.message.strip_prefix("conflict with ");
            Conflict {
                object: called(object),
                field: quote(&cause.field),
                owner: quote(said.unwrap_or(&cause.message)),
            }
        })
        .collect();
    (status.code == 409 && !conflicts.is_empty()).then_some(conflicts)
}

/// Tells an object to go, if it is still the one that was meant. What is gone
/// already is all right.
pub(super) async fn delete(
    session: &Session,
    kind: &str,
    name: &str,
    uid: &str,
) -> Result<(), Failure> {
    let api = api(&session.act, &session.namespace, kind);
    // Whoever waits for a deployment to be gone waits for its pods, too.
    let params = DeleteParams::foreground().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    });
    let what = format!("delete {kind} `{name}`");
    match session.unary(&what, api.delete(name, &params)).await {
        Err(failure) if failure.kind != Kind::NotFound => Err(failure),
        _ => Ok(()),
    }
}
