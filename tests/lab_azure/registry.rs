//! Registries, and what is built in them.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::lab;

const REGISTRY: &str = "2025-11-01";
const TASKS: &str = "2019-04-01";

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (name, text) in files {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        let size = format!("{:011o}\0", text.len());
        head[124..136].copy_from_slice(size.as_bytes());
        packed.write_all(&head).unwrap();
        packed.write_all(text.as_bytes()).unwrap();
        packed
            .write_all(&vec![0; text.len().next_multiple_of(512) - text.len()])
            .unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.finish().unwrap()
}

async fn registry(azure: &Azure) -> String {
    let group = azure.make_group("rg1").await;
    let registry = format!("{group}/providers/Microsoft.ContainerRegistry/registries/images1");
    let body = json!({"location": "eastus", "sku": {"name": "Basic"}, "properties": {"adminUserEnabled": false}});
    let made = azure
        .call("PUT", &registry, REGISTRY, &body)
        .await
        .expect(&[201]);
    let done = azure.follow(&made).await;
    assert_eq!(done.body["status"], "Succeeded");
    registry
}

/// Follows a run's log as Azure's own client does, until it is marked complete.
async fn read_to_the_end(azure: &Azure, link: &str) -> String {
    let mut log = String::new();
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        assert!(std::time::Instant::now() < end, "the log never ends: {log}");
        let range = format!("bytes={}-", log.len());
        let part = azure
            .send_with("GET", link, Vec::new(), &[("x-ms-range", &range)])
            .await;
        match part.status {
            206 => log.push_str(part.body.as_str().unwrap()),
            404 | 416 => {}
            other => panic!("{other}: {part:?}"),
        }
        let whole = azure.send("HEAD", link, Vec::new()).await;
        if !whole.header("x-ms-meta-complete").is_empty()
            && whole.header("content-length") == log.len().to_string()
        {
            return log;
        }
    }
}

#[tokio::test]
async fn an_image_is_built_from_what_was_uploaded_and_its_log_is_streamed() {
    let lab = lab(&[]);
    let mut azure = Azure::of(&lab).await;
    let registry = registry(&azure).await;
    let there = azure.get(&registry, REGISTRY).await.body;
    assert_eq!(there["properties"]["loginServer"], "images1.azurecr.io");
    let upload = format!("{registry}/listBuildSourceUploadUrl");
    let upload = azure
        .call("POST", &upload, TASKS, &Value::Null)
        .await
        .expect(&[200])
        .body;
    let url = upload["uploadUrl"].as_str().unwrap();
    let token = std::mem::take(&mut azure.token);
    // The address is signed: no token goes there, and no other address opens.
    let source = tar(&[
        ("app/main", "x"),
        (
            "Dockerfile",
            "FROM scratch\nCOPY app /app\nCMD [\"/app/main\"]\n",
        ),
    ]);
    let headers = [("x-ms-blob-type", "BlockBlob")];
    assert_eq!(
        azure
            .send_with("PUT", url, source.clone(), &headers)
            .await
            .status,
        201
    );
    let forged = url.replace("sig=", "sig=x");
    let refused = azure.send_with("PUT", &forged, source, &headers).await;
    assert_eq!(
        (refused.status, refused.header("x-ms-error-code")),
        (403, "AuthenticationFailed")
    );
    azure.token = token;

    let request = json!({
        "type": "DockerBuildRequest", "imageNames": ["aks-tui/perftest:1"], "isPushEnabled": true,
        "dockerFilePath": "Dockerfile", "platform": {"os": "Linux", "architecture": "amd64"},
        "sourceLocation": upload["relativePath"],
    });
    let schedule = format!("{registry}/scheduleRun");
    let run = azure
        .call("POST", &schedule, TASKS, &request)
        .await
        .expect(&[200])
        .body;
    let id = run["id"].as_str().unwrap().to_owned();
    let link = azure
        .call("POST", &format!("{id}/listLogSasUrl"), TASKS, &Value::Null)
        .await
        .body;
    let link = link["logLink"].as_str().unwrap().to_owned();
    let log = read_to_the_end(&azure, &link).await;
    assert!(
        log.contains("Step 2/3 : COPY app /app")
            && log.contains("Successfully tagged aks-tui/perftest:1"),
        "{log}"
    );
    let run = azure.get(&id, TASKS).await.body;
    assert_eq!(run["properties"]["status"], "Succeeded");
    let image = &run["properties"]["outputImages"][0];
    assert_eq!(
        (&image["repository"], &image["tag"]),
        (&json!("aks-tui/perftest"), &json!("1"))
    );

    let mut without = request.clone();
    without["sourceLocation"] = json!("source/none.tar.gz");
    let run = azure.call("POST", &schedule, TASKS, &without).await.body;
    let id = run["id"].as_str().unwrap().to_owned();
    let mut run = run;
    while ["Queued", "Running"]
        .iter()
        .any(|it| run["properties"]["status"] == *it)
    {
        run = azure.get(&id, TASKS).await.body;
    }
    assert_eq!(run["properties"]["status"], "Failed");
    assert!(
        run["properties"]["runErrorMessage"]
            .as_str()
            .unwrap()
            .contains("sourceLocation")
    );
}

#[tokio::test]
async fn a_registry_may_be_refused_its_name_its_keys_and_its_builds() {
    let lab = lab(&["--azure-fault", "build"]);
    let azure = Azure::of(&lab).await;
    let registry = registry(&azure).await;
    let check = format!(
        "/subscriptions/{}/providers/Microsoft.ContainerRegistry/checkNameAvailability",
        azure.text("subscription")
    );
    let ask = |name: &str| json!({"name": name, "type": "Microsoft.ContainerRegistry/registries"});
    let taken = azure
        .call("POST", &check, REGISTRY, &ask("images1"))
        .await
        .body;
    assert_eq!(taken["reason"], "AlreadyExists");
    assert_eq!(
        azure.call("POST", &check, REGISTRY, &ask("a-b")).await.body["reason"],
        "Invalid"
    );
    assert_eq!(
        azure
            .call("POST", &check, REGISTRY, &ask("other1"))
            .await
            .body,
        json!({"nameAvailable": true})
    );
    let keys = azure
        .call(
            "POST",
            &format!("{registry}/listCredentials"),
            REGISTRY,
            &Value::Null,
        )
        .await;
    assert_eq!(
        (keys.status, keys.code()),
        (400, "UnAuthorizedForCredentialOperations")
    );
    let upload = azure
        .call(
            "POST",
            &format!("{registry}/listBuildSourceUploadUrl"),
            TASKS,
            &Value::Null,
        )
        .await;
    assert_eq!(
        (upload.status, upload.code()),
        (400, "TasksOperationsNotAllowed")
    );
    let going = azure
        .call("DELETE", &registry, REGISTRY, &Value::Null)
        .await
        .expect(&[202]);
    azure.follow(&going).await;
    assert_eq!(azure.get(&registry, REGISTRY).await.status, 404);
}
