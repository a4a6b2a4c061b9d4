//! What a container may use of the machine, and what becomes of it.

use k8s_openapi::api::core::v1::Container as ContainerSpec;

use super::pod::Worker;
use crate::lab::quantity;
use crate::lab::recorder::Severity;
use crate::lab::runtime::Limits;

/// The limits that a container's spec sets. None of nothing is meant by zero.
pub(super) fn of(spec: &ContainerSpec) -> Limits {
    let limits = spec.resources.as_ref().and_then(|it| it.limits.as_ref());
    let milli = |name: &str| {
        let quantity = quantity::milli(&limits?.get(name)?.0)?;
        u64::try_from(quantity).ok().filter(|amount| *amount > 0)
    };
    Limits {
        memory: milli("memory").map(|thousandths| thousandths.div_ceil(1000)),
        cpu: milli("cpu"),
    }
}

impl Worker {
    /// Says once of a pod that has limits which are not kept that they are not.
    pub(super) fn tell_limits(&self) {
        let enforced = self.shared.runtime.enforced();
        let spec = self.pod.spec.iter();
        let mut all = spec.flat_map(|spec| {
            let first = spec.init_containers.iter().flatten();
            first.chain(&spec.containers)
        });
        if let Some(obstacle) = all.find_map(|it| enforced.obstacle(of(it))) {
            self.record(None, Severity::Warning, "LimitsNotEnforced", &obstacle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_read_in_their_own_units() {
        let of = |limits: serde_json::Value| {
            let spec = json!({"name": "c", "resources": {"limits": limits}});
            of(&serde_json::from_value(spec).unwrap())
        };
        let limits = |memory, cpu| Limits { memory, cpu };
        assert_eq!(
            of(json!({"memory": "64Mi", "cpu": "1500m"})),
            limits(Some(64 << 20), Some(1500))
        );
        assert_eq!(of(json!({"memory": "0", "cpu": "0"})), Limits::default());
        // A byte is not divided.
        assert_eq!(of(json!({"memory": "1m"})), limits(Some(1), None));
        assert_eq!(of(json!({})), Limits::default());
    }
}
