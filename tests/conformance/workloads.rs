//! Stateful sets, jobs, and what finds their pods.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::frame::{Case, case, eventually, kubectl_case, within};

/// A stateful set of sleeping pods, with its service.
fn web(case: &Case, replicas: u64, more: &str) -> String {
    let image = case.image();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{clusterIP: None, selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}]}}\n---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: web}}\nspec:\n  serviceName: web\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: web}}}}\n{more}  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{{name: c, image: '{image}', command: [sleep, '100000'], ports: [{{name: http, containerPort: 8080}}]}}]\n"
    )
}

const ROLLED_OUT: [&str; 4] = ["rollout", "status", "sts/web", "--timeout=120s"];

#[test]
fn a_stateful_set_keeps_names_through_loss_update_and_undo() {
    kubectl_case("stateful", async |case| {
        case.apply(&web(case, 2, ""));
        case.ok(&ROLLED_OUT);
        let names = ["get", "pods", "-l", "app=web", "-o", "name"];
        assert_eq!(case.ok(&names), "pod/web-0\npod/web-1\n");
        let labels = case.ok(&[
            "get",
            "pod/web-1",
            "-o",
            "jsonpath={.metadata.labels.statefulset\\.kubernetes\\.io/pod-name} {.metadata.labels.apps\\.kubernetes\\.io/pod-index} {.spec.hostname} {.spec.subdomain}",
        ]);
        assert_eq!(labels, "web-1 1 web-1 web");
        let uid = ["get", "pod/web-0", "-o", "jsonpath={.metadata.uid}"];
        let before = case.ok(&uid);
        case.ok(&["delete", "pod/web-0"]);
        case.ok(&ROLLED_OUT);
        assert_ne!(case.ok(&uid), before);

        case.ok(&["set", "env", "sts/web", "GREETING=hello"]);
        let said = case.ok(&ROLLED_OUT);
        assert!(said.contains("roll"), "{said}");
        let greeting = [
            "get",
            "pods",
            "-l",
            "app=web",
            "-o",
            "jsonpath={.items[*].spec.containers[0].env[*].value}",
        ];
        assert_eq!(case.ok(&greeting), "hello hello");
        let history = case.ok(&["rollout", "history", "sts/web"]);
        assert!(
            history.contains("\n1 ") && history.contains("\n2 "),
            "{history}"
        );
        case.ok(&["rollout", "undo", "sts/web"]);
        case.ok(&ROLLED_OUT);
        assert_eq!(case.ok(&greeting), "");
        case.ok(&["scale", "sts/web", "--replicas=1"]);
        case.ok(&["wait", "--for=delete", "pod/web-1", "--timeout=60s"]);
        assert_eq!(case.ok(&names), "pod/web-0\n");
    });
}

#[test]
fn a_stateful_set_updates_from_the_top_down_to_its_partition() {
    kubectl_case("partition", async |case| {
        let strategy = "  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}\n";
        case.apply(&web(case, 2, strategy));
        case.ok(&ROLLED_OUT);
        case.ok(&["set", "env", "sts/web", "GREETING=hello"]);
        let said = case.ok(&ROLLED_OUT);
        assert!(
            said.contains("partitioned roll out complete: 1 new pods"),
            "{said}"
        );
        let of = |pod| {
            [
                "get",
                pod,
                "-o",
                "jsonpath={.spec.containers[0].env[*].value}",
            ]
        };
        assert_eq!(case.ok(&of("pod/web-0")), "");
        assert_eq!(case.ok(&of("pod/web-1")), "hello");
    });
}

#[test]
fn claims_of_a_stateful_set_stay_unless_told_otherwise() {
    kubectl_case("retention", async |case| {
        let claims: Api<PersistentVolumeClaim> = case.api();
        // Of no class: they are never bound, and nothing is made outside.
        let more = "  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}\n  podManagementPolicy: Parallel\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: '', accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]\n";
        case.apply(&web(case, 2, more));
        let names = async || {
            let list = claims.list(&ListParams::default()).await.unwrap();
            let names = list.items.into_iter().filter_map(|it| it.metadata.name);
            names.collect::<Vec<_>>()
        };
        eventually("two claims", async || {
            names().await == ["data-web-0", "data-web-1"]
        })
        .await;
        case.ok(&["scale", "sts/web", "--replicas=1"]);
        eventually("one claim", async || names().await == ["data-web-0"]).await;
        case.ok(&["delete", "sts/web", "--cascade=foreground", "--timeout=60s"]);
        assert_eq!(names().await, ["data-web-0"]);
    });
}

#[test]
fn a_service_finds_its_pods_while_they_are_ready() {
    kubectl_case("endpoints", async |case| {
        case.apply(&web(case, 2, ""));
        case.ok(&ROLLED_OUT);
        let slices: Api<EndpointSlice> = case.api();
        let of_web = ListParams::default().labels("kubernetes.io/service-name=web");
        let found = async || {
            let list = slices.list(&of_web).await.unwrap();
            let mut found: Vec<(String, bool, Option<i32>)> = Vec::new();
            for slice in list.items {
                let port = slice.ports.and_then(|ports| ports.first()?.port);
                for endpoint in slice.endpoints {
                    let pod = endpoint.target_ref.and_then(|it| it.name);
                    let ready = endpoint.conditions.and_then(|it| it.ready);
                    found.push((pod.unwrap(), ready == Some(true), port));
                }
            }
            found.sort();
            found
        };
        let is = |pod: &str| (pod.to_owned(), true, Some(8080));
        eventually("both are found", async || {
            found().await == [is("web-0"), is("web-1")]
        })
        .await;
        case.ok(&["scale", "sts/web", "--replicas=1"]);
        eventually("one is found", async || found().await == [is("web-0")]).await;
        let described = case.ok(&["describe", "service", "web"]);
        assert!(
            described.contains("Endpoints:") && described.contains(":8080"),
            "{described}"
        );
        case.ok(&["delete", "service", "web"]);
        eventually("none is left", async || found().await.is_empty()).await;
    });
}

async fn run_job(case: &Case, name: &str, command: &str, spec: Value) -> Api<Job> {
    let jobs: Api<Job> = case.api();
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": case.image(), "command": ["sh", "-c", command]}],
        }}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    let object = serde_json::from_value(object).unwrap();
    jobs.create(&PostParams::default(), &object).await.unwrap();
    jobs
}

async fn until(jobs: &Api<Job>, name: &str, condition: &str) -> Job {
    let waiting = kube::runtime::wait::await_condition(jobs.clone(), name, |job: Option<&Job>| {
        let status = job.and_then(|job| job.status.as_ref());
        let conditions = status.and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| {
            all.iter()
                .any(|it| it.type_ == condition && it.status == "True")
        })
    });
    within(condition, waiting).await.unwrap().unwrap()
}

#[test]
fn a_job_runs_until_enough_pods_have_succeeded() {
    case("job", async |case| {
        let spec = json!({"completions": 3, "parallelism": 2});
        let jobs = run_job(case, "count", "exit 0", spec).await;
        let status = until(&jobs, "count", "Complete").await.status.unwrap();
        assert_eq!(status.succeeded, Some(3));
        assert!(status.completion_time.is_some());
        let pods: Api<Pod> = case.api();
        let of = ListParams::default().labels("batch.kubernetes.io/job-name=count");
        assert_eq!(pods.list(&of).await.unwrap().items.len(), 3);
        jobs.delete("count", &DeleteParams::background())
            .await
            .unwrap();
        eventually("its pods go", async || {
            pods.list(&of).await.unwrap().items.is_empty()
        })
        .await;
    });
}

#[test]
fn a_job_fails_after_its_last_allowed_failure() {
    case("job-fails", async |case| {
        let spec = json!({"backoffLimit": 0});
        let jobs = run_job(case, "bad", "exit 3", spec).await;
        let status = until(&jobs, "bad", "Failed").await.status.unwrap();
        assert_eq!(status.failed, Some(1));
        let conditions = status.conditions.unwrap();
        let failed = conditions.iter().find(|it| it.type_ == "Failed").unwrap();
        assert_eq!(failed.reason.as_deref(), Some("BackoffLimitExceeded"));
        let message = "Job has reached the specified backoff limit";
        assert_eq!(failed.message.as_deref(), Some(message));
    });
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    case("job-late", async |case| {
        let spec = json!({"activeDeadlineSeconds": 3});
        let jobs = run_job(case, "slow", "sleep 100000", spec).await;
        let status = until(&jobs, "slow", "Failed").await.status.unwrap();
        let conditions = status.conditions.unwrap();
        let failed = conditions.iter().find(|it| it.type_ == "Failed").unwrap();
        assert_eq!(failed.reason.as_deref(), Some("DeadlineExceeded"));
        assert_eq!(status.active.unwrap_or(0), 0);
    });
}

#[test]
fn each_pod_of_an_indexed_job_knows_its_index() {
    kubectl_case("job-index", async |case| {
        let spec = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2});
        let jobs = run_job(case, "parts", "echo part $JOB_COMPLETION_INDEX", spec).await;
        let status = until(&jobs, "parts", "Complete").await.status.unwrap();
        assert_eq!(status.completed_indexes.as_deref(), Some("0,1"));
        let log = case.ok(&["logs", "-l", "batch.kubernetes.io/job-completion-index=1"]);
        assert_eq!(log.trim(), "part 1");
    });
}

#[test]
fn a_suspended_job_waits_and_a_finished_one_may_go_by_itself() {
    case("job-suspend", async |case| {
        let spec = json!({"suspend": true, "ttlSecondsAfterFinished": 0});
        let jobs = run_job(case, "later", "exit 0", spec).await;
        let status = until(&jobs, "later", "Suspended").await.status.unwrap();
        assert!(status.start_time.is_none());
        let go = Patch::Merge(json!({"spec": {"suspend": false}}));
        jobs.patch("later", &PatchParams::default(), &go)
            .await
            .unwrap();
        eventually("it has run and is gone", async || {
            jobs.get_opt("later").await.unwrap().is_none()
        })
        .await;
    });
}

#[test]
fn kubectl_makes_and_waits_for_jobs() {
    kubectl_case("job-kubectl", async |case| {
        let image = format!("--image={}", case.image());
        let made = case.ok(&[
            "create",
            "job",
            "hello",
            &image,
            "--",
            "sh",
            "-c",
            "echo hello",
        ]);
        assert_eq!(made, "job.batch/hello created\n");
        let wait = [
            "wait",
            "--for=condition=complete",
            "job/hello",
            "--timeout=60s",
        ];
        assert_eq!(case.ok(&wait), "job.batch/hello condition met\n");
        assert_eq!(case.ok(&["logs", "job/hello"]), "hello\n");
        let row = case.ok(&["get", "job/hello", "--no-headers"]);
        assert!(row.contains("Complete") && row.contains("1/1"), "{row}");
        let described = case.ok(&["describe", "job/hello"]);
        assert!(described.contains("Job completed"), "{described}");
    });
}
