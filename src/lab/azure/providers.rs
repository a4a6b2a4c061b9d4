//! Resource providers: which there are, and whether the subscription uses them.

use serde_json::{Value, json};

use super::account::REGIONS;
use super::answer::{Answer, ArmError};
use super::call::Call;
use super::faults::Fault;
use super::lro::{Effect, Plan};
use super::routes;
use super::world::World;

/// How long it takes to register one, in seconds.
const REGISTERING: f64 = 40.0;

/// The providers that the simulator has.
pub const NAMESPACES: [&str; 9] = [
    "Microsoft.Authorization",
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.Resources",
    "Microsoft.Storage",
];

/// How every new subscription finds a provider.
const ALWAYS: [&str; 3] = [
    "Microsoft.Authorization",
    "Microsoft.Insights",
    "Microsoft.Resources",
];

/// The name of a provider as it writes itself.
fn known(name: &str) -> Result<&'static str, ArmError> {
    let found = NAMESPACES.iter().find(|it| it.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| {
        ArmError::not_found(
            "InvalidResourceNamespace",
            format!("The resource namespace '{name}' is invalid."),
        )
    })
}

fn state<'a>(world: &'a World, namespace: &str) -> &'a str {
    if ALWAYS.contains(&namespace) {
        return "Registered";
    }
    let at_first = if world.has(Fault::Provider) {
        "NotRegistered"
    } else {
        "Registered"
    };
    let state = world.providers.get(namespace);
    state.map_or(at_first, String::as_str)
}

fn about(world: &World, namespace: &str) -> Value {
    let locations = REGIONS.map(|(_, shown, _)| shown);
    let types = routes::types(namespace);
    let types = types.into_iter().map(|(kind, versions)| {
        json!({
            "resourceType": kind,
            "locations": locations,
            "apiVersions": versions,
            "capabilities": "SupportsTags, SupportsLocation",
        })
    });
    json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", world.account.subscription),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": state(world, namespace),
        "resourceTypes": types.collect::<Vec<_>>(),
    })
}

/// `GET …/providers`
pub fn list(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let all = NAMESPACES.iter().map(|it| about(world, it));
    Ok(Answer::list(all.collect()))
}

/// `GET …/providers/{namespace}`
pub fn get(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let namespace = known(call.arg("namespace"))?;
    Ok(Answer::ok(about(world, namespace)))
}

/// `POST …/providers/{namespace}/register`
pub fn register(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let namespace = known(call.arg("namespace"))?;
    if matches!(state(world, namespace), "NotRegistered" | "Unregistered") {
        let registering = "Registering".to_owned();
        world.providers.insert(namespace.to_owned(), registering);
        let id = format!(
            "/subscriptions/{}/providers/{namespace}",
            world.account.subscription
        );
        let plan = Plan {
            seconds: REGISTERING,
            effects: vec![Effect::Registered(namespace.to_owned())],
            ..Plan::default()
        };
        world.begin(&id, plan);
    }
    Ok(Answer::ok(about(world, namespace)))
}

/// A provider is registered.
pub fn registered(world: &mut World, namespace: &str) {
    let state = "Registered".to_owned();
    world.providers.insert(namespace.to_owned(), state);
}

/// Refuses what needs a provider that is not registered.
///
/// # Errors
/// *409*, naming the provider.
pub fn check(world: &World, namespace: &str) -> Result<(), ArmError> {
    let Ok(namespace) = known(namespace) else {
        return Ok(());
    };
    if state(world, namespace) == "Registered" {
        return Ok(());
    }
    let message = format!(
        "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
    );
    let detail = json!({
        "code": "MissingSubscriptionRegistration",
        "target": namespace,
        "message": message,
    });
    Err(
        ArmError::conflict("MissingSubscriptionRegistration", message)
            .with("details", json!([detail])),
    )
}
