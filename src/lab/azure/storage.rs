//! Storage accounts, their keys and their file shares.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::account;
use super::answer::{Answer, ArmError};
use super::call::{self, Call};
use super::faults::Fault;
use super::groups;
use super::guard;
use super::ids;
use super::kinds::{self, Put};
use super::lro::{Effect, Plan};
use super::resources::page;
use super::world::World;
use crate::lab::shares;

/// Type of an account.
pub const ACCOUNT: &str = "Microsoft.Storage/storageAccounts";
/// Type of a share.
pub const SHARE: &str = "Microsoft.Storage/storageAccounts/fileServices/shares";
/// How long an account takes to be there, in seconds.
const CREATING: f64 = 17.0;
/// How long the name of a deleted share is not to be had, in seconds.
const SHARE_GOES: f64 = 30.0;
/// Accounts that a region gives to a subscription.
const ACCOUNTS: usize = 250;

/// Creates an account, or changes the one that is there.
///
/// # Errors
/// When the name is not right or not free, or what must be said is not.
pub fn put(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let name = ids::name(id);
    let (fine, why) = check_name(world, name, Some(id));
    if !fine {
        return Err(if why.0 == "AccountNameInvalid" {
            ArmError::bad(why.0, why.1)
        } else {
            ArmError::conflict(why.0, why.1)
        });
    }
    call::require(body, &["sku", "kind"])?;
    call::require(&body["sku"], &["name"])?;
    let location = groups::location(body, ACCOUNT)?;
    kinds::check_location(world, id, location)?;
    if let Some(there) = world.get(id) {
        let mut changed = there.body.clone();
        change(&mut changed, body);
        world.put(id, changed);
        return Ok(Put {
            created: false,
            operation: None,
        });
    }
    let mut made = kinds::body(id, location, body, properties(world, name, location));
    change(&mut made, body);
    let keys = json!([key(), key()]);
    let secret = json!({"keys": keys, "created": world.now.to_string()});
    world.put(id, made).secret = secret;
    let plan = Plan {
        seconds: CREATING,
        effects: vec![Effect::Provisioned(id.to_owned())],
        ..Plan::default()
    };
    let operation = world.begin(id, plan);
    Ok(Put {
        created: true,
        operation: Some(operation),
    })
}

fn change(account: &mut Value, asked: &Value) {
    for field in ["sku", "kind", "identity"] {
        if !asked[field].is_null() {
            account[field] = asked[field].clone();
        }
    }
    let sku = asked["sku"]["name"].as_str();
    if let Some(sku) = sku {
        let tier = sku.split('_').next().unwrap_or_default();
        account["sku"]["tier"] = json!(tier.trim_end_matches("V2"));
    }
    if asked["tags"].is_object() {
        account["tags"] = asked["tags"].clone();
    }
    kinds::merge(&mut account["properties"], &asked["properties"]);
}

fn properties(world: &World, name: &str, location: &str) -> Value {
    let base = &world.setting.base;
    let at = |service: &str| format!("{base}/storage/{name}/{service}/");
    let service =
        json!({"keyType": "Account", "enabled": true, "lastEnabledTime": world.now.to_string()});
    json!({
        "provisioningState": "Creating",
        "creationTime": world.now.to_string(),
        "keyCreationTime": {"key1": world.now.to_string(), "key2": world.now.to_string()},
        "primaryLocation": location,
        "statusOfPrimary": "available",
        "primaryEndpoints": {
            "blob": at("blob"), "file": at("file"), "queue": at("queue"), "table": at("table"),
        },
        "supportsHttpsTrafficOnly": true,
        "minimumTlsVersion": "TLS1_0",
        "allowBlobPublicAccess": false,
        "accessTier": "Hot",
        "privateEndpointConnections": [],
        "networkAcls": {
            "bypass": "AzureServices", "defaultAction": "Allow",
            "ipRules": [], "ipv6Rules": [], "virtualNetworkRules": [],
        },
        "encryption": {
            "keySource": "Microsoft.Storage",
            "services": {"blob": service, "file": service},
        },
    })
}

/// A key: 64 random bytes.
fn key() -> String {
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(64)
        .collect();
    BASE64_STANDARD.encode(bytes)
}

/// Whether a name can be an account's, and else the code and the reason. The
/// account `own` may have it.
fn check_name(world: &World, name: &str, own: Option<&str>) -> (bool, (&'static str, String)) {
    let fine = name
        .bytes()
        .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    if !fine || !(3..=24).contains(&name.len()) {
        let why = format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
        );
        return (false, ("AccountNameInvalid", why));
    }
    let mut all = world.of_kind(ACCOUNT, "/");
    let there = all.find(|it| ids::name(&it.id).eq_ignore_ascii_case(name));
    match (there, own) {
        (Some(there), Some(own)) if ids::key(&there.id) == ids::key(own) => {}
        (Some(_), Some(_)) => {
            let why = format!(
                "The account {name} is already in another resource group in this subscription."
            );
            return (false, ("StorageAccountInAnotherResourceGroup", why));
        }
        (Some(_), None) => return (false, taken(name)),
        (None, _) if world.has(Fault::Name) => return (false, taken(name)),
        (None, _) => {}
    }
    (true, ("", String::new()))
}

fn taken(name: &str) -> (&'static str, String) {
    let why = format!("The storage account named {name} is already taken.");
    ("StorageAccountAlreadyTaken", why)
}

/// `POST …/checkNameAvailability`
pub fn name(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    call::require(call.object()?, &["name", "type"])?;
    let name = call.body["name"].as_str().unwrap_or_default();
    let (free, (code, why)) = check_name(world, name, None);
    Ok(Answer::ok(if free {
        json!({"nameAvailable": true})
    } else {
        let reason = if code == "AccountNameInvalid" {
            code
        } else {
            "AlreadyExists"
        };
        json!({"nameAvailable": false, "reason": reason, "message": why})
    }))
}

/// `PUT` of an account: *202* and where to follow it, or *200*; never *201*.
pub fn put_call(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = call.path.trim_end_matches('/');
    let put = kinds::put(world, id, call.object()?)?;
    let account = world.need(id)?.body.clone();
    let Some(operation) = put.operation else {
        return Ok(Answer::ok(account));
    };
    world.set_result(&operation, account);
    let location = kinds::result_url(world, id, &operation, call.query("api-version"));
    Ok(Answer::empty(StatusCode::ACCEPTED)
        .with(
            "location",
            location.replace("/operationresults/", "/asyncoperations/"),
        )
        .with("retry-after", world.retry_after(CREATING)))
}

/// `PATCH` of an account.
pub fn patch(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    guard::write(world, &call.path, &call.body)?;
    let mut account = world.need(&call.path)?.body.clone();
    change(&mut account, call.object()?);
    world.put(&call.path, account.clone());
    Ok(Answer::ok(account))
}

/// `DELETE` of an account, with what its shares hold.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Some(there) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = there.id.clone();
    guard::delete(world, &id)?;
    world.remove_below(&id);
    guard::record(world, &id, "delete", None);
    Ok(Answer::empty(StatusCode::OK))
}

/// `GET` of all accounts of a subscription or a group.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.path.split("/providers/").next().unwrap_or_default();
    let all = world.of_kind(ACCOUNT, scope);
    Ok(page(call, all.map(|it| it.body.clone()).collect()))
}

/// `POST …/listKeys` and `…/regenerateKey`
pub fn keys(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let (id, what) = call.split();
    let account = world.need(id)?;
    if account.body["properties"]["provisioningState"] != "Succeeded" {
        return Err(ArmError::conflict(
            "StorageAccountIsNotProvisioned",
            "The storage account provisioning state must be 'Succeeded' before executing the operation.",
        ));
    }
    let mut secret = account.secret.clone();
    if what.eq_ignore_ascii_case("regenerateKey") {
        let wanted = call.object()?["keyName"].as_str().unwrap_or_default();
        let Some(at) = ["key1", "key2"].iter().position(|it| *it == wanted) else {
            let message = "Values for request parameters are invalid: keyName.";
            return Err(ArmError::bad("InvalidValuesForRequestParameters", message));
        };
        secret["keys"][at] = json!(key());
        if let Some(account) = world.get_mut(id) {
            account.secret = secret.clone();
        }
        guard::record(world, id, "regenerateKey/action", None);
    }
    let keys = ["key1", "key2"]
        .iter()
        .zip(secret["keys"].as_array().into_iter().flatten());
    let keys: Vec<Value> = keys
        .map(|(name, value)| json!({
            "keyName": name, "value": value, "permissions": "FULL", "creationTime": secret["created"],
        }))
        .collect();
    Ok(Answer::ok(json!({"keys": keys})))
}

/// `GET …/locations/{location}/usages`
pub fn usages(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let location = account::region(call.arg("location")).unwrap_or_default();
    let all = world.of_kind(ACCOUNT, "/");
    let count = all.filter(|it| it.body["location"] == location).count();
    Ok(Answer::list(vec![json!({
        "unit": "Count", "currentValue": count, "limit": ACCOUNTS,
        "name": {"value": "StorageAccounts", "localizedValue": "Storage Accounts"},
    })]))
}

/// The account that a share or a service is in.
fn parent(id: &str) -> &str {
    id.to_ascii_lowercase()
        .find("/fileservices")
        .map_or(id, |at| &id[..at])
}

/// `GET …/fileServices/default`: there is one, always.
pub fn service(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    world.need(parent(&call.path))?;
    Ok(Answer::ok(service_of(
        world,
        call.path.trim_end_matches('/'),
    )))
}

fn service_of(world: &World, id: &str) -> Value {
    let there = world.get(id).map(|it| it.body.clone());
    there.unwrap_or_else(|| {
        json!({
            "id": id,
            "name": "default",
            "type": "Microsoft.Storage/storageAccounts/fileServices",
            "properties": {"shareDeleteRetentionPolicy": {"enabled": true, "days": 7}},
        })
    })
}

/// Changes how an account serves files.
///
/// # Errors
/// When the account is not there.
pub fn put_service(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    world.need(parent(id))?;
    let mut service = service_of(world, id);
    kinds::merge(&mut service["properties"], &body["properties"]);
    world.put(id, service);
    Ok(Put {
        created: false,
        operation: None,
    })
}

/// Creates a share, or changes the one that is there.
///
/// # Errors
/// When the account is not there or not ready, the name or the quota is not
/// right, or a share of the name is still going.
pub fn put_share(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let account = world.need(parent(id))?;
    if account.body["properties"]["provisioningState"] != "Succeeded" {
        return Err(ArmError::conflict(
            "StorageAccountIsNotProvisioned",
            "The storage account provisioning state must be 'Succeeded' before executing the operation.",
        ));
    }
    check_not_going(world, id)?;
    let name = ids::name(id);
    let fine = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    if !(3..=63).contains(&name.len())
        || !name.bytes().all(fine)
        || name.starts_with('-')
        || name.ends_with('-')
        || name.contains("--")
    {
        return Err(ArmError::bad(
            "InvalidResourceName",
            format!("The specified resource name '{name}' contains invalid characters."),
        ));
    }
    let asked = &body["properties"];
    let quota = asked["shareQuota"].as_u64();
    if quota.is_some_and(|it| !(1..=102_400).contains(&it)) {
        let message = "Values for request parameters are invalid: shareQuota.";
        return Err(ArmError::bad("InvalidValuesForRequestParameters", message));
    }
    if let Some(there) = world.get(id) {
        let mut changed = there.body.clone();
        kinds::merge(&mut changed["properties"], asked);
        world.put(id, changed);
        return Ok(Put {
            created: false,
            operation: None,
        });
    }
    let mut properties = json!({
        "shareQuota": 5120, "enabledProtocols": "SMB", "accessTier": "TransactionOptimized",
        "leaseStatus": "unlocked", "leaseState": "available",
        "lastModifiedTime": world.now.to_string(),
    });
    kinds::merge(&mut properties, asked);
    let made = json!({
        "id": id, "name": name, "type": SHARE,
        "etag": format!("\"0x{:X}\"", fastrand::u64(..)),
        "properties": properties,
    });
    world.put(id, made);
    Ok(Put {
        created: true,
        operation: None,
    })
}

/// Refuses what is asked of a share that is going.
fn check_not_going(world: &World, id: &str) -> Result<(), ArmError> {
    let gone = world.going.get(&ids::key(id));
    if gone.is_none_or(|until| *until <= world.now) {
        return Ok(());
    }
    Err(ArmError::conflict(
        "ShareBeingDeleted",
        "The specified share is being deleted. Try operation later.",
    ))
}

/// `GET …/shares/{share}`, with how much is in it if that is asked for.
pub fn share(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let share = world.get(&call.path).ok_or_else(|| {
        ArmError::not_found("ShareNotFound", "The specified share does not exist.")
    })?;
    if call.method == Method::HEAD {
        return Ok(Answer::empty(StatusCode::OK));
    }
    let mut body = share.body.clone();
    if call.query("$expand").eq_ignore_ascii_case("stats") {
        let used = directory(world, &share.id).map_or(0, |it| size(&it));
        body["properties"]["shareUsageBytes"] = json!(used);
    }
    Ok(Answer::ok(body))
}

/// `PATCH` of a share.
pub fn patch_share(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    world.need(&call.path)?;
    kinds::put(world, &call.path, call.object()?)?;
    share(world, call)
}

/// `GET …/shares`
pub fn shares(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let account = parent(&call.path);
    world.need(account)?;
    let all = world.of_kind(SHARE, account);
    Ok(page(call, all.map(|it| it.body.clone()).collect()))
}

/// `DELETE` of a share, with what it holds. Its name is not to be had for a
/// while.
pub fn delete_share(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    check_not_going(world, &call.path)?;
    let Some(there) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = there.id.clone();
    guard::delete(world, &id)?;
    let until = world.due(SHARE_GOES);
    world.going.retain(|_, it| *it > Timestamp::now());
    world.going.insert(ids::key(&id), until);
    world.remove_below(&id);
    guard::record(world, &id, "delete", None);
    Ok(Answer::empty(StatusCode::OK))
}

/// A share is gone: so is what it held in the lab.
pub fn forget(world: &World, id: &str) {
    if ids::kind(id) != SHARE {
        return;
    }
    let source = json!({"azureFile": {"shareName": ids::name(id)}});
    if let Some(shares) = &world.setting.shares
        && let Err(error) = shares::remove(shares, &source)
    {
        tracing::warn!("the share {} cannot be emptied: {error}", ids::name(id));
    }
}

/// Where the lab keeps what a share holds.
pub fn directory(world: &World, id: &str) -> Option<std::path::PathBuf> {
    let source = json!({"azureFile": {"shareName": ids::name(id)}});
    Some(
        world
            .setting
            .shares
            .as_ref()?
            .join(shares::directory(&source)?),
    )
}

/// Bytes in a directory and below it.
fn size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}
