//! What is looked at before anything is made, so that what would fail in ten
//! minutes is said in two seconds.

mod rights;
mod sizes;

use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    api::{self, Paths},
    client::{Call, Client},
    error::Failure,
};
use crate::core::azure::{
    OWNER,
    plan::{Check, Verdict},
    settings::Settings,
};

/// What there is of the test bed already.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct There {
    /// The resource group.
    pub group: Option<Value>,
    /// The storage account.
    pub account: Option<Value>,
    /// The registry.
    pub registry: Option<Value>,
    /// The cluster.
    pub cluster: Option<Value>,
}

fn check(name: &str, verdict: Verdict, what: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        verdict,
        what: what.into(),
    }
}

/// A check that could not be made is a doubt: it may be that only looking is forbidden.
fn doubt(name: &str, failure: &Failure) -> Check {
    check(name, Verdict::Doubt, failure.to_string())
}

/// The subscription that is meant: the one that is named, else the only one.
pub async fn subscription(client: &Client, wanted: &str) -> Result<Value, Failure> {
    if !wanted.is_empty() {
        let call = Call::get(
            format!("read the subscription {wanted}"),
            format!("/subscriptions/{wanted}"),
            api::SUBSCRIPTIONS,
        );
        return Ok(client.send(&call).await?.body);
    }
    let call = Call::get(
        "list the subscriptions",
        "/subscriptions",
        api::SUBSCRIPTIONS,
    );
    let mut all = client.list(&call).await?;
    match all.len() {
        1 => Ok(all.remove(0)),
        0 => Err(Failure::new(
            "choose a subscription",
            format!(
                "{} sees none; sign in as somebody who has one",
                client.identity().how
            ),
        )),
        _ => {
            let names: Vec<String> = all
                .iter()
                .map(|one| {
                    format!(
                        "{} ({})",
                        one["displayName"].as_str().unwrap_or_default(),
                        one["subscriptionId"].as_str().unwrap_or_default()
                    )
                })
                .collect();
            Err(Failure::new(
                "choose a subscription",
                format!(
                    "there are several, name one in azure.subscription: {}",
                    names.join(", ")
                ),
            ))
        }
    }
}

/// What there is already.
pub async fn there(client: &Client, paths: &Paths, settings: &Settings) -> Result<There, Failure> {
    let find = |wanted: &str, path: String, api: &'static str| {
        let call = Call::get(format!("read the {wanted}"), path, api);
        async move { client.find(&call).await }
    };
    let Some(group) = find("resource group", paths.group(), api::RESOURCES).await? else {
        return Ok(There::default());
    };
    let registry = async {
        if settings.registry.name.is_empty() {
            return Ok(None);
        }
        find(
            "registry",
            paths.registry(&settings.registry.name),
            api::REGISTRY,
        )
        .await
    };
    let (account, registry, cluster) = futures::try_join!(
        find(
            "storage account",
            paths.account(&settings.storage.account),
            api::STORAGE
        ),
        registry,
        find(
            "cluster",
            paths.cluster(&settings.cluster.name),
            api::CONTAINER_SERVICE
        ),
    )?;
    Ok(There {
        group: Some(group),
        account,
        registry,
        cluster,
    })
}

/// Looks at everything that can stop a deployment.
pub async fn checks(
    client: &Client,
    paths: &Paths,
    settings: &Settings,
    there: &There,
) -> Vec<Check> {
    let (providers, region, names, versions, machines, locks, rights) = futures::join!(
        providers(client, paths),
        region(client, paths, settings),
        names(client, paths, settings, there),
        versions(client, paths, settings, there),
        sizes::machines(client, paths, settings, there),
        locks(client, paths, there),
        rights::check(client, paths, settings, there),
    );
    let mut checks = group(settings, there);
    checks.push(providers);
    checks.push(region);
    checks.extend(names);
    checks.push(versions);
    checks.extend(machines);
    checks.extend(locks);
    checks.push(rights);
    checks
}

fn group(settings: &Settings, there: &There) -> Vec<Check> {
    let name = &settings.azure.resource_group;
    let Some(group) = &there.group else {
        return vec![check(
            "resource group",
            Verdict::Fine,
            format!("{name} will be made"),
        )];
    };
    let mut checks = Vec::new();
    if group["properties"]["provisioningState"] == "Deleting" {
        checks.push(check(
            "resource group",
            Verdict::Stop,
            format!("{name} is being deleted: wait until it is gone"),
        ));
    }
    if group["tags"][OWNER.0] != OWNER.1 {
        checks.push(check(
            "resource group",
            Verdict::Doubt,
            format!("{name} was not made by aks-tui: `clean all` will not delete it"),
        ));
    }
    for (what, found) in [
        ("storage account", &there.account),
        ("registry", &there.registry),
        ("cluster", &there.cluster),
    ] {
        let Some(at) = found.as_ref().and_then(|found| found["location"].as_str()) else {
            continue;
        };
        let at = crate::core::azure::names::location(at);
        if at != settings.azure.location {
            checks.push(check(
                what,
                Verdict::Stop,
                format!(
                    "it is in {at}, and azure.location is {}: nothing moves by itself",
                    settings.azure.location
                ),
            ));
        }
    }
    checks
}

async fn providers(client: &Client, paths: &Paths) -> Check {
    const NAME: &str = "providers";
    let states = join_all(api::PROVIDERS.map(|namespace| async move {
        let call = Call::get(
            format!("read the provider {namespace}"),
            paths.provider(namespace),
            api::RESOURCES,
        );
        (namespace, client.send(&call).await)
    }))
    .await;
    let mut missing = Vec::new();
    for (namespace, answer) in states {
        match answer {
            Ok(answer) if answer.body["registrationState"] == "Registered" => {}
            Ok(_) => missing.push(namespace),
            Err(failure) => return doubt(NAME, &failure),
        }
    }
    if missing.is_empty() {
        return check(NAME, Verdict::Fine, "all are registered");
    }
    check(
        NAME,
        Verdict::Stop,
        format!(
            "the subscription has not registered {}: `aks-tui provision --register` does",
            missing.join(", ")
        ),
    )
}

async fn region(client: &Client, paths: &Paths, settings: &Settings) -> Check {
    const NAME: &str = "region";
    let call = Call::get(
        "list the regions",
        format!("{}/locations", paths.subscription()),
        api::SUBSCRIPTIONS,
    );
    let wanted = &settings.azure.location;
    match client.list(&call).await {
        Err(failure) => doubt(NAME, &failure),
        Ok(all) if all.iter().any(|one| one["name"] == **wanted) => {
            check(NAME, Verdict::Fine, wanted)
        }
        Ok(all) => {
            let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
            let near = nearest(wanted, &names);
            check(
                NAME,
                Verdict::Stop,
                format!("the subscription has no region {wanted}{near}"),
            )
        }
    }
}

fn nearest(wanted: &str, names: &[&str]) -> String {
    names
        .iter()
        .min_by_key(|name| strsim::damerau_levenshtein(wanted, name))
        .map_or_else(String::new, |near| format!("; the nearest is {near}"))
}

/// Names that are unique in all of Azure: free, or ours.
async fn names(client: &Client, paths: &Paths, settings: &Settings, there: &There) -> Vec<Check> {
    let mut checks = Vec::new();
    if there.account.is_none() {
        let name = Unique {
            what: "storage account",
            name: &settings.storage.account,
            path: paths.account(&settings.storage.account),
            kind: "Microsoft.Storage/storageAccounts",
            api: api::STORAGE,
            key: "storage.account",
        };
        checks.push(name.check(client, paths).await);
    }
    if there.registry.is_none() && !settings.registry.name.is_empty() {
        let name = Unique {
            what: "registry",
            name: &settings.registry.name,
            path: paths.registry(&settings.registry.name),
            kind: "Microsoft.ContainerRegistry/registries",
            api: api::REGISTRY,
            key: "registry.name",
        };
        checks.push(name.check(client, paths).await);
    }
    checks
}

/// A name that may be there once in all of Azure.
struct Unique<'a> {
    what: &'static str,
    name: &'a str,
    path: String,
    kind: &'static str,
    api: &'static str,
    key: &'static str,
}

impl Unique<'_> {
    async fn check(&self, client: &Client, paths: &Paths) -> Check {
        let name = self.name;
        let namespace = self.kind.split('/').next().unwrap_or_default();
        let call = Call::post(
            format!("ask whether the name {name} is free"),
            format!("{}/checkNameAvailability", paths.provider(namespace)),
            self.api,
        )
        .body(json!({"name": name, "type": self.kind}));
        let answer = match client.send(&call).await {
            Err(failure) => return doubt(self.what, &failure),
            Ok(answer) => answer.body,
        };
        if answer["nameAvailable"] == true {
            return check(self.what, Verdict::Fine, format!("{name} is free"));
        }
        // Somebody else may be making the same test bed at this very moment.
        let read = Call::get(
            format!("read the {} {name}", self.what),
            &self.path,
            self.api,
        );
        match client.find(&read).await {
            Err(failure) => doubt(self.what, &failure),
            Ok(Some(_)) => check(
                self.what,
                Verdict::Fine,
                format!("{name} is just being made"),
            ),
            Ok(None) => check(
                self.what,
                Verdict::Stop,
                format!(
                    "{}: choose another {}",
                    answer["message"].as_str().unwrap_or("the name is taken"),
                    self.key
                ),
            ),
        }
    }
}

async fn versions(client: &Client, paths: &Paths, settings: &Settings, there: &There) -> Check {
    const NAME: &str = "kubernetes";
    let path = format!(
        "{}/locations/{}/kubernetesVersions",
        paths.provider("Microsoft.ContainerService"),
        settings.azure.location
    );
    let call = Call::get(
        "list the versions of Kubernetes",
        path,
        api::CONTAINER_SERVICE,
    );
    let body = match client.send(&call).await {
        Ok(answer) => answer.body,
        Err(failure) => return doubt(NAME, &failure),
    };
    let all: Vec<&Value> = body["values"].as_array().into_iter().flatten().collect();
    let version = |one: &Value| one["version"].as_str().unwrap_or_default().to_owned();
    let wanted = &settings.cluster.kubernetes_version;
    let current = there
        .cluster
        .as_ref()
        .and_then(|cluster| cluster["properties"]["currentKubernetesVersion"].as_str());
    if wanted.is_empty() {
        let default = all
            .iter()
            .find(|one| one["isDefault"] == true)
            .map(|one| version(one));
        return match (current, default) {
            (Some(current), _) => check(NAME, Verdict::Fine, format!("{current}, as it is")),
            (None, Some(default)) => check(
                NAME,
                Verdict::Fine,
                format!("{default}, the region's default"),
            ),
            (None, None) => check(NAME, Verdict::Fine, "the region's default"),
        };
    }
    let known = |one: &&Value| {
        let minor = version(one);
        minor == *wanted || one["patchVersions"].get(wanted).is_some()
    };
    if all.iter().any(known) {
        return check(NAME, Verdict::Fine, wanted);
    }
    let names: Vec<String> = all.iter().map(|one| version(one)).collect();
    check(
        NAME,
        Verdict::Stop,
        format!(
            "the region has no version {wanted}: it has {}",
            names.join(", ")
        ),
    )
}

async fn locks(client: &Client, paths: &Paths, there: &There) -> Option<Check> {
    const NAME: &str = "locks";
    there.group.as_ref()?;
    match locks_of(client, &paths.group()).await {
        Err(failure) => Some(doubt(NAME, &failure)),
        Ok(locks) => {
            let read_only: Vec<&str> = locks
                .iter()
                .filter(|lock| lock.level == "ReadOnly")
                .map(|lock| lock.name.as_str())
                .collect();
            if read_only.is_empty() {
                return None;
            }
            Some(check(
                NAME,
                Verdict::Stop,
                format!(
                    "the lock {} forbids every change: whoever owns it can remove it",
                    read_only.join(", ")
                ),
            ))
        }
    }
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `CanNotDelete` or `ReadOnly`.
    pub level: String,
    /// What its owner wrote.
    pub notes: String,
}

/// The locks on `scope`, on what it is in and on what is in it.
pub async fn locks_of(client: &Client, scope: &str) -> Result<Vec<Lock>, Failure> {
    let call = Call::get(
        "list the locks",
        format!("{scope}/providers/Microsoft.Authorization/locks"),
        api::LOCKS,
    );
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(client
        .list(&call)
        .await?
        .iter()
        .map(|lock| Lock {
            name: text(&lock["name"]),
            id: text(&lock["id"]),
            level: text(&lock["properties"]["level"]),
            notes: text(&lock["properties"]["notes"]),
        })
        .collect())
}
