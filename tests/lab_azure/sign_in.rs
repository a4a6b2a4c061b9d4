//! Who may ask, and how what is asked wrongly is refused.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::azure::{Azure, RESOURCES};
use crate::lab;

#[tokio::test]
async fn a_service_principal_signs_in_and_nobody_else_does() {
    let lab = lab(&[]);
    let mode = std::fs::metadata(lab.state.join("azure.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let stranger = Azure::stranger(&lab);
    let (tenant, client) = (stranger.text("tenant"), stranger.text("client_id"));
    let base = stranger.text("resource_manager");

    let path = format!("/{tenant}/v2.0/.well-known/openid-configuration");
    let discovery = stranger.send("GET", &path, Vec::new()).await;
    let endpoint = format!("{base}/{tenant}/oauth2/v2.0/token");
    assert_eq!(discovery.body["token_endpoint"], endpoint);
    let path = format!(
        "/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/{tenant}/oauth2/v2.0/authorize"
    );
    let instance = stranger.send("GET", &path, Vec::new()).await;
    assert_eq!(
        instance.body["metadata"][0]["preferred_network"],
        base["https://".len()..]
    );

    for (client, secret, status, error, number) in [
        (client.as_str(), "wrong", 401, "invalid_client", 7_000_215),
        ("somebody", "x", 400, "unauthorized_client", 700_016),
    ] {
        let refused = stranger.sign_in(client, secret).await;
        assert_eq!(
            (refused.status, &refused.body["error"]),
            (status, &json!(error))
        );
        assert_eq!(refused.body["error_codes"], json!([number]));
        let words = refused.body["error_description"].as_str().unwrap();
        assert!(words.starts_with(&format!("AADSTS{number}: ")), "{words}");
    }
    let refused = stranger.get("/subscriptions", "2022-12-01").await;
    assert_eq!(
        (refused.status, refused.code()),
        (401, "AuthenticationFailed")
    );
    assert!(refused.header("www-authenticate").contains(&tenant));

    let azure = Azure::of(&lab).await;
    let all = azure
        .get("/subscriptions", "2022-12-01")
        .await
        .expect(&[200]);
    assert_eq!(
        all.body["value"][0]["subscriptionId"],
        azure.text("subscription")
    );
    assert_eq!(all.body["value"][0]["tenantId"], tenant);
    for header in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
    ] {
        assert!(!all.header(header).is_empty(), "{header}");
    }
    let mut forged = Azure::of(&lab).await;
    forged.token.push('x');
    let refused = forged.get("/subscriptions", "2022-12-01").await;
    assert_eq!(
        (refused.status, refused.code()),
        (401, "InvalidAuthenticationToken")
    );
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_in_azures_words() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let subscription = azure.text("subscription");
    let group = azure.group("nobody");
    let path = format!("/subscriptions/{subscription}/locations");
    let other = "/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups";
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/abc");
    for (method, path, version, status, code) in [
        (
            "GET",
            path.as_str(),
            "2099-01-01",
            400,
            "InvalidApiVersionParameter",
        ),
        (
            "GET",
            "/subscriptions",
            "",
            400,
            "MissingApiVersionParameter",
        ),
        ("GET", other, RESOURCES, 404, "SubscriptionNotFound"),
        (
            "GET",
            group.as_str(),
            RESOURCES,
            404,
            "ResourceGroupNotFound",
        ),
        (
            "GET",
            account.as_str(),
            "2025-08-01",
            404,
            "ResourceGroupNotFound",
        ),
        (
            "GET",
            account.as_str(),
            "2099-01-01",
            400,
            "InvalidResourceType",
        ),
        (
            "DELETE",
            path.as_str(),
            "2022-12-01",
            405,
            "HttpMethodNotAllowed",
        ),
        (
            "GET",
            "/nowhere/at/all",
            RESOURCES,
            404,
            "InvalidResourceType",
        ),
        (
            "PUT",
            group.as_str(),
            RESOURCES,
            400,
            "InvalidRequestContent",
        ),
    ] {
        let refused = azure.call(method, path, version, &Value::Null).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{path} {refused:?}"
        );
    }
    let locations = azure.get(&path, "2022-12-01").await;
    let names = locations.body["value"].as_array().unwrap();
    assert!(
        names
            .iter()
            .any(|it| it["name"] == "eastus" && it["displayName"] == "East US")
    );
}

#[tokio::test]
async fn too_many_requests_are_refused_with_the_time_to_wait() {
    let lab = lab(&["--azure-fault", "throttle"]);
    let azure = Azure::of(&lab).await;
    let mut refused = 0;
    for _ in 0..9 {
        let reply = azure.get("/subscriptions", "2022-12-01").await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
            assert_eq!(reply.code(), "SubscriptionRequestsThrottled");
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
}
