//! Container registries and their quick builds.
//!
//! A build is not made: the lab has its images ([`crate::lab::kubelet`] says
//! which). But everything around it is: the source is uploaded, unpacked and
//! looked through, the steps of its `Dockerfile` are told as they pass, and a
//! source without one fails as it does in Azure.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::StatusCode;
use ring::digest;
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::blobs;
use super::call::{self, Call};
use super::faults::Fault;
use super::groups;
use super::guard;
use super::ids;
use super::kinds::{self, Put};
use super::lro::{Effect, Plan};
use super::resources::page;
use super::world::World;
use crate::lab::store::new_uid;

/// Type of a registry.
pub const REGISTRY: &str = "Microsoft.ContainerRegistry/registries";
/// Type of a run of a build.
pub const RUN: &str = "Microsoft.ContainerRegistry/registries/runs";
/// How long a registry takes to be there, and to go, in seconds.
const CREATING: f64 = 12.0;
const DELETING: f64 = 10.0;
/// How long a build waits, and how long each step takes.
const QUEUED: f64 = 4.0;
const STEP: f64 = 4.0;

/// Creates a registry, or changes the one that is there.
///
/// # Errors
/// When its name is not right or taken, or what must be said is not.
pub fn put(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let name = ids::name(id);
    let location = groups::location(body, REGISTRY)?;
    kinds::check_location(world, id, location)?;
    if let Some((reason, why)) = name_refusal(world, name, Some(id)) {
        return Err(if reason == "AlreadyExists" {
            ArmError::conflict("AlreadyInUse", why)
        } else {
            ArmError::bad("RegistryNameInvalid", why)
        });
    }
    let sku = body["sku"]["name"].as_str().unwrap_or_default();
    if !["Basic", "Standard", "Premium"].contains(&sku) {
        return Err(ArmError::bad(
            "InvalidSku",
            format!(
                "The SKU '{sku}' of the registry is not valid. Allowed are Basic, Standard and Premium."
            ),
        ));
    }
    let there = world.get(id).map(|it| it.body.clone());
    let created = there.is_none();
    let mut made = there.unwrap_or_else(|| {
        kinds::body(
            id,
            location,
            body,
            json!({
                "loginServer": format!("{}.azurecr.io", name.to_ascii_lowercase()),
                "creationDate": world.now.to_string(),
                "provisioningState": "Creating",
                "adminUserEnabled": false,
                "anonymousPullEnabled": false,
                "publicNetworkAccess": "Enabled",
                "networkRuleBypassOptions": "AzureServices",
                "zoneRedundancy": "Disabled",
                "roleAssignmentMode": "LegacyRegistryPermissions",
                "policies": {
                    "quarantinePolicy": {"status": "disabled"},
                    "trustPolicy": {"type": "Notary", "status": "disabled"},
                    "retentionPolicy": {"days": 7, "status": "disabled"},
                },
            }),
        )
    });
    if body["tags"].is_object() {
        made["tags"] = body["tags"].clone();
    }
    made["sku"] = json!({"name": sku, "tier": sku});
    let mut asked = body["properties"].clone();
    if let Some(asked) = asked.as_object_mut() {
        asked.remove("provisioningState");
        asked.remove("loginServer");
    }
    kinds::merge(&mut made["properties"], &asked);
    world.put(id, made);
    if !created {
        return Ok(Put {
            created,
            operation: None,
        });
    }
    if let Some(registry) = world.get_mut(id) {
        registry.secret = json!({"passwords": [password(), password()], "images": []});
    }
    let plan = Plan {
        seconds: CREATING,
        effects: vec![Effect::Provisioned(id.to_owned())],
        ..Plan::default()
    };
    let operation = world.begin(id, plan);
    Ok(Put {
        created,
        operation: Some(operation),
    })
}

fn password() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(52)
        .collect()
}

/// Why a name cannot be a registry's; none if it can. The registry `own` may
/// have it.
fn name_refusal(world: &World, name: &str, own: Option<&str>) -> Option<(&'static str, String)> {
    if !(5..=50).contains(&name.len()) || !name.chars().all(|it| it.is_ascii_alphanumeric()) {
        let why = format!(
            "The registry name '{name}' is invalid: it must have 5 to 50 letters and digits."
        );
        return Some(("Invalid", why));
    }
    let mut all = world.of_kind(REGISTRY, "/");
    let there = all.find(|it| ids::name(&it.id).eq_ignore_ascii_case(name));
    let is_own = there
        .zip(own)
        .is_some_and(|(it, own)| ids::key(&it.id) == ids::key(own));
    let taken = there.map_or(world.has(Fault::Name), |_| !is_own);
    taken.then(|| ("AlreadyExists", format!("The registry DNS name {}.azurecr.io is already in use. You can check if the name is already claimed using following API: https://docs.microsoft.com/rest/api/containerregistry/registries/checknameavailability", name.to_ascii_lowercase())))
}

/// `POST …/checkNameAvailability`
pub fn name(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    call::require(call.object()?, &["name", "type"])?;
    let name = call.body["name"].as_str().unwrap_or_default();
    Ok(Answer::ok(match name_refusal(world, name, None) {
        None => json!({"nameAvailable": true}),
        Some((reason, why)) => json!({"nameAvailable": false, "reason": reason, "message": why}),
    }))
}

/// `GET` of all registries of a subscription or a group.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.path.split("/providers/").next().unwrap_or_default();
    let all = world.of_kind(REGISTRY, scope).map(|it| it.body.clone());
    Ok(page(call, all.collect()))
}

/// `DELETE` of a registry.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Some(there) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = there.id.clone();
    guard::delete(world, &id)?;
    world.set_state(&id, "Deleting");
    guard::record(world, &id, "delete", None);
    let plan = Plan {
        seconds: DELETING,
        effects: vec![Effect::Removed(id.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    let version = call.query("api-version");
    Ok(Answer::empty(StatusCode::ACCEPTED)
        .with(
            "location",
            kinds::result_url(world, &id, &operation, version),
        )
        .with("retry-after", world.retry_after(DELETING)))
}

/// `POST …/listCredentials`
pub fn credentials(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    let registry = world.need(&id)?;
    if registry.body["properties"]["adminUserEnabled"] != true {
        return Err(ArmError::bad(
            "UnAuthorizedForCredentialOperations",
            format!(
                "Cannot perform credential operations for {id} as admin user is disabled. Kindly enable admin user as per docs: https://docs.microsoft.com/en-us/azure/container-registry/container-registry-authentication#admin-account"
            ),
        ));
    }
    let passwords = &registry.secret["passwords"];
    Ok(Answer::ok(json!({
        "username": ids::name(&id),
        "passwords": [
            {"name": "password", "value": passwords[0]}, {"name": "password2", "value": passwords[1]},
        ],
    })))
}

/// Refuses builds where the subscription may not have any.
fn check_tasks(world: &World, id: &str) -> Result<(), ArmError> {
    if !world.has(Fault::Build) {
        return Ok(());
    }
    Err(ArmError::bad(
        "TasksOperationsNotAllowed",
        format!(
            "ACR Tasks requests for the registry {} and {} are not permitted. Please file an Azure support request at http://aka.ms/azuresupport for assistance.",
            ids::name(id),
            world.account.subscription
        ),
    ))
}

/// `POST …/listBuildSourceUploadUrl`
pub fn upload_url(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    check_tasks(world, &id)?;
    let path = format!(
        "source/{}/{}.tar.gz",
        world.now.strftime("%Y%m%d%H%M"),
        new_uid()
    );
    let url = blobs::signed(world, &call.base, &format!("/blobs/{path}"));
    Ok(Answer::ok(json!({"uploadUrl": url, "relativePath": path})))
}

/// `POST …/scheduleRun`
pub fn schedule(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    check_tasks(world, &id)?;
    let asked = call.object()?.clone();
    if asked["type"] != "DockerBuildRequest" {
        return Err(ArmError::bad(
            "InvalidRunRequest",
            "The lab runs builds only: 'type' must be DockerBuildRequest.",
        ));
    }
    for field in ["dockerFilePath", "platform"] {
        if asked[field].is_null() {
            let message = format!("The value of '{field}' of the run request is missing.");
            return Err(ArmError::bad("InvalidRunRequest", message));
        }
    }
    let number = world.of_kind(RUN, &id).count() + 1;
    let name = format!("ca{number}");
    let run = format!("{id}/runs/{name}");
    let source = asked["sourceLocation"].as_str().unwrap_or_default();
    let context = blobs::read(world, source);
    let built = build(&asked, context.as_deref());
    let seconds = QUEUED + STEP * built.lines.len() as f64;
    let made = json!({
        "id": run, "name": name, "type": RUN,
        "properties": {
            "runId": name, "status": "Queued", "runType": "QuickRun", "isArchiveEnabled": false,
            "createTime": world.now.to_string(), "lastUpdatedTime": world.now.to_string(),
            "platform": asked["platform"], "agentConfiguration": {"cpu": 2},
            "provisioningState": "Running",
        },
    });
    world.put(&run, made.clone()).secret = json!({
        "begins": world.due(QUEUED), "ends": world.due(seconds), "lines": built.lines,
        "error": built.error, "images": images(world, &id, &asked, context.as_deref()),
    });
    guard::record(world, &id, "scheduleRun/action", None);
    // Nothing is done at its end but to be looked at.
    world.begin(
        &run,
        Plan {
            seconds,
            ..Plan::default()
        },
    );
    Ok(Answer::ok(made))
}

fn images(world: &World, registry: &str, asked: &Value, context: Option<&[u8]>) -> Value {
    if asked["isPushEnabled"] == false {
        return json!([]);
    }
    let login = world
        .get(registry)
        .map(|it| it.body["properties"]["loginServer"].clone());
    let digest = digest::digest(&digest::SHA256, context.unwrap_or_default());
    let digest = hex::encode(digest);
    let names = asked["imageNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    names
        .map(|name| {
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            json!({
                "registry": login, "repository": repository, "tag": tag,
                "digest": format!("sha256:{digest}"),
            })
        })
        .collect()
}

/// What a build says, and why it fails.
struct Built {
    lines: Vec<String>,
    error: Option<String>,
}

fn build(asked: &Value, context: Option<&[u8]>) -> Built {
    let mut lines = vec![
        "Downloading source code...".to_owned(),
        "Finished downloading source code".to_owned(),
        "Using acb_vol_lab as the home volume".to_owned(),
    ];
    let path = asked["dockerFilePath"].as_str().unwrap_or_default();
    let file = match context.map(|it| file_of(it, path)) {
        None => Err(
            "failed to download context: the source that sourceLocation names was not uploaded"
                .to_owned(),
        ),
        Some(Err(error)) => Err(format!("failed to download context: {error}")),
        Some(Ok(None)) => Err(format!(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {path}: no such file or directory"
        )),
        Some(Ok(Some(file))) => Ok(file),
    };
    let error = match file {
        Err(error) => Some(error),
        Ok(file) => {
            let joined = file.replace("\\\n", " ");
            let steps: Vec<&str> = joined
                .lines()
                .map(str::trim)
                .filter(|it| !it.is_empty() && !it.starts_with('#'))
                .collect();
            lines.push("Setting up Docker configuration...".to_owned());
            for (at, step) in steps.iter().enumerate() {
                lines.push(format!("Step {}/{} : {step}", at + 1, steps.len()));
            }
            let from = |it: &&str| it.to_ascii_uppercase().starts_with("FROM ");
            (!steps.iter().any(from))
                .then(|| "dockerfile parse error: no build stage in current context".to_owned())
        }
    };
    match &error {
        Some(error) => lines.push(error.clone()),
        None => {
            let names = asked["imageNames"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            lines.extend(names.map(|it| format!("Successfully tagged {it}")));
        }
    }
    Built { lines, error }
}

/// A file of a context, if it is there.
fn file_of(context: &[u8], path: &str) -> Result<Option<String>, String> {
    /// The most that is unpacked.
    const MOST: u64 = 1 << 30;
    let mut archive = GzDecoder::new(context).take(MOST);
    let wanted = path.trim_start_matches("./");
    let mut head = [0; 512];
    loop {
        match archive.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(()) => {}
        }
        if head[0] == 0 {
            return Ok(None);
        }
        let text = |range: std::ops::Range<usize>| {
            let bytes = &head[range];
            let end = bytes.iter().position(|it| *it == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let (name, prefix) = (text(0..100), text(345..500));
        let name = if prefix.is_empty() || &head[257..262] != b"ustar" {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let size = u64::from_str_radix(text(124..136).trim(), 8)
            .map_err(|_| "it is no tar archive".to_owned())?;
        if size > MOST {
            return Err("it is too large".to_owned());
        }
        let mut content = Vec::new();
        archive
            .by_ref()
            .take(size.div_ceil(512) * 512)
            .read_to_end(&mut content)
            .map_err(|error| error.to_string())?;
        if name.trim_start_matches("./") == wanted {
            content.truncate(size as usize);
            return Ok(Some(String::from_utf8_lossy(&content).into_owned()));
        }
    }
}

/// A run as it is now, and the lines that it has said.
fn now(world: &World, run: &Value, secret: &Value) -> (Value, usize) {
    let at = |field: &str| {
        secret[field]
            .as_str()
            .and_then(|it| it.parse::<jiff::Timestamp>().ok())
    };
    let (begins, ends) = (
        at("begins").unwrap_or(world.now),
        at("ends").unwrap_or(world.now),
    );
    let lines = secret["lines"].as_array().map_or(0, Vec::len);
    let mut run = run.clone();
    let properties = &mut run["properties"];
    if properties["status"] == "Canceled" || world.now < begins {
        return (run, 0);
    }
    properties["startTime"] = json!(begins.to_string());
    properties["lastUpdatedTime"] = json!(world.now.min(ends).to_string());
    if world.now < ends {
        properties["status"] = json!("Running");
        let part = world.now.duration_since(begins).as_secs_f64()
            / ends.duration_since(begins).as_secs_f64();
        return (run, (lines as f64 * part) as usize);
    }
    properties["finishTime"] = json!(ends.to_string());
    properties["provisioningState"] = json!("Succeeded");
    if secret["error"].is_string() {
        properties["status"] = json!("Failed");
        properties["runErrorMessage"] = secret["error"].clone();
    } else {
        properties["status"] = json!("Succeeded");
        properties["outputImages"] = secret["images"].clone();
    }
    (run, lines)
}

/// `GET …/runs/{run}`
pub fn run(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let run = world.need(&call.path)?;
    Ok(Answer::ok(now(world, &run.body, &run.secret).0))
}

/// `GET …/runs`, the newest first.
pub fn runs(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    let mut all: Vec<_> = world.of_kind(RUN, &id).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.created));
    let all = all.into_iter().map(|it| now(world, &it.body, &it.secret).0);
    Ok(page(call, all.collect()))
}

/// `POST …/runs/{run}/listLogSasUrl`
pub fn log_url(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let run = kinds::subject(world, call)?;
    let registry = ids::name(above(&run));
    let path = format!("/blobs/logs/{registry}/{}/rawtext.log", ids::name(&run));
    let url = blobs::signed(world, &call.base, &path);
    Ok(Answer::ok(json!({"logLink": url, "logArtifactLink": ""})))
}

/// The registry that a run is of.
fn above(run: &str) -> &str {
    run.rsplitn(3, '/').nth(2).unwrap_or_default()
}

/// `POST …/runs/{run}/cancel`
pub fn cancel(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    let run = world.need(&id)?;
    let over = ["Succeeded", "Failed", "Canceled"];
    let status = now(world, &run.body, &run.secret).0["properties"]["status"].clone();
    if over.iter().any(|it| status == *it) {
        return Err(ArmError::conflict(
            "RunAlreadyFinished",
            format!("The run '{}' has ended already.", ids::name(&id)),
        ));
    }
    if let Some(run) = world.get_mut(&id) {
        run.body["properties"]["status"] = json!("Canceled");
    }
    guard::record(world, &id, "cancel/action", None);
    Ok(Answer::empty(StatusCode::OK))
}

/// What a run has said, and whether it has said everything; none before it has
/// begun.
pub fn log(world: &World, registry: &str, run: &str) -> Option<(String, bool)> {
    let mut all = world.of_kind(RUN, "/");
    let found = all.find(|it| {
        ids::name(&it.id) == run && ids::name(above(&it.id)).eq_ignore_ascii_case(registry)
    })?;
    let (shown, said) = now(world, &found.body, &found.secret);
    let status = shown["properties"]["status"].as_str().unwrap_or_default();
    if status == "Queued" {
        return None;
    }
    let lines = found.secret["lines"]
        .as_array()
        .into_iter()
        .flatten()
        .take(said);
    let text: String = lines
        .filter_map(Value::as_str)
        .flat_map(|it| [it, "\n"])
        .collect();
    Some((text, status != "Running"))
}
