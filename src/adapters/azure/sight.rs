//! A look at what there is: resources, machines, what was done, what it has cost.
//!
//! One look is a read of the group, its resources and its activity, of the cluster and
//! its pools, and one each for a pool and its scale set: three or four of the reads
//! that the provider of clusters gives sixty of, and then one a second.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    api::{self, Paths},
    client::{Call, Client},
    error::Failure,
    machines, prices,
};
use crate::core::azure::{
    OWNER,
    bed::{Cluster, Deed, Sight, Thing},
    machines::Machine,
    plan::{Account, Cost, kind_and_name, kind_name},
    settings::Settings,
    spent::{History, Rates, spent},
};

/// How far back the activity log goes: it keeps 90 days.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 89);

/// What is told late is told within this time.
const LATE: SignedDuration = SignedDuration::from_mins(20);

/// Deeds that are shown.
const SHOWN: usize = 60;

/// Somebody who looks again and again.
#[derive(Debug)]
pub struct Looker {
    client: Client,
    settings: Settings,
    paths: Paths,
    account: Account,
    cost: Option<Cost>,
    deeds: BTreeMap<String, Deed>,
    read_until: Option<Timestamp>,
}

impl Looker {
    /// Somebody who looks at the test bed that `settings` name.
    pub fn new(client: Client, settings: Settings, subscription: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let account = Account {
            how: client.identity().how.clone(),
            name: text(&subscription["displayName"]),
            subscription: text(&subscription["subscriptionId"]),
            tenant: text(&subscription["tenantId"]),
            group: settings.azure.resource_group.clone(),
            location: settings.azure.location.clone(),
        };
        let paths = Paths {
            subscription: account.subscription.clone(),
            group: account.group.clone(),
        };
        Self {
            client,
            settings,
            paths,
            account,
            cost: None,
            deeds: BTreeMap::new(),
            read_until: None,
        }
    }

    /// Looks.
    ///
    /// # Errors
    /// When the group, its resources or the cluster cannot be read. What else cannot is
    /// said in the sight.
    pub async fn look(&mut self) -> Result<Sight, Failure> {
        let mut sight = Sight {
            account: self.account.clone(),
            ..Sight::default()
        };
        let now = Timestamp::now();
        let group = self.group().await?;
        let Some(group) = group else {
            self.deeds.clear();
            self.read_until = None;
            return Ok(sight);
        };
        sight.things.push(thing(&group));
        if self.cost.is_none() {
            match prices::cost(&self.client, &self.settings).await {
                Ok(cost) => self.cost = cost,
                Err(failure) => sight.unseen.push(failure.to_string()),
            }
        }
        let name = self.settings.cluster.name.clone();
        let read = Call::get(
            format!("read the cluster {name}"),
            self.paths.cluster(&name),
            api::CONTAINER_SERVICE,
        );
        let (resources, cluster) = futures::try_join!(self.resources(), self.client.find(&read))?;
        let mut nodes = Vec::new();
        if cluster.is_some() {
            match machines::list(&self.client, &self.paths, &name).await {
                Ok(found) => nodes = found,
                Err(failure) => sight.unseen.push(failure.to_string()),
            }
        }
        if let Err(failure) = self.read_activity(now).await {
            sight.unseen.push(failure.to_string());
        }
        sight.activity = self.deeds.values().cloned().collect();
        sight
            .activity
            .sort_by_key(|deed| std::cmp::Reverse(deed.at_ms));
        let history = self.history(&resources, &name, &sight.activity);
        sight.activity.truncate(SHOWN);
        sight.cluster = cluster.as_ref().map(about_cluster);
        self.list(&mut sight, &resources, cluster.as_ref(), &nodes);
        self.reckon(&mut sight, &history, &nodes, now);
        Ok(sight)
    }

    async fn group(&self) -> Result<Option<Value>, Failure> {
        let read = Call::get(
            format!("read the resource group {}", self.paths.group),
            self.paths.group(),
            api::RESOURCES,
        );
        self.client.find(&read).await
    }

    async fn resources(&self) -> Result<Vec<Value>, Failure> {
        let read = Call::get(
            format!("list what is in {}", self.paths.group),
            format!("{}/resources", self.paths.group()),
            api::RESOURCES,
        )
        .query("$expand", "createdTime,changedTime,provisioningState");
        self.client.list(&read).await
    }

    /// Reads what was done since the last look. A deed may be told more than once: as
    /// begun, as accepted, as done.
    async fn read_activity(&mut self, now: Timestamp) -> Result<(), Failure> {
        let earliest = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let since = self
            .read_until
            .and_then(|until| until.checked_sub(LATE).ok())
            .unwrap_or(earliest);
        let read = Call::get(
            format!("read what was done in {}", self.paths.group),
            format!(
                "{}/eventtypes/management/values",
                self.paths.provider("Microsoft.Insights")
            ),
            api::ACTIVITY,
        )
        .query(
            "$filter",
            &format!(
                "eventTimestamp ge '{since}' and resourceGroupName eq '{}'",
                self.paths.group
            ),
        );
        for told in self.client.list(&read).await? {
            let (key, deed) = deed(&told);
            let known = self.deeds.entry(key).or_insert_with(|| deed.clone());
            if known.at_ms <= deed.at_ms {
                *known = deed;
            }
        }
        self.read_until = Some(now);
        Ok(())
    }

    fn history(&self, resources: &[Value], cluster: &str, deeds: &[Deed]) -> History {
        let made = |kind: &str, name: &str| {
            let is_it = |it: &&Value| is(it, kind) && it["name"].as_str() == Some(name);
            resources.iter().find(is_it).and_then(made_ms)
        };
        let whom = format!("cluster {cluster}");
        let switches = deeds
            .iter()
            .filter(|deed| deed.whom == whom && deed.status == "Succeeded")
            .filter_map(|deed| match deed.what.as_str() {
                "start" => Some((deed.at_ms, true)),
                "stop" => Some((deed.at_ms, false)),
                _ => None,
            });
        History {
            cluster: made(CLUSTER, cluster),
            registry: made(REGISTRY, &self.settings.registry.name),
            switches: switches.collect(),
        }
    }

    fn list(
        &self,
        sight: &mut Sight,
        resources: &[Value],
        cluster: Option<&Value>,
        nodes: &[Machine],
    ) {
        let runs = sight.cluster.as_ref().is_some_and(Cluster::runs);
        let each = self.cost.as_ref().map(|cost| {
            let rates = Rates::of(cost, self.settings.cluster.nodes, 1);
            (rates.nodes, rates.standing, rates.registry)
        });
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for resource in resources {
            let mut thing = thing(resource);
            if is(resource, CLUSTER) {
                if let (Some(cluster), Some(about)) = (cluster, &sight.cluster) {
                    thing.per_hour = each.map(|(_, standing, _)| standing);
                    dress(&mut thing, cluster, about);
                }
                first.push(thing);
                let price = each.map(|(node, ..)| node);
                first.extend(nodes.iter().map(|node| machine(node, runs, price)));
            } else {
                if is(resource, REGISTRY) {
                    thing.per_hour = each.map(|(.., registry)| registry);
                }
                rest.push(thing);
            }
        }
        sight.things.extend(first.into_iter().chain(rest));
    }

    fn reckon(&self, sight: &mut Sight, history: &History, nodes: &[Machine], now: Timestamp) {
        let Some(cost) = &self.cost else { return };
        let rates = Rates::of(cost, self.settings.cluster.nodes, nodes.len());
        let prices = sight.things.iter().filter_map(|thing| thing.per_hour);
        sight.per_hour = Some(prices.sum());
        sight.spent = spent(&cost.currency, rates, history, now.as_millisecond());
        sight.leaves_out.clone_from(&cost.leaves_out);
    }
}

const CLUSTER: &str = "Microsoft.ContainerService/managedClusters";
const REGISTRY: &str = "Microsoft.ContainerRegistry/registries";

fn is(resource: &Value, kind: &str) -> bool {
    resource["type"]
        .as_str()
        .is_some_and(|own| own.eq_ignore_ascii_case(kind))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ms(value: &Value) -> Option<i64> {
    let at: Timestamp = value.as_str()?.parse().ok()?;
    Some(at.as_millisecond())
}

fn made_ms(resource: &Value) -> Option<i64> {
    ms(&resource["createdTime"])
}

/// Whether a provisioning state is one on the way to another.
fn moves(state: &str) -> bool {
    !matches!(state, "" | "Succeeded" | "Failed" | "Canceled")
}

fn thing(resource: &Value) -> Thing {
    let id = text(&resource["id"]);
    let (kind, name) = kind_and_name(&id);
    let state = match &resource["provisioningState"] {
        Value::Null => text(&resource["properties"]["provisioningState"]),
        state => text(state),
    };
    let mut more = vec![("type".to_owned(), kind.clone())];
    for (name, value) in [
        ("location", &resource["location"]),
        ("sku", &resource["sku"]["name"]),
        ("tier", &resource["sku"]["tier"]),
        ("managed by", &resource["managedBy"]),
    ] {
        if let Some(value) = value.as_str() {
            more.push((name.to_owned(), value.to_owned()));
        }
    }
    let tags = resource["tags"].as_object().into_iter().flatten();
    more.extend(tags.map(|(name, value)| (format!("tag {name}"), text(value))));
    Thing {
        kind: kind_name(&kind).to_owned(),
        name,
        moves: moves(&state),
        state,
        made_ms: made_ms(resource),
        per_hour: None,
        ours: resource["tags"][OWNER.0] == OWNER.1,
        inside: false,
        more,
        id,
    }
}

fn about_cluster(cluster: &Value) -> Cluster {
    let properties = &cluster["properties"];
    Cluster {
        name: text(&cluster["name"]),
        power: text(&properties["powerState"]["code"]),
        state: text(&properties["provisioningState"]),
        version: text(&properties["currentKubernetesVersion"]),
    }
}

/// What only the cluster itself says.
fn dress(thing: &mut Thing, cluster: &Value, about: &Cluster) {
    thing.moves = moves(&about.state);
    thing.state = if thing.moves || about.state == "Failed" {
        about.state.clone()
    } else {
        about.power.clone()
    };
    let properties = &cluster["properties"];
    for (name, value) in [
        ("Kubernetes", &properties["currentKubernetesVersion"]),
        ("address", &properties["fqdn"]),
        ("nodes in", &properties["nodeResourceGroup"]),
        ("provisioning", &properties["provisioningState"]),
        ("power", &properties["powerState"]["code"]),
    ] {
        if let Some(value) = value.as_str() {
            thing.more.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn machine(machine: &Machine, runs: bool, price: Option<f64>) -> Thing {
    let paid = runs && !machine.is_free();
    Thing {
        id: machine.id.clone(),
        kind: "node".to_owned(),
        name: machine.node.clone(),
        state: machine.power.clone(),
        moves: ["starting", "stopping", "deallocating"].contains(&machine.power.as_str()),
        made_ms: None,
        per_hour: price.map(|price| if paid { price } else { 0.0 }),
        ours: true,
        inside: true,
        more: vec![("pool".to_owned(), machine.pool.clone())],
    }
}

/// What was done, and what joins all that is told of it.
fn deed(told: &Value) -> (String, Deed) {
    let id = text(&told["resourceId"]);
    let (kind, name) = kind_and_name(&id);
    let operation = text(&told["operationName"]["value"]);
    let key = format!("{} {operation} {id}", text(&told["correlationId"])).to_ascii_lowercase();
    let mut parts = operation.rsplit('/');
    let what = match parts.next() {
        Some("action") => parts.next().unwrap_or_default(),
        last => last.unwrap_or_default(),
    };
    let said = &told["properties"]["statusMessage"];
    let deed = Deed {
        at_ms: ms(&told["eventTimestamp"]).unwrap_or_default(),
        what: what.to_owned(),
        whom: format!("{} {name}", kind_name(&kind)),
        status: text(&told["status"]["value"]),
        by: text(&told["caller"]),
        why: why(said),
    };
    (key, deed)
}

/// The deepest cause in what a status says, which is JSON in a string.
fn why(said: &Value) -> String {
    let Some(text) = said.as_str() else {
        return String::new();
    };
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    let failure = Failure::told("do it", &told);
    failure.deepest().map_or_else(
        || crate::core::workload::text::quote(text),
        |cause| format!("{} ({})", cause.message, cause.code),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deed_is_told_in_words() {
        let told = json!({
            "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c",
            "operationName": {"value": "Microsoft.ContainerService/managedClusters/stop/action"},
            "correlationId": "1", "status": {"value": "Failed"}, "caller": "me@example.com",
            "eventTimestamp": "2026-11-28T10:00:00Z",
            "properties": {"statusMessage": "{\"error\":{\"code\":\"ScopeLocked\",\"message\":\"it is locked\"}}"},
        });
        let (_, deed) = deed(&told);
        assert_eq!(
            (deed.what.as_str(), deed.whom.as_str()),
            ("stop", "cluster c")
        );
        assert_eq!(deed.why, "it is locked (ScopeLocked)");
        assert_eq!(deed.at_ms % 3_600_000, 0);
    }
}
