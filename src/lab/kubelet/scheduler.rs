//! The scheduler's part, as small as it is with one node: pods that ask for
//! nothing the node lacks are bound to it.

use serde_json::{Value, json};

use super::NODE;
use super::events::{Happening, Kind, Recorder, Subject};
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// Binds a pod to the node, or says why not.
pub(super) fn schedule(store: &Store, recorder: &Recorder, pod: &Value) {
    let key = Key::of(Resource::Pods, pod);
    let subject = Subject {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: text(&pod["metadata"]["uid"]),
    };
    let node = store.get(&Key::new(Resource::Nodes, "", NODE));
    let obstacle = node
        .as_deref()
        .map_or(Some("1 node(s) are gone"), |node| obstacle(node, pod));
    let now = timestamp(jiff::Timestamp::now());
    let (status, reason, message) = match obstacle {
        None => ("True", None, None),
        Some(obstacle) => (
            "False",
            Some("Unschedulable"),
            Some(format!("0/1 nodes are available: {obstacle}.")),
        ),
    };
    let bound = store.update_with::<StoreError>(&key, |pod| {
        // Somebody else may have bound or replaced it meanwhile.
        if text(&pod["metadata"]["uid"]) != subject.uid || pod["spec"]["nodeName"].is_string() {
            return Err(StoreError::Modified(key.clone()));
        }
        if obstacle.is_none() {
            pod["spec"]["nodeName"] = json!(NODE);
        }
        let mut condition = json!({
            "type": "PodScheduled",
            "status": status,
            "lastProbeTime": null,
            "lastTransitionTime": now,
        });
        if let (Some(reason), Some(message)) = (reason, &message) {
            condition["reason"] = json!(reason);
            condition["message"] = json!(message);
        }
        let before = &pod["status"]["conditions"][0];
        if before["type"] == "PodScheduled"
            && before["status"] == condition["status"]
            && before["message"] == condition["message"]
        {
            return Ok(());
        }
        pod["status"]["conditions"] = json!([condition]);
        Ok(())
    });
    if bound.is_err() {
        return;
    }
    let (kind, reason, message) = match message {
        None => (
            Kind::Normal,
            "Scheduled",
            format!(
                "Successfully assigned {}/{} to {NODE}",
                key.namespace, key.name
            ),
        ),
        Some(message) => (Kind::Warning, "FailedScheduling", message),
    };
    recorder.record(&Happening {
        component: "default-scheduler",
        subject: &subject,
        container: None,
        kind,
        reason,
        message,
    });
}

/// What keeps a pod off the node, in the real scheduler's words.
fn obstacle(node: &Value, pod: &Value) -> Option<&'static str> {
    if node["spec"]["unschedulable"] == true {
        return Some("1 node(s) were unschedulable");
    }
    let labels = &node["metadata"]["labels"];
    let selector = pod["spec"]["nodeSelector"].as_object();
    let fits =
        selector.is_none_or(|wanted| wanted.iter().all(|(name, value)| labels[name] == *value));
    (!fits).then_some("1 node(s) didn't match Pod's node affinity/selector")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduled(node: Value, selector: Value) -> (Value, Vec<String>) {
        let store = Store::new(0);
        let recorder = Recorder::new(store.clone());
        let mut fresh = json!({"metadata": {"name": NODE, "labels": {"disk": "ssd"}}});
        fresh["spec"] = node;
        store.create(Resource::Nodes, fresh).unwrap();
        let pod = json!({
            "metadata": {"namespace": "default", "name": "p"},
            "spec": {"nodeSelector": selector},
        });
        let pod = store.create(Resource::Pods, pod).unwrap();
        schedule(&store, &recorder, &pod);
        // The second time it has nothing to do.
        schedule(&store, &recorder, &pod);
        let events = store.list(Resource::Events, None).items;
        let events = events.iter().map(|event| text(&event["message"])).collect();
        let pod = store.get(&Key::of(Resource::Pods, &pod)).unwrap();
        (Value::clone(&pod), events)
    }

    #[test]
    fn a_pod_is_bound_once() {
        let (pod, events) = scheduled(json!({}), json!({"disk": "ssd"}));
        assert_eq!(pod["spec"]["nodeName"], NODE);
        assert_eq!(events, ["Successfully assigned default/p to lab-node-0"]);
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
    }

    #[test]
    fn what_does_not_fit_waits_and_says_why() {
        let (pod, events) = scheduled(json!({"unschedulable": true}), json!(null));
        assert!(pod["spec"]["nodeName"].is_null());
        assert_eq!(
            events,
            ["0/1 nodes are available: 1 node(s) were unschedulable."]
        );
        let (pod, events) = scheduled(json!({}), json!({"disk": "hdd"}));
        assert_eq!(pod["status"]["conditions"][0]["reason"], "Unschedulable");
        assert!(events[0].contains("node affinity/selector"), "{events:?}");
    }
}
