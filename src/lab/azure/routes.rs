//! Every call that is answered: method, path, and the versions of the API.
//!
//! A segment in braces stands for any one; `{scope}` in front stands for one
//! or more, so that what extends any resource is said once.

use http::Method;

use super::aks::{calls, credentials, pools, versions};
use super::answer::{Answer, ArmError};
use super::call::{self, Call};
use super::world::World;
use super::{
    account, authorization, groups, guard, kinds, lro, machines, prices, providers, resources,
    sizes, storage, token,
};
use super::{blobs, deployments, registry, tags};

/// What answers a call.
pub type Handler = fn(&mut World, &Call) -> Result<Answer, ArmError>;

/// Versions that a path is served in.
pub type Versions = &'static [&'static str];

/// A call that is answered.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// Versions; none means that the path has no version and needs no token.
    pub versions: Versions,
    /// Who answers.
    pub handler: Handler,
}

/// No version and no token: sign-in, and what is open to everybody.
const OPEN: Versions = &[];
const SUBSCRIPTIONS: Versions = &[
    "2022-12-01",
    "2022-09-01",
    "2021-01-01",
    "2020-01-01",
    "2019-11-01",
    "2016-06-01",
];

const RESOURCES: Versions = &[
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2022-09-01",
    "2021-04-01",
    "2020-06-01",
];
const STORAGE: Versions = &[
    "2026-09-01",
    "2026-04-01",
    "2025-08-01",
    "2025-06-01",
    "2025-01-01",
    "2024-01-01",
    "2023-05-01",
    "2023-01-01",
    "2022-09-01",
];
const ROLES: Versions = &[
    "2022-05-01-preview",
    "2022-04-01",
    "2020-04-01-preview",
    "2018-07-01",
    "2015-07-01",
];
const LOCKS: Versions = &["2020-05-01", "2016-09-01", "2015-01-01"];
const AKS: Versions = &[
    "2026-08-01",
    "2026-06-01",
    "2026-05-01",
    "2026-03-01",
    "2026-02-01",
    "2026-01-01",
    "2025-10-01",
    "2025-09-01",
    "2025-08-01",
    "2025-07-01",
    "2025-05-01",
    "2025-04-01",
    "2025-03-01",
    "2025-02-01",
    "2025-01-01",
    "2024-10-01",
    "2024-09-01",
];
const COMPUTE: Versions = &[
    "2026-04-01",
    "2025-11-01",
    "2025-04-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-09-01",
    "2023-07-01",
];
const SIZES: Versions = &["2026-03-02", "2021-07-01", "2019-04-01"];
const DEPLOYMENTS: Versions = &[
    "2026-06-01",
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-09-01",
    "2021-04-01",
    "2020-10-01",
    "2020-06-01",
];
const REGISTRY: Versions = &[
    "2025-11-01",
    "2025-04-01",
    "2023-07-01",
    "2022-12-01",
    "2026-09-01-preview",
];
const TASKS: Versions = &["2025-03-01-preview", "2019-06-01-preview", "2019-04-01"];
const POLICIES: Versions = &[
    "2026-06-01",
    "2025-03-01",
    "2024-05-01",
    "2023-04-01",
    "2022-06-01",
];
/// Any version, as long as there is one.
const ANY: Versions = &["*"];

const fn route(
    method: &'static str,
    path: &'static str,
    versions: Versions,
    handler: Handler,
) -> Route {
    Route {
        method,
        path,
        versions,
        handler,
    }
}

/// All of them.
#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route("GET", "/metadata/endpoints", OPEN, account::endpoints),
    route("GET", "/{tenant}/discovery/instance", OPEN, token::instance),
    route("GET", "/{tenant}/discovery/v2.0/keys", OPEN, token::keys),
    route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", OPEN, token::configuration),
    route("GET", "/{tenant}/.well-known/openid-configuration", OPEN, token::configuration),
    route("POST", "/{tenant}/oauth2/v2.0/token", OPEN, token::token),
    route("POST", "/{tenant}/oauth2/token", OPEN, token::token),
    route("GET", "/api/retail/prices", OPEN, prices::list),
    route("GET", "/tenants", SUBSCRIPTIONS, account::tenants),
    route("GET", "/subscriptions", SUBSCRIPTIONS, account::subscriptions),
    route("GET", "/subscriptions/{subscription}", SUBSCRIPTIONS, account::subscription),
    route("GET", "/subscriptions/{subscription}/locations", SUBSCRIPTIONS, account::locations),
    route("GET", "/subscriptions/{subscription}/operationresults/{operation}", ANY, lro::result),
    route("GET", "/subscriptions/{subscription}/providers", RESOURCES, providers::list),
    route("GET", "/subscriptions/{subscription}/providers/{namespace}", RESOURCES, providers::get),
    route("POST", "/subscriptions/{subscription}/providers/{namespace}/register", RESOURCES, providers::register),
    route("GET", "/subscriptions/{subscription}/resources", RESOURCES, resources::list),
    route("GET", "/subscriptions/{subscription}/resourceGroups", RESOURCES, groups::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}", RESOURCES, groups::put),
    route("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}", RESOURCES, groups::put),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}", RESOURCES, groups::get),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}", RESOURCES, groups::delete),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/resources", RESOURCES, resources::list),
    route("GET", "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operations/{operation}", ANY, lro::status),
    route("GET", "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operationresults/{operation}", ANY, lro::result),
    route("GET", "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/asyncoperations/{operation}", ANY, lro::result),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values", &["2015-04-01"], guard::activity),

    route("POST", "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability", STORAGE, storage::name),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Storage/locations/{location}/usages", STORAGE, storage::usages),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Storage/storageAccounts", STORAGE, storage::list),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts", STORAGE, storage::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", STORAGE, storage::put_call),
    route("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", STORAGE, storage::patch),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", STORAGE, kinds::get_call),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", STORAGE, storage::delete),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/listKeys", STORAGE, storage::keys),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/regenerateKey", STORAGE, storage::keys),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default", STORAGE, storage::service),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default", STORAGE, kinds::put_call),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default/shares", STORAGE, storage::shares),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default/shares/{share}", STORAGE, kinds::put_call),
    route("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default/shares/{share}", STORAGE, storage::patch_share),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default/shares/{share}", STORAGE, storage::share),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/fileServices/default/shares/{share}", STORAGE, storage::delete_share),

    route("GET", "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/kubernetesVersions", AKS, versions::list),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters", AKS, calls::list),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters", AKS, calls::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}", AKS, kinds::put_call),
    route("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}", AKS, calls::tag),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}", AKS, kinds::get_call),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}", AKS, calls::delete),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/listClusterUserCredential", AKS, credentials::list),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/listClusterAdminCredential", AKS, credentials::list),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/stop", AKS, calls::power),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/start", AKS, calls::power),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/abort", AKS, calls::abort),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/rotateClusterCertificates", AKS, calls::rotate),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools", AKS, pools::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}", AKS, kinds::put_call),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}", AKS, kinds::get_call),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}", AKS, pools::delete),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}/machines", AKS, pools::machines),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}/machines/{machine}", AKS, pools::machine),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}/deleteMachines", AKS, pools::delete_machines),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/agentPools/{pool}/upgradeNodeImageVersion", AKS, pools::upgrade_image),

    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Compute/skus", SIZES, sizes::skus),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/usages", COMPUTE, sizes::usages),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.Compute/virtualMachineScaleSets", COMPUTE, machines::sets),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets", COMPUTE, machines::sets),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}", COMPUTE, kinds::get_call),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/delete", COMPUTE, machines::delete_of_set),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines", COMPUTE, machines::list),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/start", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/restart", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/poweroff", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/deallocate", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/reimage", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/reimageall", COMPUTE, machines::act_on_set),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/redeploy", COMPUTE, machines::act_on_set),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}", COMPUTE, machines::get),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}", COMPUTE, machines::delete),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/instanceView", COMPUTE, machines::instance_view),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/start", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/restart", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/poweroff", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/deallocate", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/reimage", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/reimageall", COMPUTE, machines::act),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{machine}/redeploy", COMPUTE, machines::act),

    route("PUT", "/blobs/source/{stamp}/{name}", OPEN, blobs::put),
    route("GET", "/blobs/logs/{registry}/{run}/rawtext.log", OPEN, blobs::log),

    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments", DEPLOYMENTS, deployments::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}", DEPLOYMENTS, deployments::put),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}", DEPLOYMENTS, deployments::get),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}", DEPLOYMENTS, deployments::delete),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/validate", DEPLOYMENTS, deployments::validate),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/whatIf", DEPLOYMENTS, deployments::what_if),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/cancel", DEPLOYMENTS, deployments::cancel),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/exportTemplate", DEPLOYMENTS, deployments::export),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/operationStatuses/{operation}", ANY, deployments::status),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/operations", DEPLOYMENTS, deployments::operations),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}/operations/{step}", DEPLOYMENTS, deployments::get_operation),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{deployment}/operations", DEPLOYMENTS, deployments::operations),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{deployment}/operations/{step}", DEPLOYMENTS, deployments::get_operation),

    route("POST", "/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/checkNameAvailability", REGISTRY, registry::name),
    route("GET", "/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries", REGISTRY, registry::list),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries", REGISTRY, registry::list),
    route("PUT", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}", REGISTRY, kinds::put_call),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}", REGISTRY, kinds::get_call),
    route("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}", REGISTRY, kinds::patch_call),
    route("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}", REGISTRY, registry::delete),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/listCredentials", REGISTRY, registry::credentials),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/listBuildSourceUploadUrl", TASKS, registry::upload_url),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/scheduleRun", TASKS, registry::schedule),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/runs", TASKS, registry::runs),
    route("GET", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/runs/{run}", TASKS, registry::run),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/runs/{run}/listLogSasUrl", TASKS, registry::log_url),
    route("POST", "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{registry}/runs/{run}/cancel", TASKS, registry::cancel),

    route("GET", "/{scope}/providers/Microsoft.Resources/tags/default", RESOURCES, tags::get),
    route("PUT", "/{scope}/providers/Microsoft.Resources/tags/default", RESOURCES, tags::change),
    route("PATCH", "/{scope}/providers/Microsoft.Resources/tags/default", RESOURCES, tags::change),
    route("DELETE", "/{scope}/providers/Microsoft.Resources/tags/default", RESOURCES, tags::delete),
    route("GET", "/{scope}/providers/Microsoft.Authorization/policyAssignments", POLICIES, guard::policies),
    route("GET", "/{scope}/providers/Microsoft.Authorization/denyAssignments", ROLES, guard::deny_assignments),
    route("GET", "/{scope}/providers/Microsoft.Authorization/permissions", ROLES, authorization::permissions),
    route("GET", "/{scope}/providers/Microsoft.Authorization/roleDefinitions", ROLES, authorization::roles),
    route("GET", "/{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}", ROLES, authorization::get_role),
    route("GET", "/{scope}/providers/Microsoft.Authorization/roleAssignments", ROLES, authorization::assignments),
    route("PUT", "/{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}", ROLES, kinds::put_call),
    route("GET", "/{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}", ROLES, kinds::get_call),
    route("DELETE", "/{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}", ROLES, authorization::delete_assignment),
    route("GET", "/{scope}/providers/Microsoft.Authorization/locks", LOCKS, authorization::locks),
    route("PUT", "/{scope}/providers/Microsoft.Authorization/locks/{lock}", LOCKS, kinds::put_call),
    route("GET", "/{scope}/providers/Microsoft.Authorization/locks/{lock}", LOCKS, kinds::get_call),
    route("DELETE", "/{scope}/providers/Microsoft.Authorization/locks/{lock}", LOCKS, authorization::delete_lock),
];

/// The types of a provider and the versions that each is served in.
pub fn types(namespace: &str) -> Vec<(String, Versions)> {
    let mut types: Vec<(String, Versions)> = Vec::new();
    for route in ROUTES {
        let mark = format!("/providers/{namespace}/");
        let Some((_, behind)) = route.path.rsplit_once(&mark) else {
            continue;
        };
        // A resource has a kind and a name, and so has what is nested in it.
        if behind.split('/').count() % 2 == 1 {
            continue;
        }
        let kinds = behind
            .split('/')
            .step_by(2)
            .filter(|it| !it.starts_with('{'));
        let kind = kinds.collect::<Vec<_>>().join("/");
        if !types.iter().any(|(known, _)| *known == kind) {
            types.push((kind, route.versions));
        }
    }
    types
}

/// What was found for a path.
#[derive(Debug)]
pub enum Found {
    /// A route, and what stands at the places it names.
    Route(&'static Route, Vec<(&'static str, String)>),
    /// The path, but not with this method.
    Method,
    /// Nothing.
    Nothing,
}

/// The route of a request.
pub fn find(method: &Method, path: &str) -> Found {
    let segments = call::segments(path);
    let mut known = false;
    for route in ROUTES {
        let Some(arguments) = fit(route.path, &segments) else {
            continue;
        };
        // What can be read can be asked for without its body.
        let read = method == Method::HEAD && route.method == "GET";
        if route.method == method.as_str() || read {
            return Found::Route(route, arguments);
        }
        known = true;
    }
    if known { Found::Method } else { Found::Nothing }
}

/// What stands at the places of a template; none if it does not fit.
fn fit(template: &'static str, segments: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let places = call::segments(template);
    let mut arguments = Vec::new();
    let (mut places, mut segments) = (places.as_slice(), segments);
    if let ["{scope}", rest @ ..] = places {
        let taken = segments
            .len()
            .checked_sub(rest.len())
            .filter(|it| *it > 0)?;
        let (scope, behind) = segments.split_at(taken);
        arguments.push(("scope", format!("/{}", scope.join("/"))));
        (places, segments) = (rest, behind);
    }
    if places.len() != segments.len() {
        return None;
    }
    for (place, segment) in places.iter().zip(segments) {
        match place.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            Some(name) => arguments.push((name, (*segment).to_owned())),
            None if place.eq_ignore_ascii_case(segment) => {}
            None => return None,
        }
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_as_long_as_it_must_be() {
        let template = "/{scope}/providers/Microsoft.Authorization/locks/{name}";
        let path = "/subscriptions/s/resourcegroups/g/providers/microsoft.authorization/LOCKS/l";
        let arguments = fit(template, &call::segments(path)).unwrap();
        assert_eq!(
            arguments,
            [
                ("scope", "/subscriptions/s/resourcegroups/g".to_owned()),
                ("name", "l".to_owned())
            ]
        );
        assert!(
            fit(
                template,
                &call::segments("/providers/Microsoft.Authorization/locks/l")
            )
            .is_none()
        );
    }

    #[test]
    fn another_method_is_told_from_another_path() {
        assert!(matches!(
            find(&Method::HEAD, "/Subscriptions/"),
            Found::Route(..)
        ));
        assert!(matches!(
            find(&Method::DELETE, "/subscriptions"),
            Found::Method
        ));
        assert!(matches!(
            find(&Method::GET, "/nowhere/at/all"),
            Found::Nothing
        ));
    }

    /// What Azure's own packages send, as a script has read it from them.
    const TABLE: &str = include_str!("../../../tests/azure_sdk/operations.json");

    /// What other clients send, which the packages of the table do not.
    const OTHERS: [&str; 5] = [
        "/providers/Microsoft.Resources/deployments/{deployment}/operations",
        "/providers/Microsoft.Resources/deployments/{deployment}/operations/{step}",
        "/operationStatuses/{operation}",
        "/providers/Microsoft.Authorization/policyAssignments",
        "/virtualMachineScaleSets/{set}/reimageall",
    ];

    #[test]
    fn every_route_is_one_of_azures_in_the_version_that_its_packages_speak() {
        let table: Vec<serde_json::Value> = serde_json::from_str(TABLE).unwrap();
        let text = |operation: &serde_json::Value, field: &str| {
            operation[field].as_str().unwrap_or_default().to_owned()
        };
        for route in ROUTES {
            let open = route.versions.is_empty() || route.versions == ANY;
            if open || OTHERS.iter().any(|it| route.path.ends_with(it)) {
                continue;
            }
            let same = |operation: &&serde_json::Value| {
                let path = text(operation, "path").replace("{subscriptionId}", "s");
                text(operation, "method") == route.method
                    && fit(route.path, &call::segments(&path)).is_some()
            };
            let known: Vec<_> = table.iter().filter(same).collect();
            assert!(
                !known.is_empty(),
                "{} {} is not Azure's",
                route.method,
                route.path
            );
            let version = |it: &&serde_json::Value| {
                route.versions.contains(&text(it, "api_version").as_str())
            };
            assert!(
                known.iter().any(version),
                "{} {} is not served as the packages ask: {known:?}",
                route.method,
                route.path
            );
        }
    }
}
