//! The defaults of everything but pods, deployments and replica sets.

use serde_json::{Map, Value, json};

use super::{array, fill_pod_spec, set};

/// The group of roles, and of users and groups as subjects.
const RBAC: &str = "rbac.authorization.k8s.io";

/// `apps/v1 StatefulSet`
pub fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "replicas", json!(1));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "revisionHistoryLimit", json!(10));
    set(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        let rolling = &mut spec["updateStrategy"]["rollingUpdate"];
        set(rolling, "partition", json!(0));
    }
    let retention = &mut spec["persistentVolumeClaimRetentionPolicy"];
    set(retention, "whenDeleted", json!("Retain"));
    set(retention, "whenScaled", json!("Retain"));
    for template in array(&mut spec["volumeClaimTemplates"]) {
        set(template, "apiVersion", json!("v1"));
        set(template, "kind", json!("PersistentVolumeClaim"));
        claim(template);
    }
    fill_pod_spec(&mut spec["template"]["spec"]);
}

/// `batch/v1 Job`. Its pods are known by its uid unless it names a selector of
/// its own.
pub fn job(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    let uid = object["metadata"]["uid"].clone();
    let spec = &mut object["spec"];
    if spec["parallelism"].is_null() {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(
        spec,
        "podReplacementPolicy",
        json!(if spec["podFailurePolicy"].is_object() {
            "Failed"
        } else {
            "TerminatingOrFailed"
        }),
    );
    if spec["manualSelector"] != true && uid.is_string() {
        let labels = &mut spec["template"]["metadata"]["labels"];
        for (key, value) in [
            ("controller-uid", &uid),
            ("job-name", &name),
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
        ] {
            set(labels, key, value.clone());
        }
        if spec["selector"].is_null() {
            spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        }
    }
    fill_pod_spec(&mut spec["template"]["spec"]);
    let labels = spec["template"]["metadata"]["labels"].clone();
    if labels.is_object() {
        set(&mut object["metadata"], "labels", labels);
    }
}

/// `v1 Service`. Its addresses are not defaults: the server gives them out.
pub fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    if spec["sessionAffinity"] == "ClientIP" {
        let client = &mut spec["sessionAffinityConfig"]["clientIP"];
        set(client, "timeoutSeconds", json!(10800));
    }
    for port in array(&mut spec["ports"]) {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        if port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = Value::Null;
        }
        set(port, "targetPort", number);
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    set(&mut object["status"], "loadBalancer", json!({}));
}

/// `v1 Secret`. `stringData` is a way to write `data` and never kept.
pub fn secret(object: &mut Value) {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    set(object, "type", json!("Opaque"));
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(plain)) = fields.remove("stringData")
        && !plain.is_empty()
    {
        let data = fields.entry("data").or_insert(Value::Null);
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        for (key, text) in plain {
            data[key] = json!(BASE64_STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
}

/// `v1 PersistentVolume`
pub fn volume(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
    set(spec, "volumeMode", json!("Filesystem"));
    set(&mut object["status"], "phase", json!("Pending"));
}

/// `v1 PersistentVolumeClaim`
pub fn claim(object: &mut Value) {
    set(&mut object["spec"], "volumeMode", json!("Filesystem"));
    set(&mut object["status"], "phase", json!("Pending"));
}

/// `discovery.k8s.io/v1 EndpointSlice`
pub fn endpoint_slice(object: &mut Value) {
    for port in array(&mut object["ports"]) {
        set(port, "name", json!(""));
        set(port, "protocol", json!("TCP"));
    }
}

/// Role bindings and cluster role bindings.
pub fn binding(object: &mut Value) {
    set(&mut object["roleRef"], "apiGroup", json!(RBAC));
    for subject in array(&mut object["subjects"]) {
        match subject["kind"].as_str() {
            Some("User" | "Group") => set(subject, "apiGroup", json!(RBAC)),
            // An account is of the core group, which is written as none.
            _ if subject["apiGroup"] == "" => unset(subject, "apiGroup"),
            _ => {}
        }
    }
}

/// `apiextensions.k8s.io/v1 CustomResourceDefinition`
pub fn definition(object: &mut Value) {
    let spec = &mut object["spec"];
    set(&mut spec["conversion"], "strategy", json!("None"));
    let names = &mut spec["names"];
    if let Some(kind) = names["kind"].as_str().map(str::to_owned) {
        set(names, "singular", json!(kind.to_lowercase()));
        set(names, "listKind", json!(format!("{kind}List")));
    }
}

fn unset(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_says_in_plain_text_is_kept_encoded() {
        let mut object = json!({"data": {"a": "eA=="}, "stringData": {"a": "y", "b": "z"}});
        secret(&mut object);
        assert_eq!(object["data"], json!({"a": "eQ==", "b": "eg=="}));
        assert!(object.get("stringData").is_none());
        assert_eq!(object["type"], "Opaque");
    }

    #[test]
    fn a_job_knows_its_pods_by_its_uid() {
        let mut object = json!({
            "metadata": {"name": "j", "uid": "u"},
            "spec": {"template": {"spec": {"containers": []}}}});
        job(&mut object);
        let spec = &object["spec"];
        let label = "batch.kubernetes.io/controller-uid";
        assert_eq!(spec["selector"]["matchLabels"], json!({label: "u"}));
        assert_eq!(spec["template"]["metadata"]["labels"][label], "u");
        assert_eq!(spec["completions"], 1);
        assert_eq!(object["metadata"]["labels"]["job-name"], "j");
    }

    #[test]
    fn a_service_port_leads_to_the_same_port_unless_it_says_otherwise() {
        let mut object =
            json!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "web"}]}});
        service(&mut object);
        assert_eq!(object["spec"]["ports"][0]["targetPort"], 80);
        assert_eq!(object["spec"]["ports"][1]["targetPort"], "web");
        assert_eq!(object["spec"]["ports"][0]["protocol"], "TCP");
        assert_eq!(object["spec"]["type"], "ClusterIP");
    }
}
