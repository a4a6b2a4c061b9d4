//! What a NetworkChaos asks for. Its form was checked when it was created.

use std::time::Duration;

use serde_json::Value;

use super::super::Fault;

/// What is to be done, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub fault: Fault,
    /// None lasts until the object is deleted.
    pub duration: Option<Duration>,
}

impl Plan {
    /// Reads a `spec`.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn read(spec: &Value) -> Result<Self, String> {
        let fault = match spec["action"].as_str().unwrap_or_default() {
            "partition" => Fault {
                cut: true,
                ..Fault::default()
            },
            "delay" => Fault {
                delay: span(&spec["delay"]["latency"], "spec.delay.latency")?,
                jitter: match &spec["delay"]["jitter"] {
                    Value::Null => Duration::ZERO,
                    jitter => span(jitter, "spec.delay.jitter")?,
                },
                ..Fault::default()
            },
            "loss" => Fault {
                loss: percent(&spec["loss"]["loss"])?,
                ..Fault::default()
            },
            other => return Err(format!("spec.action: {other:?} is not supported")),
        };
        let duration = match &spec["duration"] {
            Value::Null => None,
            duration => Some(span(duration, "spec.duration")?),
        };
        Ok(Self { fault, duration })
    }
}

fn span(value: &Value, field: &str) -> Result<Duration, String> {
    let text = value.as_str().unwrap_or_default();
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let parsed = parsed.and_then(|it| Duration::try_from(it).ok());
    parsed.ok_or_else(|| format!("{field}: {text:?} is no duration such as 200ms"))
}

fn percent(value: &Value) -> Result<f64, String> {
    let text = value.as_str().unwrap_or_default();
    let number = text.parse().ok().filter(|it| (0.0..=100.0).contains(it));
    number.ok_or_else(|| format!("spec.loss.loss: {text:?} is no percentage"))
}

/// Whether a `selector` means a pod. Pods that are named are meant whatever
/// else it says, as Chaos Mesh has it.
pub(super) fn means(selector: &Value, own_namespace: &str, pod: &Value) -> bool {
    let meta = &pod["metadata"];
    let namespace = meta["namespace"].as_str().unwrap_or_default();
    if let Some(named) = selector["pods"].as_object().filter(|it| !it.is_empty()) {
        let named = named.get(namespace).and_then(Value::as_array);
        return named.is_some_and(|names| names.contains(&meta["name"]));
    }
    let in_namespace = match selector["namespaces"].as_array() {
        Some(namespaces) if !namespaces.is_empty() => namespaces.iter().any(|it| it == namespace),
        _ => namespace == own_namespace,
    };
    let labels = selector["labelSelectors"].as_object();
    in_namespace
        && labels
            .into_iter()
            .flatten()
            .all(|(label, value)| meta["labels"][label] == *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_says_what_and_how_long() {
        let cut = Plan::read(&json!({"action": "partition", "duration": "1m30s"})).unwrap();
        assert!(cut.fault.cut);
        assert_eq!(cut.duration, Some(Duration::from_secs(90)));
        let slow = json!({"action": "delay", "delay": {"latency": "200ms", "jitter": "0ms"}});
        let slow = Plan::read(&slow).unwrap();
        assert_eq!(slow.fault.delay, Duration::from_millis(200));
        assert_eq!((slow.fault.jitter, slow.duration), (Duration::ZERO, None));
        let lossy = Plan::read(&json!({"action": "loss", "loss": {"loss": "12.5"}})).unwrap();
        assert!((lossy.fault.loss - 12.5).abs() < f64::EPSILON);
        for (spec, why) in [
            (json!({"action": "bandwidth"}), "spec.action"),
            (json!({"action": "delay"}), "spec.delay.latency"),
            (
                json!({"action": "loss", "loss": {"loss": "101"}}),
                "spec.loss.loss",
            ),
            (
                json!({"action": "partition", "duration": "soon"}),
                "spec.duration",
            ),
        ] {
            assert!(Plan::read(&spec).unwrap_err().contains(why), "{spec}");
        }
    }

    #[test]
    fn a_selector_means_named_pods_or_labelled_ones() {
        let pod = json!({"metadata": {"namespace": "a", "name": "p", "labels": {"app": "x"}}});
        for (selector, own, meant) in [
            (json!({}), "a", true),
            (json!({}), "b", false),
            (json!({"namespaces": ["a"]}), "b", true),
            (json!({"labelSelectors": {"app": "x"}}), "a", true),
            (json!({"labelSelectors": {"app": "y"}}), "a", false),
            (
                json!({"pods": {"a": ["p"]}, "labelSelectors": {"app": "y"}}),
                "b",
                true,
            ),
            (json!({"pods": {"a": ["q"]}}), "a", false),
            (json!({"pods": {"b": ["p"]}}), "a", false),
        ] {
            assert_eq!(means(&selector, own, &pod), meant, "{selector}");
        }
    }
}
