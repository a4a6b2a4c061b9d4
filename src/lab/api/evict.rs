//! Eviction: deleting a pod if its disruption budget allows it now.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::delete;
use super::request::{self, Query};
use super::status::ApiError;
use crate::lab::controllers::{conditions, disruption, owned};
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// Evicts a pod.
///
/// # Errors
/// *404* without the pod, *429* when its budget allows no eviction now, *500*
/// when it has more than one budget, *400* for a body that is no eviction, and
/// what a deletion may be refused for.
pub fn evict(
    store: &Store,
    key: &Key,
    query: &Query,
    eviction: Option<Value>,
) -> Result<(), ApiError> {
    let mut eviction = eviction.unwrap_or_default();
    if let Some(name) = eviction["metadata"]["name"].as_str()
        && name != key.name
    {
        return Err(ApiError::bad_request(format!(
            "name in URL does not match name in Eviction object: {:?} != {name:?}",
            key.name
        )));
    }
    let options = eviction["deleteOptions"].take();
    let pod = super::read::get(store, key)?;
    let dry = query.get("dryRun") == Some("All") || request::lists(&options["dryRun"], "All");
    if !is_free(&pod) {
        let budgets = disruption::of_pod(store, &pod);
        match budgets.as_slice() {
            [] => {}
            [budget] => ask(store, budget, &pod, dry)?,
            _ => return Err(too_many_budgets()),
        }
    }
    if !dry {
        // Gone in the meantime: the deletion says so.
        let _ = store.update_with(key, |pod| {
            let condition = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            });
            conditions::put(&mut pod["status"], &condition);
            Ok::<(), StoreError>(())
        });
    }
    delete::one(store, key, query, Some(&options)).map(|_| ())
}

/// Whether evicting the pod disrupts nothing: it does not run, or is ending.
fn is_free(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str();
    matches!(phase, Some("Succeeded" | "Failed" | "Pending"))
        || pod["metadata"]["deletionTimestamp"].is_string()
}

/// Takes one disruption from a budget, if it has one left.
fn ask(store: &Store, budget: &Value, pod: &Value, dry: bool) -> Result<(), ApiError> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let healthy = owned::ready_since(pod).is_some();
    let ask = |budget: &mut Value| {
        let count = |field: &str| owned::count(&budget["status"][field], 0);
        if !healthy {
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            let spare = count("currentHealthy") >= count("desiredHealthy");
            // What is not healthy disrupts nothing by going.
            if always || (spare && count("desiredHealthy") > 0) {
                return Ok(());
            }
        }
        if count("observedGeneration") < owned::count(&budget["metadata"]["generation"], 0) {
            return Err(still_processed(budget));
        }
        let allowed = count("disruptionsAllowed");
        if allowed == 0 {
            return Err(violated(budget));
        }
        budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
        budget["status"]["disruptedPods"][name] = json!(timestamp(Timestamp::now()));
        Ok(())
    };
    if dry {
        return ask(&mut budget.clone());
    }
    let key = Key::of(Resource::PodDisruptionBudgets, budget);
    match store.update_with(&key, ask) {
        // Without a budget there is nobody to ask.
        Err(error) if error.code != StatusCode::NOT_FOUND => Err(error),
        _ => Ok(()),
    }
}

fn too_many(message: &str, cause: &str, retry: u64) -> ApiError {
    let mut details = json!({
        "causes": [{"reason": "DisruptionBudget", "message": cause}],
    });
    if retry > 0 {
        details["retryAfterSeconds"] = json!(retry);
    }
    ApiError {
        code: StatusCode::TOO_MANY_REQUESTS,
        reason: "TooManyRequests",
        message: message.to_owned(),
        details: Some(details),
    }
}

fn still_processed(budget: &Value) -> ApiError {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    too_many(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        &format!("The disruption budget {name} is still being processed by the server."),
        10,
    )
}

fn violated(budget: &Value) -> ApiError {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let status = &budget["status"];
    let cause = if status["conditions"][0]["reason"] == "SyncFailed" {
        let why = status["conditions"][0]["message"].as_str();
        format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            why.unwrap_or_default()
        )
    } else {
        format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            owned::count(&status["desiredHealthy"], 0),
            owned::count(&status["currentHealthy"], 0)
        )
    };
    too_many(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        &cause,
        0,
    )
}

fn too_many_budgets() -> ApiError {
    ApiError {
        code: StatusCode::INTERNAL_SERVER_ERROR,
        reason: "",
        message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.".to_owned(),
        details: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(spec: &Value, status: &Value, ready: &str) -> (Store, Key) {
        let store = Store::new(0);
        let pod = json!({
            "metadata": {"name": "p", "namespace": "d", "labels": {"app": "web"}},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        });
        let pod = store.create(Resource::Pods, pod).unwrap();
        let mut budget = json!({
            "metadata": {"name": "b", "namespace": "d"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": status,
        });
        json_patch::merge(&mut budget["spec"], spec);
        store
            .create(Resource::PodDisruptionBudgets, budget)
            .unwrap();
        (store, Key::of(Resource::Pods, &pod))
    }

    fn evicted(store: &Store, key: &Key) -> Result<(), String> {
        let query = Query::parse(None);
        evict(store, key, &query, None).map_err(|error| {
            let cause = error
                .details
                .as_ref()
                .map(|it| it["causes"][0]["message"].clone());
            format!("{} {}", error.code.as_u16(), cause.unwrap_or_default())
        })
    }

    #[test]
    fn a_budget_is_used_up_one_by_one() {
        let status = json!({"observedGeneration": 1, "disruptionsAllowed": 1,
            "currentHealthy": 3, "desiredHealthy": 2});
        let (store, key) = world(&json!({}), &status, "True");
        evicted(&store, &key).unwrap();
        let pod = store.get(&key).unwrap();
        assert!(pod["metadata"]["deletionTimestamp"].is_string());
        let target = conditions::find(&pod["status"], "DisruptionTarget").unwrap();
        assert_eq!(target["reason"], "EvictionByEvictionAPI");
        let budget = store.list(Resource::PodDisruptionBudgets, None).items[0].clone();
        assert_eq!(budget["status"]["disruptionsAllowed"], 0);
        assert!(budget["status"]["disruptedPods"]["p"].is_string());
        // It is ending: evicting it again asks nobody.
        evicted(&store, &key).unwrap();
    }

    #[test]
    fn without_a_disruption_left_it_is_refused_and_why() {
        let status = json!({"observedGeneration": 1, "disruptionsAllowed": 0,
            "currentHealthy": 2, "desiredHealthy": 2});
        let (store, key) = world(&json!({}), &status, "True");
        let error = evicted(&store, &key).unwrap_err();
        assert_eq!(
            error,
            "429 \"The disruption budget b needs 2 healthy pods and has 2 currently\""
        );
        assert!(!store.get(&key).unwrap()["metadata"]["deletionTimestamp"].is_string());
    }

    #[test]
    fn a_budget_that_was_not_looked_at_yet_allows_nothing() {
        let (store, key) = world(&json!({}), &json!({}), "True");
        let error = evicted(&store, &key).unwrap_err();
        assert!(error.contains("still being processed"), "{error}");
    }

    #[test]
    fn an_unhealthy_pod_goes_when_the_healthy_are_enough_or_when_told_so() {
        let enough = json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2});
        let (store, key) = world(&json!({}), &enough, "False");
        evicted(&store, &key).unwrap();
        let few = json!({"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2});
        let (store, key) = world(&json!({}), &few, "False");
        assert!(evicted(&store, &key).is_err());
        let always = json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"});
        let (store, key) = world(&always, &few, "False");
        evicted(&store, &key).unwrap();
    }
}
