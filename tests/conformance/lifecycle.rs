//! What belongs together goes together: evictions, owners, volumes, namespaces.

use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::frame::{Case, case, eventually, kubectl_case, refusal, within};

#[test]
fn an_eviction_asks_the_pods_budget() {
    case("evict", async |case| {
        let pods: Api<Pod> = case.api();
        let pod = case.pod("one", "sleep 100000");
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let ready = kube::runtime::conditions::is_pod_running();
        within(
            "it runs",
            kube::runtime::wait::await_condition(pods.clone(), "one", ready),
        )
        .await
        .unwrap();
        let budgets: Api<PodDisruptionBudget> = case.api();
        let budget = json!({"metadata": {"name": "keep"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "one"}}}});
        let budget = serde_json::from_value(budget).unwrap();
        budgets
            .create(&PostParams::default(), &budget)
            .await
            .unwrap();
        eventually("the pod is counted", async || {
            let status = budgets.get("keep").await.unwrap().status;
            status.is_some_and(|it| {
                it.current_healthy == 1 && it.desired_healthy == 1 && it.disruptions_allowed == 0
            })
        })
        .await;
        let (code, message) = refusal(pods.evict("one", &EvictParams::default()).await);
        assert_eq!(code, 429);
        assert_eq!(
            message,
            "Cannot evict pod as it would violate the pod's disruption budget."
        );
        budgets
            .delete("keep", &DeleteParams::default())
            .await
            .unwrap();
        pods.evict("one", &EvictParams::default()).await.unwrap();
        eventually("it is gone", async || {
            pods.get_opt("one").await.unwrap().is_none()
        })
        .await;
    });
}

async fn config_map(case: &Case, name: &str, owner: Option<&ConfigMap>) -> ConfigMap {
    let maps: Api<ConfigMap> = case.api();
    let owners: Vec<Value> = owner
        .into_iter()
        .map(|owner| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name,
                "uid": owner.metadata.uid, "blockOwnerDeletion": true})
        })
        .collect();
    let map = json!({"metadata": {"name": name, "ownerReferences": owners}});
    let map = serde_json::from_value(map).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap()
}

#[test]
fn what_belongs_to_something_goes_with_it_unless_it_is_let_go() {
    case("owners", async |case| {
        let maps: Api<ConfigMap> = case.api();
        for policy in [
            PropagationPolicy::Background,
            PropagationPolicy::Foreground,
            PropagationPolicy::Orphan,
        ] {
            let owner = config_map(case, "owner", None).await;
            config_map(case, "owned", Some(&owner)).await;
            let how = DeleteParams {
                propagation_policy: Some(policy.clone()),
                ..DeleteParams::default()
            };
            maps.delete("owner", &how).await.unwrap();
            eventually("the owner is gone", async || {
                maps.get_opt("owner").await.unwrap().is_none()
            })
            .await;
            if matches!(policy, PropagationPolicy::Orphan) {
                eventually("it belongs to nobody", async || {
                    let owned = maps.get("owned").await.unwrap();
                    owned
                        .metadata
                        .owner_references
                        .is_none_or(|it| it.is_empty())
                })
                .await;
            } else {
                eventually("it is gone, too", async || {
                    maps.get_opt("owned").await.unwrap().is_none()
                })
                .await;
            }
        }
    });
}

#[test]
fn an_owner_in_foreground_deletion_waits_for_what_it_owns() {
    case("foreground", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let owner = config_map(case, "owner", None).await;
        config_map(case, "owned", Some(&owner)).await;
        let hold = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold"]}}));
        maps.patch("owned", &PatchParams::default(), &hold)
            .await
            .unwrap();
        maps.delete("owner", &DeleteParams::foreground())
            .await
            .unwrap();
        eventually("it is to go", async || {
            let owned = maps.get("owned").await.unwrap();
            owned.metadata.deletion_timestamp.is_some()
        })
        .await;
        let owner = maps.get("owner").await.unwrap();
        assert!(
            owner
                .metadata
                .finalizers
                .unwrap()
                .contains(&"foregroundDeletion".to_owned())
        );
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        maps.patch("owned", &PatchParams::default(), &free)
            .await
            .unwrap();
        eventually("both are gone", async || {
            maps.get_opt("owner").await.unwrap().is_none()
                && maps.get_opt("owned").await.unwrap().is_none()
        })
        .await;
    });
}

#[test]
fn a_namespace_has_its_account_and_ends_only_when_it_is_empty() {
    case("ending", async |case| {
        let accounts: Api<ServiceAccount> = case.api();
        let maps: Api<ConfigMap> = case.api();
        eventually("it has what every namespace has", async || {
            let authority = maps.get_opt("kube-root-ca.crt").await.unwrap();
            let data = authority.and_then(|it| it.data).unwrap_or_default();
            accounts.get_opt("default").await.unwrap().is_some()
                && data
                    .get("ca.crt")
                    .is_some_and(|it| it.contains("BEGIN CERTIFICATE"))
        })
        .await;
        accounts
            .delete("default", &DeleteParams::default())
            .await
            .unwrap();
        eventually("the account is back", async || {
            accounts.get_opt("default").await.unwrap().is_some()
        })
        .await;

        config_map(case, "held", None).await;
        let hold = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold"]}}));
        maps.patch("held", &PatchParams::default(), &hold)
            .await
            .unwrap();
        let namespaces: Api<Namespace> = Api::all(case.client.clone());
        namespaces
            .delete(&case.namespace, &DeleteParams::default())
            .await
            .unwrap();
        eventually("it says what holds it", async || {
            let status = namespaces.get(&case.namespace).await.unwrap().status.unwrap();
            status.conditions.unwrap_or_default().iter().any(|it| {
                it.type_ == "NamespaceFinalizersRemaining"
                    && it.status == "True"
                    && it.message.as_deref() == Some("Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")
            })
        })
        .await;
        let late = json!({"metadata": {"name": "late"}});
        let late = serde_json::from_value(late).unwrap();
        let (code, message) = refusal(maps.create(&PostParams::default(), &late).await);
        assert_eq!(code, 403);
        assert!(
            message.contains("because it is being terminated"),
            "{message}"
        );
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        maps.patch("held", &PatchParams::default(), &free)
            .await
            .unwrap();
        eventually("it is gone", async || {
            namespaces.get_opt(&case.namespace).await.unwrap().is_none()
        })
        .await;
    });
}

#[test]
fn a_claim_gets_the_volume_that_was_made_for_it_and_keeps_it_while_it_lives() {
    case("volumes", async |case| {
        let volumes: Api<PersistentVolume> = Api::all(case.client.clone());
        let claims: Api<PersistentVolumeClaim> = case.api();
        let name = case.unique("disk");
        let volume = json!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": {
                "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
                "hostPath": {"path": "/tmp/aks-tui-conformance"},
            },
        });
        let volume = serde_json::from_value(volume).unwrap();
        volumes
            .create(&PostParams::default(), &volume)
            .await
            .unwrap();
        let claim = |storage: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                    "selector": {"matchLabels": {"disk": name}},
                    "resources": {"requests": {"storage": storage}},
                },
            }))
            .unwrap()
        };
        claims
            .create(&PostParams::default(), &claim("1Gi"))
            .await
            .unwrap();
        eventually("they have each other", async || {
            let claim = claims.get("data").await.unwrap();
            let phase = claim.status.and_then(|it| it.phase);
            phase.as_deref() == Some("Bound")
                && claim.spec.unwrap().volume_name.as_deref() == Some(&name)
        })
        .await;
        let claim_of = async || volumes.get(&name).await.unwrap().spec.unwrap().claim_ref;
        assert_eq!(claim_of().await.unwrap().name.as_deref(), Some("data"));
        claims
            .delete("data", &DeleteParams::default())
            .await
            .unwrap();
        eventually("it is released and kept", async || {
            let status = volumes.get(&name).await.unwrap().status;
            status.and_then(|it| it.phase).as_deref() == Some("Released")
        })
        .await;
        volumes
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
        eventually("it is gone", async || {
            volumes.get_opt(&name).await.unwrap().is_none()
        })
        .await;
    });
}

#[test]
fn a_deployment_goes_forth_and_back_and_says_when_it_is_stuck() {
    kubectl_case("rollout", async |case| {
        let image = case.image().to_owned();
        case.apply(&format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, annotations: {{kubernetes.io/change-cause: first}}}}\nspec:\n  progressDeadlineSeconds: 600\n  replicas: 2\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{{name: c, image: '{image}', command: [sleep, '100000']}}]\n"));
        let done = ["rollout", "status", "deploy/web", "--timeout=120s"];
        let told = "deployment \"web\" successfully rolled out\n";
        assert!(case.ok(&done).ends_with(told));
        case.ok(&["rollout", "pause", "deploy/web"]);
        case.ok(&["set", "env", "deploy/web", "GREETING=hello"]);
        let reason = [
            "get",
            "deploy/web",
            "-o",
            "jsonpath={.status.conditions[?(@.type=='Progressing')].reason}",
        ];
        eventually("it is paused", async || {
            case.ok(&reason) == "DeploymentPaused"
        })
        .await;
        assert_eq!(case.ok(&["get", "rs", "-o", "name"]).lines().count(), 1);
        case.ok(&[
            "annotate",
            "deploy/web",
            "kubernetes.io/change-cause=second",
            "--overwrite",
        ]);
        case.ok(&["rollout", "resume", "deploy/web"]);
        assert!(case.ok(&done).ends_with(told));
        let history = case.ok(&["rollout", "history", "deploy/web"]);
        let rows: Vec<Vec<&str>> = history
            .lines()
            .skip(2)
            .map(|it| it.split_whitespace().collect())
            .filter(|it: &Vec<&str>| !it.is_empty())
            .collect();
        assert_eq!(rows, [["1", "first"], ["2", "second"]], "{history}");
        case.ok(&["rollout", "undo", "deploy/web", "--to-revision=1"]);
        assert!(case.ok(&done).ends_with(told));
        let history = case.ok(&["rollout", "history", "deploy/web"]);
        assert!(
            history.contains("\n3 ") && !history.contains("\n1 "),
            "{history}"
        );
        let revision = [
            "get",
            "deploy/web",
            "-o",
            "jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision}",
        ];
        assert_eq!(case.ok(&revision), "3");

        let short = "{\"spec\":{\"progressDeadlineSeconds\":2}}";
        case.ok(&["patch", "deploy/web", "-p", short]);
        case.ok(&["set", "image", "deploy/web", "c=registry.invalid/none:1"]);
        let stuck = case.refused(&done);
        assert!(stuck.contains("exceeded its progress deadline"), "{stuck}");
        case.ok(&["rollout", "undo", "deploy/web"]);
        assert!(case.ok(&done).ends_with(told));
    });
}

#[test]
fn a_deployment_that_grows_in_the_middle_of_a_rollout_grows_in_proportion() {
    kubectl_case("proportion", async |case| {
        let image = case.image().to_owned();
        case.apply(&format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 4\n  strategy: {{rollingUpdate: {{maxSurge: 2, maxUnavailable: 0}}}}\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{{name: c, image: '{image}', command: [sleep, '100000']}}]\n"));
        case.ok(&["rollout", "status", "deploy/web", "--timeout=120s"]);
        case.ok(&["set", "image", "deploy/web", "c=registry.invalid/none:1"]);
        let sizes = || {
            let template = "jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}={.spec.replicas}{'\\n'}{end}";
            let out = case.ok(&["get", "rs", "-o", template]);
            let of = |bad: bool| {
                let line = out
                    .lines()
                    .find(|it| it.starts_with("registry.invalid") == bad);
                line.and_then(|it| it.rsplit('=').next()?.parse::<u64>().ok())
            };
            (of(false), of(true))
        };
        eventually("it is stuck halfway", async || {
            sizes() == (Some(4), Some(2))
        })
        .await;
        case.ok(&["scale", "deploy/web", "--replicas=10"]);
        eventually("both have grown", async || sizes() == (Some(8), Some(4))).await;
    });
}
