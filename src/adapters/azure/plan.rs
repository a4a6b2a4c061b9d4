//! A plan: what was looked at, what would change, what it costs.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    api::{self, Paths},
    client::{Call, Client},
    error::Failure,
    preflight::{self, There},
    prices,
    template::{self, Deployable},
    whatif,
};
use crate::core::azure::{
    plan::{Account, Action, Change, Check, Plan, Verdict, kind_and_name},
    settings::Settings,
};

/// Everything that a plan was made from, for whoever carries it out.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is shown.
    pub plan: Plan,
    /// Where things are.
    pub paths: Paths,
    /// What is there.
    pub there: There,
    /// What is deployed.
    pub deployable: Deployable,
}

/// Makes a plan for `settings`. `seconds` says how long a resource of a type takes.
pub async fn make(
    client: &Client,
    settings: &Settings,
    seconds: &(dyn Fn(&str) -> u64 + Sync),
) -> Result<Planned, Failure> {
    let subscription = preflight::subscription(client, &settings.azure.subscription).await?;
    let text = |key: &str| subscription[key].as_str().unwrap_or_default().to_owned();
    let paths = Paths {
        subscription: text("subscriptionId"),
        group: settings.azure.resource_group.clone(),
    };
    let deployable = Deployable::of(settings, &paths)?;
    let there = preflight::there(client, &paths, settings).await?;
    let (mut checks, changes, made_before, cost) = futures::join!(
        Box::pin(preflight::checks(client, &paths, settings, &there)),
        changes(client, settings, &paths, &there, &deployable),
        made_before(client, &paths, &there, &deployable),
        prices::cost(client, settings),
    );
    let made_before = made_before?;
    let state = text("state");
    if !state.is_empty() && state != "Enabled" {
        checks.insert(
            0,
            Check {
                name: "subscription".to_owned(),
                verdict: Verdict::Stop,
                what: format!("{} is {state}: it takes nothing new", text("displayName")),
            },
        );
    }
    let changes = match changes {
        Ok(changes) => changes,
        // What stops the deployment stops the question about it: the check says it better.
        Err(failure) if checks.iter().any(|check| check.verdict == Verdict::Stop) => {
            checks.push(Check {
                name: "what-if".to_owned(),
                verdict: Verdict::Stop,
                what: failure.to_string(),
            });
            expected(settings, &paths, &there)
        }
        Err(failure) => return Err(failure),
    };
    let cost = cost.unwrap_or_else(|failure| {
        checks.push(Check {
            name: "prices".to_owned(),
            verdict: Verdict::Doubt,
            what: failure.to_string(),
        });
        None
    });
    let plan = Plan {
        account: Account {
            how: client.identity().how.clone(),
            name: text("displayName"),
            subscription: paths.subscription.clone(),
            tenant: text("tenantId"),
            group: paths.group.clone(),
            location: settings.azure.location.clone(),
        },
        seconds: estimate(&changes, seconds),
        checks,
        changes,
        made_before,
        cost,
    };
    Ok(Planned {
        plan,
        paths,
        there,
        deployable,
    })
}

/// What would become of everything.
async fn changes(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    there: &There,
    deployable: &Deployable,
) -> Result<Vec<Change>, Failure> {
    if there.group.is_none() {
        return Ok(expected(settings, paths, there));
    }
    let call = Call::post(
        "ask what would change",
        format!("{}/whatIf", paths.deployment(&deployable.name())),
        api::DEPLOYMENTS,
    );
    let mut body = deployable.body();
    body["properties"]["whatIfSettings"] =
        serde_json::json!({"resultFormat": "FullResourcePayloads"});
    let answer: Value = client.operate(&call.body(body), &mut |_| {}).await?;
    if answer["status"]
        .as_str()
        .is_some_and(|status| status != "Succeeded")
        || answer["error"].is_object()
    {
        return Err(Failure::told("ask what would change", &answer));
    }
    Ok(whatif::changes(&answer, deployable))
}

/// Whether the last deployment of ours in the group was exactly this one, and went
/// well. A deployment's name says what it deploys.
async fn made_before(
    client: &Client,
    paths: &Paths,
    there: &There,
    deployable: &Deployable,
) -> Result<bool, Failure> {
    if there.group.is_none() {
        return Ok(false);
    }
    let call = Call::get(
        "list the deployments",
        paths.deployments(),
        api::DEPLOYMENTS,
    );
    let last = client
        .list(&call)
        .await?
        .into_iter()
        .filter(|it| {
            let name = it["name"].as_str().unwrap_or_default();
            name.starts_with(template::DEPLOYMENT_PREFIX)
        })
        .max_by_key(|it| {
            let at = it["properties"]["timestamp"].as_str().unwrap_or_default();
            at.parse::<Timestamp>().ok()
        });
    Ok(last.is_some_and(|it| {
        it["name"] == deployable.name() && it["properties"]["provisioningState"] == "Succeeded"
    }))
}

/// What the template makes, where there is nothing yet to compare with.
pub fn expected(settings: &Settings, paths: &Paths, there: &There) -> Vec<Change> {
    let account = paths.account(&settings.storage.account);
    let mut all = vec![
        (paths.group(), there.group.is_some()),
        (account.clone(), there.account.is_some()),
    ];
    for share in &settings.storage.shares {
        let id = format!("{account}/fileServices/default/shares/{}", share.name);
        all.push((id, there.account.is_some()));
    }
    let cluster = (
        paths.cluster(&settings.cluster.name),
        there.cluster.is_some(),
    );
    if settings.registry.name.is_empty() {
        all.push(cluster);
    } else {
        let registry = paths.registry(&settings.registry.name);
        let assignment = format!(
            "{registry}/providers/Microsoft.Authorization/roleAssignments/{}",
            template::pull_assignment(settings, paths)
        );
        let both = there.registry.is_some() && there.cluster.is_some();
        all.extend([
            (registry, there.registry.is_some()),
            cluster,
            (assignment, both),
        ]);
    }
    all.into_iter()
        .map(|(id, is_there)| {
            let (kind, name) = kind_and_name(&id);
            Change {
                action: if is_there {
                    Action::Unknown
                } else {
                    Action::Create
                },
                id,
                kind,
                name,
                deltas: Vec::new(),
                folded: 0,
            }
        })
        .collect()
}

/// How long it takes: everything begins at once, and the role assignment waits for
/// the rest.
fn estimate(changes: &[Change], seconds: &dyn Fn(&str) -> u64) -> u64 {
    let busy = |change: &&Change| matches!(change.action, Action::Create | Action::Modify);
    let is_last = |change: &&Change| {
        change
            .kind
            .eq_ignore_ascii_case("Microsoft.Authorization/roleAssignments")
    };
    let longest = |last: bool| {
        changes
            .iter()
            .filter(busy)
            .filter(|change| is_last(change) == last)
            .map(|change| seconds(&change.kind))
            .max()
            .unwrap_or(0)
    };
    longest(false) + longest(true)
}
