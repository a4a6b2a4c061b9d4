//! What every request passes before it is answered, in Azure Resource
//! Manager's order: token, path, version, subscription; and what every answer
//! carries.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::faults;
use super::groups;
use super::ids;
use super::limits;
use super::providers;
use super::routes::{self, Found, Route};
use super::token;
use super::world::World;
use crate::lab::store::new_uid;

/// The way in.
#[derive(Debug)]
pub struct Door {
    base: String,
    world: Mutex<World>,
    changed: Notify,
}

impl Door {
    /// The way into a world.
    pub fn new(world: World) -> Self {
        Self {
            base: world.setting.base.clone(),
            world: Mutex::new(world),
            changed: Notify::new(),
        }
    }

    /// Completes when something may have been changed since it last did.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Changes the world from within.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut world);
        if let Err(error) = world.save() {
            tracing::warn!("{error}");
        }
        done
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Answers a request. What it changed is on disk before it is answered.
    pub fn answer(&self, mut call: Call) -> Answer {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let happened = world.settle(Timestamp::now());
        world.correlation.clone_from(&call.correlation);
        let mut left = None;
        let answered = pass(&mut world, &mut call, &mut left);
        let wrote = !matches!(call.method.as_str(), "GET" | "HEAD");
        if wrote || happened {
            if let Err(error) = world.save() {
                tracing::warn!("{error}");
            }
            self.changed.notify_one();
        }
        drop(world);
        let answer = answered.unwrap_or_else(ArmError::into_answer);
        let answer = dress(answer, &call);
        match left {
            Some((header, left)) => answer.with(header, left),
            None => answer,
        }
    }
}

/// Lets a request through to its handler. `left` is what it may ask more, and
/// the header that tells it.
fn pass(
    world: &mut World,
    call: &mut Call,
    left: &mut Option<(&'static str, String)>,
) -> Result<Answer, ArmError> {
    let route = match routes::find(&call.method, &call.path) {
        Found::Route(route, arguments) => {
            call.arguments = arguments;
            Some(route)
        }
        Found::Method => None,
        Found::Nothing => {
            token::check(&world.account, call, world.now.as_second())?;
            return Err(unknown(call));
        }
    };
    if route.is_none_or(|it| !it.versions.is_empty()) {
        token::check(&world.account, call, world.now.as_second())?;
    }
    let Some(route) = route else {
        let message = format!(
            "The requested resource does not support http method '{}'.",
            call.method
        );
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(ArmError::new(status, "HttpMethodNotAllowed", message));
    };
    if !route.versions.is_empty() {
        faults::throttle(world, call)?;
        *left = Some(limits::count(world, call, Timestamp::now())?);
    }
    check_version(route, call)?;
    check_subscription(world, call)?;
    check_group(world, route, call)?;
    check_provider(world, call)?;
    faults::conflict(world, call)?;
    (route.handler)(world, call)
}

fn unknown(call: &Call) -> ArmError {
    ArmError::not_found(
        "InvalidResourceType",
        format!(
            "The resource type could not be found at the path '{}'.",
            call.path
        ),
    )
}

fn check_version(route: &Route, call: &Call) -> Result<(), ArmError> {
    if route.versions.is_empty() {
        return Ok(());
    }
    let asked = call.query("api-version");
    if asked.is_empty() {
        return Err(ArmError::bad(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    if route.versions.contains(&asked) || route.versions.contains(&"*") {
        return Ok(());
    }
    let supported = route.versions.join(", ");
    let (namespace, kind) = (ids::namespace(&call.path), ids::kind(&call.path));
    let kind = kind.split_once('/').map_or("", |it| it.1);
    if namespace.is_empty() {
        let message = format!(
            "The api-version '{asked}' is invalid. The supported versions are '{supported}'."
        );
        return Err(ArmError::bad("InvalidApiVersionParameter", message));
    }
    if let Some(location) = call.body["location"].as_str() {
        let message = format!(
            "No registered resource provider found for location '{location}' and API version '{asked}' for type '{kind}'. The supported api-versions are '{supported}'."
        );
        return Err(ArmError::bad("NoRegisteredProviderFound", message));
    }
    Err(ArmError::bad(
        "InvalidResourceType",
        format!(
            "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{asked}'. The supported api-versions are '{supported}'."
        ),
    ))
}

fn check_subscription(world: &World, call: &Call) -> Result<(), ArmError> {
    let asked = ids::subscription(&call.path);
    if asked.is_none_or(|it| it.eq_ignore_ascii_case(&world.account.subscription)) {
        return Ok(());
    }
    let asked = asked.unwrap_or_default();
    Err(ArmError::not_found(
        "SubscriptionNotFound",
        format!("The subscription '{asked}' could not be found."),
    ))
}

/// What is in a group needs the group, and takes nothing new once it goes.
fn check_group(world: &World, route: &Route, call: &Call) -> Result<(), ArmError> {
    if route.path.ends_with("/{group}") {
        return Ok(());
    }
    let Some(name) = ids::group(&call.path) else {
        return Ok(());
    };
    let group = world.get(&groups::id(world, name));
    let group = group.ok_or_else(|| groups::not_found(name))?;
    if matches!(call.method.as_str(), "PUT" | "PATCH") {
        groups::check_not_going(&group.body, name)?;
    }
    Ok(())
}

/// Nothing is created by a provider that is not registered.
fn check_provider(world: &World, call: &Call) -> Result<(), ArmError> {
    let namespace = ids::namespace(&call.path);
    if namespace.is_empty() || matches!(call.method.as_str(), "GET" | "HEAD" | "DELETE") {
        return Ok(());
    }
    if call.path.to_ascii_lowercase().ends_with("/register") {
        return Ok(());
    }
    providers::check(world, namespace)
}

/// Adds what every answer carries.
fn dress(answer: Answer, call: &Call) -> Answer {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let routing = format!("EASTUS:{now}:{}", new_uid());
    let client = call.header("x-ms-client-request-id").to_owned();
    let mut answer = answer
        .with("x-ms-request-id", new_uid())
        .with("x-ms-correlation-request-id", &call.correlation)
        .with("x-ms-routing-request-id", routing)
        .with(
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        );
    if !client.is_empty() {
        answer = answer.with("x-ms-client-request-id", client);
    }
    answer
}
