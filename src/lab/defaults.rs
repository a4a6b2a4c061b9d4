//! What an object means when it does not say: the values that the real server
//! fills in before it stores an object.
//!
//! Only defaults that something in the lab or a client reads are filled in;
//! each is the real server's.

use serde_json::{Map, Value, json};

use super::controllers::taints::{NO_EXECUTE, NOT_READY, UNREACHABLE};
use super::kinds::Resource;

mod objects;
mod pod;

/// Fills in what a new or replaced object leaves out.
pub fn fill(resource: Resource, object: &mut Value) {
    fill_kind(resource, object);
    // These hold data of others, in which a null may mean something.
    let foreign = [
        Resource::ControllerRevisions,
        Resource::CustomResourceDefinitions,
    ];
    if !foreign.contains(&resource) {
        drop_nulls(object);
    }
}

/// Looking for a list that is not there leaves a null in its place.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn fill_kind(resource: Resource, object: &mut Value) {
    match resource {
        Resource::Pods => {
            fill_pod_spec(&mut object["spec"]);
            tolerate_outages(&mut object["spec"]);
            set(&mut object["status"], "phase", json!("Pending"));
            let class = pod::quality(&object["spec"]);
            set(&mut object["status"], "qosClass", json!(class));
        }
        Resource::Deployments => fill_deployment(object),
        Resource::ReplicaSets => {
            let labels = object["spec"]["template"]["metadata"]["labels"].clone();
            if labels.is_object() {
                set(&mut object["metadata"], "labels", labels);
            }
            set(&mut object["spec"], "replicas", json!(1));
            fill_pod_spec(&mut object["spec"]["template"]["spec"]);
        }
        Resource::Namespaces => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            set(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            set(&mut object["status"], "phase", json!("Active"));
        }
        Resource::StatefulSets => objects::stateful_set(object),
        Resource::Jobs => objects::job(object),
        Resource::Services => objects::service(object),
        Resource::Secrets => objects::secret(object),
        Resource::PersistentVolumes => objects::volume(object),
        Resource::PersistentVolumeClaims => objects::claim(object),
        Resource::StorageClasses => {
            set(object, "reclaimPolicy", json!("Delete"));
            set(object, "volumeBindingMode", json!("Immediate"));
        }
        Resource::EndpointSlices => objects::endpoint_slice(object),
        Resource::RoleBindings | Resource::ClusterRoleBindings => objects::binding(object),
        Resource::CustomResourceDefinitions => objects::definition(object),
        Resource::PriorityClasses => {
            set(object, "preemptionPolicy", json!("PreemptLowerPriority"));
        }
        _ => {}
    }
}

/// How long a pod stays on a node that is not ready, in seconds, if it does not
/// say: what the real server's admission gives it.
const OUTAGE: u64 = 300;

fn tolerate_outages(spec: &mut Value) {
    for key in [NOT_READY, UNREACHABLE] {
        let says = |it: &Value| {
            let is = |field: &str, value: &str| {
                let text = it[field].as_str().unwrap_or_default();
                text.is_empty() || text == value
            };
            is("key", key) && is("effect", NO_EXECUTE)
        };
        let mut tolerations = match spec["tolerations"].take() {
            Value::Array(tolerations) => tolerations,
            _ => Vec::new(),
        };
        if !tolerations.iter().any(says) {
            tolerations.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": NO_EXECUTE,
                "tolerationSeconds": OUTAGE,
            }));
        }
        spec["tolerations"] = Value::Array(tolerations);
    }
}

fn fill_deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
    set(&mut spec["strategy"], "type", json!("RollingUpdate"));
    if spec["strategy"]["type"] == "RollingUpdate" {
        let rolling = &mut spec["strategy"]["rollingUpdate"];
        set(rolling, "maxUnavailable", json!("25%"));
        set(rolling, "maxSurge", json!("25%"));
    }
    fill_pod_spec(&mut spec["template"]["spec"]);
}

fn fill_pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "schedulerName", json!("default-scheduler"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "securityContext", json!({}));
    set(spec, "enableServiceLinks", json!(true));
    for volume in array(&mut spec["volumes"]) {
        pod::fill_volume(volume);
        if let Some(host_path) = volume.get_mut("hostPath") {
            set(host_path, "type", json!(""));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in array(&mut spec[list]) {
            fill_container(container);
            pod::fill_checks(container);
            pod::fill_resources(container);
        }
    }
}

fn fill_container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let file = image.rsplit('/').next().unwrap_or_default();
    let newest = !image.contains('@') && (!file.contains(':') || file.ends_with(":latest"));
    let pull = if newest { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", json!(pull));
    set(container, "resources", json!({}));
    set(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    set(container, "terminationMessagePolicy", json!("File"));
    for port in array(&mut container["ports"]) {
        set(port, "protocol", json!("TCP"));
    }
    for variable in array(&mut container["env"]) {
        if let Some(from) = variable.get_mut("valueFrom") {
            pod::fill_reference(from);
        }
    }
}

fn set(object: &mut Value, field: &str, default: Value) {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    if let Some(fields) = object.as_object_mut() {
        let value = fields.entry(field).or_insert(Value::Null);
        if value.is_null() {
            *value = default;
        }
    }
}

fn array(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_says_little_gets_the_usual_rest_and_keeps_what_it_says() {
        let mut pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "a", "image": "host:5000/x"}, {"name": "b", "image": "y:1"}],
            },
        });
        fill(Resource::Pods, &mut pod);
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(
            pod["spec"]["containers"][1]["imagePullPolicy"],
            "IfNotPresent"
        );
        assert_eq!(pod["status"]["phase"], "Pending");
        let stays = |pod: &Value| -> Vec<(String, u64)> {
            let tolerations = pod["spec"]["tolerations"].as_array().unwrap().iter();
            tolerations
                .map(|it| {
                    (
                        it["key"].to_string(),
                        it["tolerationSeconds"].as_u64().unwrap(),
                    )
                })
                .collect()
        };
        let (silent, unready) = (json!(UNREACHABLE).to_string(), json!(NOT_READY).to_string());
        assert_eq!(stays(&pod), [(unready.clone(), 300), (silent.clone(), 300)]);
        let mut quick = json!({"spec": {"tolerations": [{"key": UNREACHABLE, "operator": "Exists",
            "effect": NO_EXECUTE, "tolerationSeconds": 5}]}});
        fill(Resource::Pods, &mut quick);
        assert_eq!(stays(&quick), [(silent, 5), (unready, 300)]);
    }

    #[test]
    fn no_null_is_left_where_nothing_was_said() {
        let mut object =
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
        fill(Resource::Pods, &mut object);
        assert!(!object.to_string().contains("null"), "{object}");
    }

    #[test]
    fn filling_in_twice_changes_nothing_more() {
        for resource in Resource::ALL {
            let mut object = json!({"metadata": {"name": "x"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
            fill(resource, &mut object);
            let once = object.clone();
            fill(resource, &mut object);
            assert_eq!(object, once, "{resource:?}");
        }
    }
}
