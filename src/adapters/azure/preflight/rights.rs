//! What the caller may do.

use serde_json::Value;

use super::{There, check as verdict_of, doubt};
use crate::{
    adapters::azure::{
        api::{self, Paths},
        client::{Call, Client},
    },
    core::azure::{
        plan::{Check, Verdict},
        settings::Settings,
    },
};

/// Whether the caller may do what is to be done.
pub(super) async fn check(
    client: &Client,
    paths: &Paths,
    settings: &Settings,
    there: &There,
) -> Check {
    const NAME: &str = "permissions";
    let scope = if there.group.is_some() {
        paths.group()
    } else {
        paths.subscription()
    };
    let call = Call::get(
        "read the permissions",
        format!("{scope}/providers/Microsoft.Authorization/permissions"),
        api::ROLES,
    );
    let permissions = match client.list(&call).await {
        Ok(permissions) => permissions,
        Err(failure) => return doubt(NAME, &failure),
    };
    let mut needed = vec![
        "Microsoft.Resources/deployments/write",
        "Microsoft.Storage/storageAccounts/write",
        "Microsoft.Storage/storageAccounts/listKeys/action",
        "Microsoft.ContainerService/managedClusters/write",
    ];
    if there.group.is_none() {
        needed.push("Microsoft.Resources/subscriptions/resourceGroups/write");
    }
    if !settings.registry.name.is_empty() {
        needed.extend([
            "Microsoft.ContainerRegistry/registries/write",
            "Microsoft.Authorization/roleAssignments/write",
        ]);
    }
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|action| !allowed(&permissions, action))
        .collect();
    if missing.is_empty() {
        return verdict_of(NAME, Verdict::Fine, "everything that is needed is allowed");
    }
    verdict_of(
        NAME,
        Verdict::Stop,
        format!(
            "not allowed: {}; ask for Contributor, and User Access Administrator for role assignments",
            missing.join(", ")
        ),
    )
}

/// Whether one of the caller's roles allows `action`.
fn allowed(permissions: &[Value], action: &str) -> bool {
    let any = |permission: &Value, key: &str| {
        permission[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|pattern| matches(pattern, action))
    };
    permissions
        .iter()
        .any(|permission| any(permission, "actions") && !any(permission, "notActions"))
}

/// Whether `action` fits a role's pattern, in which `*` is anything.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_read_as_azure_reads_them() {
        assert!(matches("*", "Microsoft.Resources/deployments/write"));
        assert!(matches(
            "Microsoft.Resources/*",
            "microsoft.resources/deployments/write"
        ));
        assert!(matches("*/write", "Microsoft.Resources/deployments/write"));
        assert!(!matches("*/read", "Microsoft.Resources/deployments/write"));
        assert!(!matches(
            "Microsoft.Authorization/*/Write",
            "Microsoft.Resources/deployments/write"
        ));
        let contributor =
            [json!({"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]})];
        assert!(allowed(
            &contributor,
            "Microsoft.Storage/storageAccounts/write"
        ));
        assert!(!allowed(
            &contributor,
            "Microsoft.Authorization/roleAssignments/write"
        ));
        let both = [
            contributor[0].clone(),
            json!({"actions": ["Microsoft.Authorization/*"], "notActions": []}),
        ];
        assert!(allowed(
            &both,
            "Microsoft.Authorization/roleAssignments/write"
        ));
    }
}
