//! kubectl's everyday verbs on every kind.

use serde_json::Value;

use crate::frame::{eventually, kubectl_case};

#[test]
fn each_kind_is_listed_in_the_columns_people_know() {
    kubectl_case("columns", async |case| {
        case.ok(&["create", "configmap", "c", "--from-literal=k=v"]);
        case.ok(&["create", "secret", "generic", "s", "--from-literal=k=v"]);
        case.ok(&["create", "serviceaccount", "a"]);
        case.ok(&["create", "role", "r", "--verb=get", "--resource=pods"]);
        case.ok(&["create", "rolebinding", "b", "--role=r", "--user=u"]);
        case.ok(&[
            "create",
            "poddisruptionbudget",
            "p",
            "--selector=x=y",
            "--min-available=1",
        ]);
        case.ok(&["create", "service", "clusterip", "web", "--tcp=80:8080"]);
        case.apply("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: none-such, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n");
        case.apply("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: set}\nspec: {serviceName: web, replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}\n");
        case.apply("apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}\n");
        for (kind, columns) in [
            ("configmap/c", "NAME,DATA,AGE"),
            ("secret/s", "NAME,TYPE,DATA,AGE"),
            ("serviceaccount/a", "NAME,SECRETS,AGE"),
            ("role/r", "NAME,CREATED AT"),
            (
                "rolebinding/b",
                "NAME,ROLE,AGE,USERS,GROUPS,SERVICEACCOUNTS",
            ),
            (
                "pdb/p",
                "NAME,MIN AVAILABLE,MAX UNAVAILABLE,ALLOWED DISRUPTIONS,AGE",
            ),
            (
                "svc/web",
                "NAME,TYPE,CLUSTER-IP,EXTERNAL-IP,PORT(S),AGE,SELECTOR",
            ),
            ("sts/set", "NAME,READY,AGE,CONTAINERS,IMAGES"),
            (
                "job/job",
                "NAME,STATUS,COMPLETIONS,DURATION,AGE,CONTAINERS,IMAGES,SELECTOR",
            ),
        ] {
            let found = case.columns(&["get", kind, "-o", "wide"]).join(",");
            assert_eq!(found, columns, "{kind}");
        }
        // A newer server has a column more.
        let claim = case.columns(&["get", "pvc/data"]).join(",");
        assert!(
            claim.starts_with("NAME,STATUS,VOLUME,CAPACITY,ACCESS MODES,STORAGECLASS"),
            "{claim}"
        );
    });
}

#[test]
fn an_object_is_labelled_annotated_patched_edited_and_deleted() {
    kubectl_case("verbs", async |case| {
        case.ok(&["create", "configmap", "c", "--from-literal=k=v"]);
        assert_eq!(
            case.ok(&["label", "cm/c", "tier=front"]),
            "configmap/c labeled\n"
        );
        assert!(
            case.refused(&["label", "cm/c", "tier=back"])
                .contains("--overwrite")
        );
        assert_eq!(
            case.ok(&["annotate", "cm/c", "note=x"]),
            "configmap/c annotated\n"
        );
        let patch = ["patch", "cm/c", "-p", "{\"data\":{\"k\":\"w\"}}"];
        assert_eq!(case.ok(&patch), "configmap/c patched\n");
        assert_eq!(case.ok(&patch), "configmap/c patched (no change)\n");
        let value = [
            "get",
            "cm/c",
            "-o",
            "jsonpath={.data.k} {.metadata.labels.tier}",
        ];
        assert_eq!(case.ok(&value), "w front");
        assert_eq!(
            case.ok(&["get", "cm", "-l", "tier=front", "-o", "name"]),
            "configmap/c\n"
        );
        let mut edit = case.kubectl(&["edit", "cm/c"]);
        let edited = edit.env("KUBE_EDITOR", "sed -i s/w/z/").output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&edited.stdout),
            "configmap/c edited\n"
        );
        assert_eq!(case.ok(&value), "z front");
        assert_eq!(
            case.ok(&["delete", "cm", "-l", "tier=front"]),
            format!("configmap \"c\" deleted{}\n", suffix(case))
        );
        assert!(
            case.refused(&["get", "cm/c"])
                .contains("configmaps \"c\" not found")
        );
    });
}

/// Newer versions of kubectl say from which namespace something was deleted.
fn suffix(case: &crate::frame::Case) -> String {
    let version: Value =
        serde_json::from_str(&case.ok(&["version", "--client", "-o", "json"])).unwrap();
    let minor = version["clientVersion"]["minor"].as_str().unwrap();
    let minor: u32 = minor.trim_end_matches('+').parse().unwrap();
    if minor < 34 {
        return String::new();
    }
    format!(" from {} namespace", case.namespace)
}

#[test]
fn a_manifest_is_applied_compared_and_replaced() {
    kubectl_case("apply", async |case| {
        let manifest = |value: &str| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: {value}}}\n"
            )
        };
        assert_eq!(case.apply(&manifest("one")), "configmap/c created\n");
        assert_eq!(case.apply(&manifest("one")), "configmap/c unchanged\n");
        assert_eq!(case.piped(&["diff", "-f", "-"], &manifest("one")).2, 0);
        let (difference, _, code) = case.piped(&["diff", "-f", "-"], &manifest("two"));
        assert_eq!(code, 1);
        assert!(difference.contains("-  k: one\n+  k: two"), "{difference}");
        assert_eq!(case.apply(&manifest("two")), "configmap/c configured\n");
        let (replaced, _, _) = case.piped(&["replace", "-f", "-"], &manifest("three"));
        assert_eq!(replaced, "configmap/c replaced\n");
        let dry = ["delete", "cm/c", "--dry-run=server"];
        assert!(case.ok(&dry).contains("(server dry run)"));
        assert_eq!(
            case.ok(&["get", "cm/c", "-o", "jsonpath={.data.k}"]),
            "three"
        );
    });
}

#[test]
fn a_deployment_is_exposed_by_its_labels() {
    kubectl_case("expose", async |case| {
        case.ok(&[
            "create",
            "deployment",
            "web",
            "--replicas=0",
            "--port=80",
            "--image",
            case.image(),
        ]);
        assert_eq!(
            case.ok(&["expose", "deploy/web", "--target-port=8080"]),
            "service/web exposed\n"
        );
        let spec = [
            "get",
            "svc/web",
            "-o",
            "jsonpath={.spec.selector.app} {.spec.ports[0].port} {.spec.ports[0].targetPort}",
        ];
        assert_eq!(case.ok(&spec), "web 80 8080");
        assert!(case.ok(&["describe", "svc/web"]).contains("app=web"));
    });
}

#[test]
fn what_is_orphaned_survives_its_owner() {
    kubectl_case("orphans", async |case| {
        case.ok(&["create", "deployment", "web", "--image", case.image()]);
        let sets = [
            "get",
            "rs",
            "-o",
            "jsonpath={.items[*].metadata.ownerReferences[*].kind}",
        ];
        eventually("it has a replica set", async || {
            case.ok(&sets) == "Deployment"
        })
        .await;
        let pods = async || case.ok(&["get", "pods", "-o", "name"]).lines().count() == 1;
        eventually("it has a pod", pods).await;
        case.ok(&["delete", "deploy/web", "--cascade=orphan", "--timeout=60s"]);
        assert_eq!(case.ok(&sets), "");
        assert_eq!(case.ok(&["get", "rs", "-o", "name"]).lines().count(), 1);
        case.ok(&["delete", "rs", "--all", "--cascade=orphan", "--timeout=60s"]);
        assert!(pods().await);
    });
}
