//! What can be made to go wrong, by name.

use http::StatusCode;
use serde_json::Value;

use super::answer::ArmError;
use super::call::Call;
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
    /// Names that must be unique in all of Azure are taken.
    Name,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Throttle, Self::Provider, Self::Denied, Self::Name];

    /// How it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Provider => "provider",
            Self::Denied => "denied",
            Self::Name => "name",
        }
    }

    /// What it is, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::Throttle => "Every third request is answered 429 with Retry-After",
            Self::Provider => "Resource providers are not registered until somebody does it",
            Self::Denied => "The caller is a contributor: it may not assign roles",
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
