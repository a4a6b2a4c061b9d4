//! Managers through the life of an object.

use super::*;

const V1: &str = "apps/v1";

fn place() -> Place<'static> {
    Place::builtin("apps", "v1", "Deployment")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn deployment(image: &str, replicas: Option<u32>) -> Value {
    let mut object = json!({
        "apiVersion": V1, "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

fn applied(live: Option<&Value>, config: &Value, by: &str) -> Result<Value, Refusal> {
    let manager = Manager::apply(by, V1);
    apply(live, config, &manager, Scope::Main, place(), false, at(10))
}

fn updated(live: &Value, mut new: Value, by: &str, second: i64) -> Value {
    let manager = Manager::update(by, V1);
    record(
        Some(live),
        &mut new,
        &manager,
        Scope::Main,
        place(),
        at(second),
    );
    new
}

/// The managers of an object, each with its fields.
fn managers(object: &Value) -> Vec<(String, Value)> {
    let list = object["metadata"]["managedFields"].as_array();
    let pair = |it: &Value| {
        let name = format!(
            "{} {}",
            it["manager"].as_str().unwrap(),
            it["operation"].as_str().unwrap()
        );
        (name, it["fieldsV1"].clone())
    };
    list.into_iter().flatten().map(pair).collect()
}

const IMAGE: &str = ".spec.template.spec.containers[name=\"c\"].image";

#[test]
fn another_managers_value_is_a_conflict_the_same_value_is_shared() {
    let live = applied(None, &deployment("a", Some(1)), "one").unwrap();
    let conflict = applied(Some(&live), &deployment("b", None), "two").unwrap_err();
    let expected = Conflict {
        manager: Manager::apply("one", V1),
        path: IMAGE.to_owned(),
    };
    assert_eq!(conflict, Refusal::Conflicts(vec![expected]));

    let shared = applied(Some(&live), &deployment("a", None), "two").unwrap();
    assert_eq!(managers(&shared).len(), 2);
    // One of two owners lets go: the field stays.
    let mut less = deployment("a", None);
    less["spec"].as_object_mut().unwrap().clear();
    let left = applied(Some(&shared), &less, "two").unwrap();
    assert_eq!(left["spec"], live["spec"]);

    let forced = apply(
        Some(&live),
        &deployment("b", None),
        &Manager::apply("two", V1),
        Scope::Main,
        place(),
        true,
        at(20),
    )
    .unwrap();
    let found = managers(&forced);
    assert_eq!(found[0].0, "one Apply");
    assert!(!found[0].1.to_string().contains("f:image"), "{found:?}");
    assert!(found[1].1.to_string().contains("f:image"), "{found:?}");
}

#[test]
fn what_is_no_longer_applied_goes_with_what_the_server_put_into_it() {
    let mut config = deployment("a", Some(2));
    config["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "c", "image": "a"}, {"name": "side", "image": "s"}]);
    let mut live = applied(None, &config, "one").unwrap();
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = json!("Always");
    live["spec"]["strategy"] = json!({"type": "Recreate"});
    let next = applied(Some(&live), &deployment("a", None), "one").unwrap();
    assert_eq!(
        next["spec"],
        json!({
            "strategy": {"type": "Recreate"},
            "template": {"spec": {"containers": [{"name": "c", "image": "a"}]}},
        })
    );
}

#[test]
fn an_update_takes_over_what_it_changes_and_nothing_else() {
    let live = applied(None, &deployment("a", Some(1)), "one").unwrap();
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(3);
    let scaled = updated(&live, new, "hand", 30);
    assert_eq!(
        managers(&scaled)[1],
        (
            "hand Update".to_owned(),
            json!({"f:spec": {"f:replicas": {}}})
        )
    );
    assert!(!managers(&scaled)[0].1.to_string().contains("replicas"));
    // A write that changes nothing records nothing, and no new time.
    assert_eq!(updated(&scaled, scaled.clone(), "hand", 40), scaled);
    assert_eq!(updated(&scaled, scaled.clone(), "other", 40), scaled);
}

#[test]
fn what_was_there_before_anybody_applied_has_an_owner_then() {
    let live = deployment("a", Some(1));
    assert_eq!(
        updated(&live, deployment("b", Some(1)), "hand", 1),
        deployment("b", Some(1))
    );
    let conflict = applied(Some(&live), &deployment("b", None), "one").unwrap_err();
    let owner = Manager::update(BEFORE_FIRST_APPLY, V1);
    let expected = Conflict {
        manager: owner,
        path: IMAGE.to_owned(),
    };
    assert_eq!(conflict, Refusal::Conflicts(vec![expected]));
}

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let mut live = deployment("a", Some(1));
    let last = deployment("a", Some(1)).to_string();
    live["metadata"]["annotations"] = json!({LAST_APPLIED: last});
    let by = Manager::update("kubectl-client-side-apply", V1);
    record(None, &mut live, &by, Scope::Main, place(), at(1));
    assert!(matches!(
        applied(Some(&live), &deployment("b", Some(1)), "somebody"),
        Err(Refusal::Conflicts(_))
    ));
    let next = applied(Some(&live), &deployment("b", Some(1)), "kubectl").unwrap();
    let kept = next["metadata"]["annotations"][LAST_APPLIED]
        .as_str()
        .unwrap();
    assert!(kept.contains("\"image\":\"b\""), "{kept}");
}

#[test]
fn a_client_may_reset_the_managers_and_the_oldest_are_summed_up() {
    let mut live = applied(None, &deployment("a", Some(1)), "one").unwrap();
    let mut new = live.clone();
    new["metadata"]["managedFields"] = json!([{}]);
    assert!(managers(&updated(&live, new, "hand", 2)).is_empty());
    for second in 0..15 {
        let mut new = live.clone();
        new["metadata"]["labels"][format!("l{second:02}")] = json!("x");
        live = updated(&live, new, &format!("hand-{second:02}"), 100 + second);
    }
    let found = managers(&live);
    assert_eq!(found.len(), 11);
    assert_eq!(found[1].0, "ancient-changes Update");
    assert!(found[1].1.to_string().contains("f:l05") && found[2].0 == "hand-06 Update");
}

#[test]
fn a_status_is_its_own_part() {
    let live = applied(None, &deployment("a", Some(1)), "one").unwrap();
    let mut new = live.clone();
    new["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    let manager = Manager::update("controller", V1).through("status");
    record(
        Some(&live),
        &mut new,
        &manager,
        Scope::Status,
        place(),
        at(5),
    );
    let entry = &new["metadata"]["managedFields"][1];
    assert_eq!(entry["subresource"], "status");
    assert_eq!(
        entry["fieldsV1"],
        json!({"f:status": {
            "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:status": {}, "f:type": {}}},
            "f:replicas": {},
        }})
    );
}
