//! What can be made to go wrong, by name.

use http::StatusCode;
use serde_json::Value;

use super::answer::ArmError;
use super::call::Call;
use super::ids;
use super::world::World;

/// Something that shall go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every third request is one too many.
    Throttle,
    /// Providers are not registered at first.
    Provider,
    /// The caller may not give roles.
    Denied,
    /// There are too few processors.
    Quota,
    /// The usual size of machines is not to be had.
    Sku,
    /// A region has no machines left.
    Capacity,
    /// Nobody may touch the nodes of a cluster.
    Deny,
    /// Nothing is created without a tag that a policy demands.
    Policy,
    /// Groups are locked when they are made.
    Lock,
    /// Everything that is changed is busy at first.
    Conflict,
    /// Registries build nothing.
    Build,
    /// The published limits are enforced.
    Limits,
    /// Names that must be unique in all of Azure are taken.
    Name,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Throttle,
        Self::Provider,
        Self::Denied,
        Self::Quota,
        Self::Sku,
        Self::Capacity,
        Self::Deny,
        Self::Policy,
        Self::Lock,
        Self::Conflict,
        Self::Build,
        Self::Limits,
        Self::Name,
    ];

    /// How it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Provider => "provider",
            Self::Denied => "denied",
            Self::Quota => "quota",
            Self::Sku => "sku",
            Self::Capacity => "capacity",
            Self::Deny => "deny",
            Self::Policy => "policy",
            Self::Lock => "lock",
            Self::Conflict => "conflict",
            Self::Build => "build",
            Self::Limits => "limits",
            Self::Name => "name",
        }
    }

    /// What it is, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::Throttle => "Every third request is answered 429 with Retry-After",
            Self::Provider => "Resource providers are not registered until somebody does it",
            Self::Denied => "The caller is a contributor: it may not assign roles",
            Self::Quota => "A region gives 4 processors, and 2 of a family",
            Self::Sku => "The sizes Standard_D*s_v5 are not to be had",
            Self::Capacity => "A cluster's creation fails after a while: the region is full",
            Self::Deny => "A deny assignment keeps everybody from the nodes of a cluster",
            Self::Policy => "A policy refuses resources without the tag costCenter",
            Self::Lock => "Every new group has a lock that keeps it from being deleted",
            Self::Conflict => "The first PUT or DELETE of each resource is answered 409",
            Self::Build => "Registries may not build",
            Self::Limits => "Azure's published request limits are enforced, AKS's too",
            Self::Name => "Names of storage accounts and registries are taken by somebody else",
        }
    }
}

/// *429*, where the fault asks for it.
///
/// # Errors
/// That.
pub fn throttle(world: &mut World, call: &Call) -> Result<(), ArmError> {
    world.requests += 1;
    if !world.has(Fault::Throttle) || !world.requests.is_multiple_of(3) {
        return Ok(());
    }
    let who = &world.account.client;
    let mut error = ArmError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "SubscriptionRequestsThrottled",
        format!(
            "Number of requests for subscription '{}' and operation '{}' exceeded the backend storage limit. Please try again after '1' seconds.",
            world.account.subscription, call.method
        ),
    )
    .with("target", Value::from(who.as_str()));
    error.headers.push(("retry-after", "1".to_owned()));
    Err(error)
}

/// *409* for the first change of each resource, where the fault asks for it.
///
/// # Errors
/// That.
pub fn conflict(world: &mut World, call: &Call) -> Result<(), ArmError> {
    let changes = matches!(call.method.as_str(), "PUT" | "DELETE");
    if !world.has(Fault::Conflict) || !changes || !world.refused.insert(ids::key(&call.path)) {
        return Ok(());
    }
    let mut error = ArmError::conflict(
        "AnotherOperationInProgress",
        format!(
            "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: {}{}.",
            call.base, call.path
        ),
    );
    error.headers.push(("retry-after", "1".to_owned()));
    Err(error)
}
