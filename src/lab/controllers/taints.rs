//! Taints and tolerations: which pods a node keeps away or sends away.

use std::time::Duration;

use serde_json::Value;

/// A taint that keeps pods from being scheduled to its node.
pub const NO_SCHEDULE: &str = "NoSchedule";

/// A taint that also sends away the pods that are there.
pub const NO_EXECUTE: &str = "NoExecute";

/// A taint that keeps pods away as long as there is another node for them.
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";

/// The node's kubelet says that it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The node's kubelet says nothing.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Somebody has cordoned the node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Somebody knows that the node is down and will not come back by itself.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The taints of a node.
pub fn taints(node: &Value) -> &[Value] {
    let taints = node["spec"]["taints"].as_array();
    taints.map_or(&[], Vec::as_slice)
}

/// What a pod tolerates.
fn tolerations(pod: &Value) -> &[Value] {
    let tolerations = pod["spec"]["tolerations"].as_array();
    tolerations.map_or(&[], Vec::as_slice)
}

/// Whether a toleration means a taint.
fn means(toleration: &Value, taint: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (key, effect) = (text(&toleration["key"]), text(&toleration["effect"]));
    let concerns = (effect.is_empty() || effect == text(&taint["effect"]))
        && (key.is_empty() || key == text(&taint["key"]));
    concerns
        && match text(&toleration["operator"]).as_str() {
            "Exists" => true,
            "" | "Equal" => text(&toleration["value"]) == text(&taint["value"]),
            _ => false,
        }
}

/// The first toleration of a pod that means a taint.
fn toleration<'a>(pod: &'a Value, taint: &Value) -> Option<&'a Value> {
    tolerations(pod).iter().find(|it| means(it, taint))
}

/// Whether a pod tolerates a taint, for a while at least.
pub fn tolerates(pod: &Value, taint: &Value) -> bool {
    toleration(pod, taint).is_some()
}

/// The taints of a node, of these effects, that a pod does not tolerate.
pub fn untolerated<'a>(
    node: &'a Value,
    pod: &'a Value,
    effects: &'a [&str],
) -> impl Iterator<Item = &'a Value> {
    taints(node)
        .iter()
        .filter(|taint| effects.iter().any(|effect| taint["effect"] == *effect))
        .filter(|taint| !tolerates(pod, taint))
}

/// How long a pod may stay with a taint that sends pods away, from when the
/// taint was put there; none means for ever.
pub fn stay(pod: &Value, taint: &Value) -> Option<Duration> {
    let Some(toleration) = toleration(pod, taint) else {
        return Some(Duration::ZERO);
    };
    let seconds = toleration["tolerationSeconds"].as_i64()?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_toleration_means_what_it_names_and_nothing_else() {
        let taint = json!({"key": "k", "value": "v", "effect": NO_EXECUTE});
        for (toleration, expected) in [
            (
                json!({"key": "k", "value": "v", "effect": NO_EXECUTE}),
                true,
            ),
            (json!({"key": "k", "operator": "Equal", "value": "v"}), true),
            (json!({"key": "k", "operator": "Exists"}), true),
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "k", "operator": "Exists", "effect": NO_SCHEDULE}),
                false,
            ),
            (json!({"key": "k", "value": "w"}), false),
            (json!({"key": "k"}), false),
            (json!({"key": "l", "operator": "Exists"}), false),
            (json!({"key": "k", "operator": "Like", "value": "v"}), false),
        ] {
            let pod = json!({"spec": {"tolerations": [toleration]}});
            assert_eq!(tolerates(&pod, &taint), expected, "{toleration}");
        }
    }

    #[test]
    fn a_pod_stays_as_long_as_it_tolerates() {
        let taint = json!({"key": UNREACHABLE, "effect": NO_EXECUTE});
        let pod = |seconds: Value| {
            json!({"spec": {"tolerations": [
                {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": seconds}]}})
        };
        let seconds = Duration::from_secs;
        assert_eq!(stay(&pod(json!(5)), &taint), Some(seconds(5)));
        assert_eq!(stay(&pod(json!(-1)), &taint), Some(seconds(0)));
        assert_eq!(stay(&pod(Value::Null), &taint), None);
        assert_eq!(stay(&json!({"spec": {}}), &taint), Some(seconds(0)));
    }

    #[test]
    fn only_the_effects_asked_for_count() {
        let node = json!({"spec": {"taints": [
            {"key": "a", "effect": PREFER_NO_SCHEDULE}, {"key": "b", "effect": NO_SCHEDULE}]}});
        let pod = json!({"spec": {}});
        let keys: Vec<_> = untolerated(&node, &pod, &[NO_SCHEDULE, NO_EXECUTE])
            .map(|taint| &taint["key"])
            .collect();
        assert_eq!(keys, ["b"]);
    }
}
