//! What helps against which error of Azure's.

use super::error::Failure;

/// What a person can do about `failure`, where something is known to help.
pub fn of(failure: &Failure) -> Option<String> {
    if failure.status == Some(401) && failure.causes.is_empty() {
        return Some("sign in again".to_owned());
    }
    failure
        .codes()
        .find_map(|code| for_code(code, failure))
        .or_else(|| (failure.status == Some(401)).then(|| "sign in again".to_owned()))
}

fn for_code(code: &str, failure: &Failure) -> Option<String> {
    let target = || {
        failure
            .causes
            .iter()
            .map(|cause| cause.target.as_str())
            .find(|target| target.starts_with("Microsoft."))
            .unwrap_or("the namespace that is named")
            .to_owned()
    };
    let policy = || {
        failure
            .causes
            .iter()
            .map(|cause| cause.policy.as_str())
            .find(|policy| !policy.is_empty())
            .map_or_else(String::new, |policy| format!(" `{policy}`"))
    };
    let text = match code {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "ask for a role that may (Contributor for resources, User Access Administrator for role assignments), \
             then sign in again"
                .to_owned()
        }
        "MissingSubscriptionRegistration" | "NoRegisteredProviderFound" | "MissingRegistrationForLocation" => format!(
            "the subscription has not registered {}: `aks-tui provision --register` does",
            target()
        ),
        "QuotaExceeded" | "ErrCode_InsufficientVCPUQuota" | "ManagedClusterCountExceedsQuotaLimit" => {
            "choose a smaller size, fewer nodes or another region, or ask for more at https://aka.ms/AzureQuota"
                .to_owned()
        }
        "OperationNotAllowed" if says(failure, "quota") => {
            "choose a smaller size, fewer nodes or another region, or ask for more at https://aka.ms/AzureQuota"
                .to_owned()
        }
        "SkuNotAvailable" | "VMSizeNotSupported" => {
            "choose another cluster.vm_size: the plan lists those that the region has for this subscription".to_owned()
        }
        "AksCapacityHeavyUsage" | "AllocationFailed" | "ZonalAllocationFailed" | "OverconstrainedAllocationRequest" => {
            "the region has no room now: try again later, or choose another size or region".to_owned()
        }
        "K8sVersionNotSupported" | "AgentPoolK8sVersionNotSupported" => {
            "leave cluster.kubernetes_version empty for the region's default".to_owned()
        }
        "RequestDisallowedByPolicy" => format!(
            "the policy assignment{} forbids it: whoever owns it can exempt the resource group",
            policy()
        ),
        "RequestDisallowedByAzure" => "this subscription may not use the region: choose another".to_owned(),
        "StorageAccountAlreadyTaken" | "StorageAccountInAnotherResourceGroup" | "StorageAccountAlreadyExists" => {
            "the name is taken: choose another storage.account".to_owned()
        }
        "AlreadyInUse" => "the name is taken: choose another registry.name".to_owned(),
        "InvalidResourceGroupLocation" | "InvalidResourceLocation" => {
            "it exists in another region: name that one in azure.location, or choose another name".to_owned()
        }
        "ScopeLocked" => "a lock forbids it: whoever owns the lock can remove it".to_owned(),
        "DenyAssignmentAuthorizationFailed" => {
            "a deny assignment forbids it: it belongs to whoever manages the resource".to_owned()
        }
        "DeploymentActive" | "DeploymentActiveAndUneditable" | "AnotherOperationInProgress"
        | "ResourceGroupBeingDeleted" | "ShareBeingDeleted" => {
            "something else is being done to it: wait, and run this again".to_owned()
        }
        "DeploymentQuotaExceeded" => "delete old deployments of the resource group".to_owned(),
        "SubscriptionNotFound" | "InvalidSubscriptionId" | "InvalidAuthenticationTokenTenant" => {
            "the sign-in's tenant has no such subscription: check azure.subscription and azure.tenant".to_owned()
        }
        "ExpiredAuthenticationToken" | "InvalidAuthenticationToken" => "sign in again".to_owned(),
        "PublicIPCountLimitReached" => "delete an unused public address of the region, or ask for more".to_owned(),
        "TasksOperationsNotAllowed" => {
            "this subscription may not build in the registry: build with a local docker".to_owned()
        }
        "NoRegisteredProviderFoundForApiVersion" | "InvalidApiVersionParameter" | "InvalidResourceType" => {
            "this cloud is older than aks-tui expects".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

fn says(failure: &Failure, word: &str) -> bool {
    failure
        .causes
        .iter()
        .any(|cause| cause.message.to_ascii_lowercase().contains(word))
}
