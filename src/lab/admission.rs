//! What the server adds to a new object, or refuses it for, by what else it
//! holds. Defaults that need nothing but the object are in [`super::defaults`].

use serde_json::{Value, json};

use super::controllers::volumes;
use super::kinds::Resource;
use super::store::{Key, Store};

/// Completes a new object.
///
/// # Errors
/// Why the server does not want it, in words.
pub fn admit(store: &Store, resource: Resource, object: &mut Value) -> Result<(), String> {
    match resource {
        Resource::Pods => {
            account(store, object)?;
            priority(store, object)?;
            runtime_class(object)
        }
        Resource::PersistentVolumes | Resource::PersistentVolumeClaims => {
            volumes::admit(store, resource, object);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A pod acts in the name of an account of its namespace.
fn account(store: &Store, pod: &mut Value) -> Result<(), String> {
    let named = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default();
    if named.is_empty() || named == "default" {
        // It may not be there yet: a namespace gets it a moment after its start.
        pod["spec"]["serviceAccountName"] = json!("default");
        pod["spec"]["serviceAccount"] = json!("default");
        return Ok(());
    }
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let key = Key::new(Resource::ServiceAccounts, namespace, named);
    if store.get(&key).is_none() {
        return Err(format!(
            "error looking up service account {namespace}/{named}: serviceaccount {named:?} not found"
        ));
    }
    pod["spec"]["serviceAccount"] = json!(named);
    Ok(())
}

/// Classes that every cluster has.
const SYSTEM: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

/// A pod has the priority of its class, of the default one if it names none, or
/// none at all.
fn priority(store: &Store, pod: &mut Value) -> Result<(), String> {
    let spec = &mut pod["spec"];
    let named = spec["priorityClassName"].as_str().unwrap_or_default();
    let class = if named.is_empty() {
        let classes = store.list(Resource::PriorityClasses, None).items;
        let default = classes.iter().filter(|it| it["globalDefault"] == true);
        default.min_by_key(|it| it["value"].as_i64()).cloned()
    } else {
        store.get(&Key::new(Resource::PriorityClasses, "", named))
    };
    let system = SYSTEM.iter().find(|(name, _)| *name == named);
    let value = match (&class, system) {
        (Some(class), _) => class["value"].as_i64().unwrap_or(0),
        (None, Some((_, value))) => *value,
        (None, None) if named.is_empty() => 0,
        (None, None) => return Err(format!("no PriorityClass with name {named} was found")),
    };
    if spec["priority"]
        .as_i64()
        .is_some_and(|given| given != value)
    {
        return Err(format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority \
             admission controller computed {value} from the given PriorityClass name",
            spec["priority"]
        ));
    }
    spec["priority"] = json!(value);
    if let Some(class) = &class {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    if spec["preemptionPolicy"].is_null() {
        let policy = class.map(|class| class["preemptionPolicy"].clone());
        let policy = policy.filter(Value::is_string);
        spec["preemptionPolicy"] = policy.unwrap_or_else(|| json!("PreemptLowerPriority"));
    }
    Ok(())
}

/// There is one way to run a container here, and it has no class.
fn runtime_class(pod: &Value) -> Result<(), String> {
    match pod["spec"]["runtimeClassName"].as_str() {
        None | Some("") => Ok(()),
        Some(name) => Err(format!("pod rejected: RuntimeClass {name:?} not found")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_an_account_that_is_there() {
        let store = Store::new(0);
        let mut pod = json!({"metadata": {"namespace": "d"}, "spec": {}});
        admit(&store, Resource::Pods, &mut pod).unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        pod["spec"]["serviceAccountName"] = json!("robot");
        assert_eq!(
            admit(&store, Resource::Pods, &mut pod).unwrap_err(),
            "error looking up service account d/robot: serviceaccount \"robot\" not found"
        );
        let robot = json!({"metadata": {"name": "robot", "namespace": "d"}});
        store.create(Resource::ServiceAccounts, robot).unwrap();
        admit(&store, Resource::Pods, &mut pod).unwrap();
    }

    #[test]
    fn a_pod_has_the_priority_of_a_class_that_is_there() {
        let store = Store::new(0);
        let admitted = |spec: Value| {
            let mut pod = json!({"metadata": {"namespace": "d"}, "spec": spec});
            admit(&store, Resource::Pods, &mut pod).map(|()| pod["spec"].clone())
        };
        let plain = admitted(json!({})).unwrap();
        assert_eq!(plain["priority"], 0);
        assert_eq!(plain["preemptionPolicy"], "PreemptLowerPriority");
        let high = json!({"priorityClassName": "high"});
        assert_eq!(
            admitted(high.clone()).unwrap_err(),
            "no PriorityClass with name high was found"
        );
        for (name, value, default) in [("high", 1000, false), ("usual", 10, true)] {
            let class = json!({"metadata": {"name": name}, "value": value,
                "globalDefault": default, "preemptionPolicy": "Never"});
            store.create(Resource::PriorityClasses, class).unwrap();
        }
        let high = admitted(high).unwrap();
        assert_eq!(high["priority"], 1000);
        assert_eq!(high["preemptionPolicy"], "Never");
        let usual = admitted(json!({})).unwrap();
        assert_eq!(usual["priority"], 10);
        assert_eq!(usual["priorityClassName"], "usual");
        let system = admitted(json!({"priorityClassName": "system-node-critical"}));
        assert_eq!(system.unwrap()["priority"], 2_000_001_000);
        let wrong = admitted(json!({"priority": 7})).unwrap_err();
        assert!(wrong.contains("(7) must not be provided"), "{wrong}");
        assert_eq!(
            admitted(json!({"runtimeClassName": "gvisor"})).unwrap_err(),
            "pod rejected: RuntimeClass \"gvisor\" not found"
        );
    }
}
