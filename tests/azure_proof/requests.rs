//! Every request that the program sends is one that Azure's own packages send: method,
//! path, version of the interface, and what a body must have.

use regex::Regex;
use serde_json::Value;

use crate::{bed::Bed, between::Seen};

const TABLE: &str = include_str!("../azure_sdk/operations.json");

/// An operation of the packages.
struct Known {
    method: String,
    path: Regex,
    template: String,
    version: String,
    required: Vec<String>,
}

fn table() -> Vec<Known> {
    let table: Vec<Value> = serde_json::from_str(TABLE).unwrap();
    let parameter = Regex::new(r"\\\{(\w+)\\\}").unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    table
        .iter()
        .map(|operation| {
            let template = text(&operation["path"]);
            let escaped = regex::escape(template.trim_end_matches('/'));
            // A scope is a path of its own, with or without its slash in front.
            let pattern =
                parameter.replace_all(&escaped, |name: &regex::Captures<'_>| match &name[1] {
                    "scope" | "resourceId" => ".+",
                    _ => "[^/]+",
                });
            Known {
                method: text(&operation["method"]),
                path: Regex::new(&format!("(?i)^{pattern}$")).unwrap(),
                template,
                version: text(&operation["api_version"]),
                required: operation["required"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect(),
            }
        })
        .collect()
}

/// Whether `body` has not what `path` says, though it has what that is in.
fn lacks(body: &Value, path: &str) -> bool {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let Some(rest) = rest else {
        return body[first].is_null();
    };
    match first.strip_suffix("[]") {
        Some(list) => body[list]
            .as_array()
            .is_some_and(|items| items.iter().any(|item| lacks(item, rest))),
        None if first == "*" => body
            .as_object()
            .is_some_and(|all| all.values().any(|value| lacks(value, rest))),
        None => body[first].is_object() && lacks(&body[first], rest),
    }
}

/// What the packages would not have sent so; what it is called there otherwise.
fn check(table: &[Known], seen: &Seen) -> Result<String, String> {
    let parameters: Vec<(String, String)> = form_urlencoded::parse(seen.query.as_bytes())
        .into_owned()
        .collect();
    let version = parameters.iter().find(|(name, _)| name == "api-version");
    let version = version.map_or("", |(_, version)| version);
    let what = format!("{} {}?api-version={version}", seen.method, seen.path);
    let here: Vec<&Known> = table
        .iter()
        .filter(|known| known.method == seen.method && known.path.is_match(&seen.path))
        .collect();
    let Some(known) = here.iter().find(|known| known.version == version) else {
        let versions: Vec<&str> = here.iter().map(|known| known.version.as_str()).collect();
        return Err(format!("{what}: the packages know {versions:?}"));
    };
    let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let missing: Vec<&String> = known
        .required
        .iter()
        .filter(|path| lacks(&body, path))
        .collect();
    if missing.is_empty() {
        Ok(format!("{} {}", known.method, known.template))
    } else {
        Err(format!("{what}: the body lacks {missing:?}"))
    }
}

/// What was asked of somebody else, or at an address that an answer named; and what a
/// caller may do in a subscription without the group that the packages want for it: if
/// that is not answered, the plan says that it does not know.
fn is_of_no_package(seen: &Seen, before: &[Seen]) -> bool {
    let rights = "/providers/Microsoft.Authorization/permissions";
    (seen.path.ends_with(rights) && !seen.path.contains("/resourceGroups/"))
        || seen.path.ends_with("/oauth2/v2.0/token")
        || seen.path.contains("/.well-known/")
        || seen.path == "/api/retail/prices"
        || before.iter().any(|earlier| earlier.names(&seen.path))
}

/// Runs commands that send every kind of request.
async fn ask_everything(bed: &Bed) {
    bed.run("provision --register --yes")
        .await
        .well("provision");
    bed.run("provision --plan").await.well("plan");
    bed.run("cluster status --json").await.well("status");
    let status = bed.run("cluster status --json").await.out;
    let status: Value = serde_json::from_str(status.lines().last().unwrap()).unwrap();
    let node = status["nodes"][0]["node"].as_str().unwrap().to_owned();
    for operation in ["restart", "power-off", "start", "deallocate"] {
        let line = format!("cluster node {node} {operation} --yes");
        bed.run(&line).await.well(&line);
    }
    for line in ["heal", "stop", "start"] {
        let line = format!("cluster {line} --yes");
        bed.run(&line).await.well(&line);
    }
    let line = format!("cluster node {node} reimage --yes");
    bed.run(&line).await.well(&line);
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let line = format!("build {} --image proof:1", context.path().display());
    bed.run(&line).await.well(&line);
    for line in ["clean auth --yes", "clean most --yes", "clean all --yes"] {
        bed.run(line).await.well(line);
    }
}

/// What must have been among the requests, so that nothing is proved of nothing.
const EXPECTED: [&str; 17] = [
    "PUT /subscriptions/{subscriptionId}/resourcegroups/{resourceGroupName}",
    "DELETE /subscriptions/{subscriptionId}/resourcegroups/{resourceGroupName}",
    "POST .../{resourceProviderNamespace}/register",
    "PUT .../deployments/{deploymentName}",
    "POST .../deployments/{deploymentName}/whatIf",
    "POST .../deployments/{deploymentName}/cancel",
    "POST .../Microsoft.Storage/checkNameAvailability",
    "POST .../storageAccounts/{accountName}/listKeys",
    "DELETE .../storageAccounts/{accountName}",
    "DELETE .../registries/{registryName}",
    "POST .../registries/{registryName}/scheduleRun",
    "POST .../managedClusters/{resourceName}/listClusterUserCredential",
    "POST .../managedClusters/{resourceName}/stop",
    "POST .../managedClusters/{resourceName}/start",
    "GET .../agentPools/{agentPoolName}/machines",
    "POST .../{instanceId}/deallocate",
    "POST .../{instanceId}/reimage",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_what_azures_own_packages_ask() {
    let bed = Bed::start(600.0, &["--azure-fault", "provider"]).await;
    // Somebody who is interrupted cancels.
    bed.run("provision --register --plan").await;
    bed.interrupt_at("provision --register --yes", "PUT", "/deployments/")
        .await;
    ask_everything(&bed).await;
    let all = bed.between.seen();
    bed.stop().await;
    let table = table();
    let mut called = Vec::new();
    let mut wrong = Vec::new();
    for (at, seen) in all.iter().enumerate() {
        if is_of_no_package(seen, &all[..at]) {
            continue;
        }
        match check(&table, seen) {
            Ok(name) => called.push(name),
            Err(why) => wrong.push(why),
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let there = |expected: &&str| {
        let (method, end) = expected.split_once(' ').unwrap();
        let end = end.trim_start_matches("...");
        called
            .iter()
            .any(|it| it.starts_with(method) && it.to_lowercase().ends_with(&end.to_lowercase()))
    };
    let missing: Vec<&&str> = EXPECTED.iter().filter(|it| !there(it)).collect();
    assert!(
        missing.is_empty(),
        "never asked: {missing:#?} of {called:#?}"
    );
}
