//! Roles, who has them, and locks.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::faults::Fault;
use super::guard;
use super::ids;
use super::kinds::Put;
use super::world::World;

/// Built-in roles: id, name, actions, and what is not among them.
const ROLES: &[(&str, &str, &[&str], &[&str])] = &[
    ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", &["*"], &[]),
    (
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Contributor",
        &["*"],
        NOT_OF_CONTRIBUTORS,
    ),
    (
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "Reader",
        &["*/read"],
        &[],
    ),
    (
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "User Access Administrator",
        &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        &[],
    ),
    (
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Role Based Access Control Administrator",
        &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
        ],
        &[],
    ),
    (
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "AcrPull",
        &["Microsoft.ContainerRegistry/registries/pull/read"],
        &[],
    ),
    (
        "8311e382-0749-4cb8-b61a-304f252e45ec",
        "AcrPush",
        &[
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ],
        &[],
    ),
    (
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
        &["Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action"],
        &[],
    ),
    (
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "Azure Kubernetes Service Cluster User Role",
        &["Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"],
        &[],
    ),
    (
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "Network Contributor",
        &["Microsoft.Network/*"],
        &[],
    ),
    (
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        &["Microsoft.ManagedIdentity/userAssignedIdentities/*/read"],
        &[],
    ),
    (
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        "Storage Account Contributor",
        &["Microsoft.Storage/storageAccounts/*"],
        &[],
    ),
];

/// What a contributor may not.
const NOT_OF_CONTRIBUTORS: &[&str] = &[
    "Microsoft.Authorization/*/Delete",
    "Microsoft.Authorization/*/Write",
    "Microsoft.Authorization/elevateAccess/Action",
];

fn role(world: &World, scope: &str, at: usize) -> Value {
    let (id, name, actions, not) = ROLES[at];
    let scope = if ids::is_below(scope, &subscription(world)) {
        subscription(world)
    } else {
        String::new()
    };
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}"),
        "name": id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": name,
            "type": "BuiltInRole",
            "description": name,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": actions, "notActions": not, "dataActions": [], "notDataActions": [],
            }],
        },
    })
}

fn subscription(world: &World) -> String {
    format!("/subscriptions/{}", world.account.subscription)
}

/// `GET {scope}/…/roleDefinitions`, all or those of a name.
pub fn roles(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let filter = super::resources::Filter::parse(call.query("$filter"))?;
    let wanted = filter.value("roleName");
    let found = (0..ROLES.len())
        .filter(|it| wanted.is_none_or(|name| ROLES[*it].1.eq_ignore_ascii_case(name)));
    let found = found.map(|it| role(world, call.arg("scope"), it)).collect();
    Ok(Answer::list(found))
}

/// `GET {scope}/…/roleDefinitions/{role}`
pub fn get_role(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = call.arg("role");
    let found = ROLES.iter().position(|it| it.0.eq_ignore_ascii_case(id));
    let found = found.ok_or_else(|| no_role(id))?;
    Ok(Answer::ok(role(world, call.arg("scope"), found)))
}

fn no_role(id: &str) -> ArmError {
    let message = format!(
        "The specified role definition with ID '{}' does not exist.",
        id.replace('-', "")
    );
    ArmError::not_found("RoleDefinitionDoesNotExist", message)
}

/// Gives somebody a role at the scope that the id names.
///
/// # Errors
/// When the caller may not, the role or the principal is not there, the same
/// principal has the role there by another name, or the name has another.
pub fn put_assignment(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let scope = ids::scope(id).to_owned();
    may_assign(world, "write", &scope)?;
    if ids::name(id).len() != 36 {
        return Err(ArmError::bad(
            "InvalidRoleAssignmentId",
            format!(
                "The role assignment ID '{}' is not valid. The role assignment ID must be a GUID.",
                ids::name(id)
            ),
        ));
    }
    let asked = &body["properties"];
    let text =
        |field: &str| {
            asked[field].as_str().filter(|it| !it.is_empty()).ok_or_else(|| ArmError::bad(
            "InvalidCreateRoleAssignmentRequest",
            format!("The request to create role assignment is not valid: '{field}' is missing."),
        ))
        };
    let (definition, principal) = (text("roleDefinitionId")?, text("principalId")?);
    if !ROLES
        .iter()
        .any(|it| it.0.eq_ignore_ascii_case(ids::name(definition)))
    {
        return Err(no_role(ids::name(definition)));
    }
    let kind = asked["principalType"].as_str();
    if kind != Some("ServicePrincipal") && !world.is_principal(principal) {
        let message = format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
            principal.replace('-', ""),
            world.account.tenant
        );
        return Err(ArmError::bad("PrincipalNotFound", message));
    }
    let same = |it: &Value| {
        let has = it["roleDefinitionId"].as_str().unwrap_or_default();
        it["principalId"] == principal && ids::name(has).eq_ignore_ascii_case(ids::name(definition))
    };
    if let Some(there) = world.get(id) {
        if same(&there.body["properties"]) {
            return Ok(Put {
                created: false,
                operation: None,
            });
        }
        return Err(ArmError::bad(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    check_no_other(world, &scope, same)?;
    let made = json!({
        "id": id,
        "name": ids::name(id),
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition,
            "principalId": principal,
            "principalType": kind.unwrap_or("ServicePrincipal"),
            "scope": scope,
            "condition": null,
            "conditionVersion": null,
            "createdOn": world.now.to_string(),
            "updatedOn": world.now.to_string(),
            "createdBy": world.account.principal,
            "updatedBy": world.account.principal,
            "description": asked["description"],
        },
    });
    world.put(id, made);
    Ok(Put {
        created: true,
        operation: None,
    })
}

/// Refuses a second assignment of the same role to the same principal.
fn check_no_other(
    world: &World,
    scope: &str,
    same: impl Fn(&Value) -> bool,
) -> Result<(), ArmError> {
    let mut there = world.of_kind("Microsoft.Authorization/roleAssignments", scope);
    let other = there
        .find(|it| ids::key(ids::scope(&it.id)) == ids::key(scope) && same(&it.body["properties"]));
    other.map_or(Ok(()), |other| {
        let message = format!(
            "The role assignment already exists. The ID of the conflicting role assignment is {}.",
            ids::name(&other.id).replace('-', "")
        );
        Err(ArmError::conflict("RoleAssignmentExists", message))
    })
}

/// Refuses changes of roles to those who may not make them.
fn may_assign(world: &World, what: &str, scope: &str) -> Result<(), ArmError> {
    if !world.has(Fault::Denied) {
        return Ok(());
    }
    let account = &world.account;
    Err(ArmError::forbidden(
        "AuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' does not have authorization to perform action 'Microsoft.Authorization/roleAssignments/{what}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            account.client, account.principal
        ),
    ))
}

/// `GET {scope}/…/roleAssignments`: at the scope and below it, and above it
/// unless only what is exactly there is asked for.
pub fn assignments(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.arg("scope");
    let filter = call.query("$filter");
    let here_only = filter.contains("atScope()");
    let of = |word: &str| filter.split_once(word).map(|it| it.1.trim_start());
    let principal = of("principalId eq").or_else(|| of("assignedTo("));
    let principal = principal.map(|it| {
        it.trim_start_matches('\'')
            .chars()
            .take_while(|it| *it != '\'')
            .collect::<String>()
    });
    let fits = |it: &&super::resources::Resource| {
        let place = ids::scope(&it.id);
        let near = ids::is_below(scope, place) || (!here_only && ids::is_below(place, scope));
        near && principal
            .as_ref()
            .is_none_or(|who| it.body["properties"]["principalId"] == who.as_str())
    };
    let all = world.of_kind("Microsoft.Authorization/roleAssignments", "/");
    Ok(Answer::list(
        all.filter(fits).map(|it| it.body.clone()).collect(),
    ))
}

/// `DELETE` of a role assignment.
pub fn delete_assignment(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    may_assign(world, "delete", call.arg("scope"))?;
    guard::delete(world, &call.path)?;
    let Some(there) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let (id, body) = (there.id.clone(), there.body.clone());
    world.remove_below(&id);
    guard::record(world, &id, "delete", None);
    Ok(Answer::ok(body))
}

/// Locks what the id is about.
///
/// # Errors
/// When it says no level that there is.
pub fn put_lock(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let asked = &body["properties"];
    let level = asked["level"].as_str().unwrap_or_default();
    if !["CanNotDelete", "ReadOnly"].contains(&level) {
        return Err(ArmError::bad(
            "LockLevelInvalid",
            format!(
                "The lock level '{level}' is not valid. Allowed values are 'CanNotDelete, ReadOnly'."
            ),
        ));
    }
    let created = world.get(id).is_none();
    let made = json!({
        "id": id,
        "name": ids::name(id),
        "type": "Microsoft.Authorization/locks",
        "properties": {"level": level, "notes": asked["notes"]},
    });
    world.put(id, made);
    Ok(Put {
        created,
        operation: None,
    })
}

/// `GET {scope}/…/locks`: at the scope and below it.
pub fn locks(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let here_only = call.query("$filter").contains("atScope()");
    let scope = call.arg("scope");
    let all = world.of_kind("Microsoft.Authorization/locks", scope);
    let all = all.filter(|it| !here_only || ids::key(ids::scope(&it.id)) == ids::key(scope));
    Ok(Answer::list(all.map(|it| it.body.clone()).collect()))
}

/// `DELETE` of a lock.
pub fn delete_lock(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    if world.get(&call.path).is_none() {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    world.remove_below(&call.path);
    guard::record(world, &call.path, "delete", None);
    Ok(Answer::empty(StatusCode::OK))
}

/// `GET {scope}/…/permissions`: what the caller may do.
pub fn permissions(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let not = if world.has(Fault::Denied) {
        NOT_OF_CONTRIBUTORS
    } else {
        &[]
    };
    Ok(Answer::list(vec![json!({
        "actions": ["*"], "notActions": not, "dataActions": [], "notDataActions": [],
    })]))
}
