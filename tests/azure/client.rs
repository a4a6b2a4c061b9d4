use std::time::Duration;

use aks_tui::adapters::azure::{Notice, client::Call};
use serde_json::json;

use crate::fake::{Fake, Reply};

const PATH: &str = "/subscriptions/s/resourceGroups/g";

#[tokio::test]
async fn a_throttled_request_is_sent_again_when_the_service_says_and_the_wait_is_told() {
    let fake = Fake::start(|_, before| match before {
        0 => Reply::json(
            429,
            &json!({"error": {"code": "TooManyRequests", "message": "slow down"}}),
        )
        .with("retry-after", "1"),
        1 => Reply::empty(503),
        _ => Reply::json(200, &json!({"name": "g"}))
            .with("x-ms-ratelimit-remaining-subscription-reads", "7"),
    })
    .await;
    let client = fake.client().await;
    let answer = client
        .send(&Call::get("read the group", PATH, "2024-11-01"))
        .await
        .unwrap();
    assert_eq!(answer.body["name"], "g");
    let notices = fake.notices();
    assert!(
        matches!(&notices[0], Notice::Retry { wait, why, attempt: 2, .. } if *wait == Duration::from_secs(1) && why.contains("slow down")),
        "{notices:?}"
    );
    assert!(
        matches!(&notices[1], Notice::Retry { attempt: 3, .. }),
        "{notices:?}"
    );
    assert_eq!(
        notices[2],
        Notice::Low {
            budget: "subscription-reads".to_owned(),
            left: 7
        }
    );
    let seen = fake.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].query, "api-version=2024-11-01");
    assert!(seen[0].authorization.starts_with("Bearer token-"));
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    let fake = Fake::start(|_, _| {
        Reply::json(
            409,
            &json!({"error": {"code": "ScopeLocked", "message": "The scope \"/x\" is locked."}}),
        )
        .with("x-ms-correlation-request-id", "c-1")
    })
    .await;
    let client = fake.client().await;
    let failure = client
        .send(&Call::delete("delete the group", PATH, "2024-11-01"))
        .await
        .unwrap_err();
    assert!(failure.has("ScopeLocked"));
    let said = failure.to_string();
    assert!(
        said.contains("delete the group") && said.contains("is locked") && said.contains("c-1"),
        "{said}"
    );
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_token_that_was_refused_is_renewed_once() {
    let fake = Fake::start(|seen, _| {
        if seen.authorization == "Bearer token-0" {
            Reply::json(
                401,
                &json!({"error": {"code": "ExpiredAuthenticationToken", "message": "old"}}),
            )
        } else {
            Reply::json(200, &json!({}))
        }
    })
    .await;
    let client = fake.client().await;
    client
        .send(&Call::get("read the group", PATH, "2024-11-01"))
        .await
        .unwrap();
    assert_eq!(fake.sign_ins().len(), 2);
}

#[tokio::test]
async fn pages_are_followed_and_a_token_goes_nowhere_else() {
    let fake = Fake::start(|seen, _| {
        let next = if seen.path == "/elsewhere" {
            "https://evil.example/steal".to_owned()
        } else if seen.query.contains("page=2") {
            return Reply::json(200, &json!({"value": [{"name": "b"}]}));
        } else {
            format!("{}?page=2", seen.path)
        };
        Reply::json(200, &json!({"value": [{"name": "a"}], "nextLink": next}))
    })
    .await;
    let client = fake.client().await;
    let all = client.list(&Call::get("list", "/list", "1")).await.unwrap();
    assert_eq!(all.len(), 2);
    let failure = client
        .list(&Call::get("list", "/elsewhere", "1"))
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("no token is sent there"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_operation_is_followed_by_its_status_address() {
    let fake =
        Fake::start(
            |seen, before| match (seen.method.as_str(), seen.path.as_str(), before) {
                ("PUT", ..) => Reply::json(
                    201,
                    &json!({"properties": {"provisioningState": "Creating"}}),
                )
                .with("azure-asyncoperation", "/op/1?t=opaque")
                .with("retry-after", "0"),
                ("GET", "/op/1", 0) => {
                    Reply::json(200, &json!({"status": "InProgress"})).with("retry-after", "0")
                }
                ("GET", "/op/1", 1) => {
                    Reply::json(200, &json!({"status": "Updating"})).with("retry-after", "0")
                }
                ("GET", "/op/1", _) => Reply::json(200, &json!({"status": "Succeeded"})),
                _ => Reply::json(
                    200,
                    &json!({"name": "made", "properties": {"provisioningState": "Succeeded"}}),
                ),
            },
        )
        .await;
    let client = fake.client().await;
    let mut states = Vec::new();
    let call = Call::put("create it", PATH, "1", json!({}));
    let made = client
        .operate(&call, &mut |state| states.push(state.to_owned()))
        .await
        .unwrap();
    assert_eq!(made["name"], "made");
    assert_eq!(states, ["InProgress", "Updating"]);
}

#[tokio::test]
async fn an_operation_is_followed_by_its_location() {
    let fake = Fake::start(|seen, before| match (seen.method.as_str(), before) {
        ("DELETE", _) => Reply::empty(202)
            .with("location", "/results/1")
            .with("retry-after", "0"),
        ("GET", 0) => Reply::empty(202)
            .with("location", "/results/2")
            .with("retry-after", "0"),
        _ => Reply::empty(200),
    })
    .await;
    let client = fake.client().await;
    client
        .operate(&Call::delete("delete it", PATH, "1"), &mut |_| {})
        .await
        .unwrap();
    let paths: Vec<_> = fake.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, [PATH, "/results/1", "/results/2", "/results/2"]);
}

#[tokio::test]
async fn an_operation_is_followed_by_the_resource_itself_and_its_failure_is_found() {
    let fake = Fake::start(|seen, before| match (seen.method.as_str(), before) {
        ("PUT", _) => Reply::json(201, &json!({"properties": {"provisioningState": "Creating"}})).with("retry-after", "0"),
        ("GET", 0) => Reply::json(200, &json!({"properties": {"provisioningState": "Creating"}})).with("retry-after", "0"),
        _ => Reply::json(200, &json!({"properties": {"provisioningState": "Failed",
            "error": {"code": "DeploymentFailed", "message": "see", "details": [{"code": "SkuNotAvailable", "message": "no such size here"}]}}})),
    })
    .await;
    let client = fake.client().await;
    let failure = client
        .operate(&Call::put("create it", PATH, "1", json!({})), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(failure.deepest().unwrap().code, "SkuNotAvailable");
    assert!(failure.to_string().contains("cluster.vm_size"), "{failure}");
}
