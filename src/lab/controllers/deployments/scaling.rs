//! A deployment that changes its size: between rollouts its one set does, in
//! the middle of one each set in proportion.

use std::sync::Arc;

use serde_json::Value;

use super::{DESIRED, Look, MOST, annotated, rollout, size};
use crate::lab::controllers::owned::{self, count};

impl Look<'_> {
    /// Whether the size asked for is another than the sets were made for.
    pub(super) fn is_scaling(&self) -> bool {
        let known = |set: &&Arc<Value>| size(set) > 0;
        self.sets()
            .filter(known)
            .filter_map(|set| annotated(set, DESIRED))
            .any(|desired| desired != self.wanted())
    }

    /// Gives every set the size that the deployment's size means for it.
    pub(super) fn resize(&self) {
        let active: Vec<&Arc<Value>> = self.sets().filter(|set| size(set) > 0).collect();
        match active.as_slice() {
            [] => {
                if let Some(set) = self.new.as_ref().or(self.old.last()) {
                    self.scale(set, self.wanted());
                }
            }
            [only] => self.scale(only, self.wanted()),
            _ if self.is_saturated() => {
                for set in &self.old {
                    self.scale(set, 0);
                }
            }
            _ if self.is_rolling() => {
                let most = match self.wanted() {
                    0 => 0,
                    wanted => wanted + self.surge(),
                };
                for (set, size) in proportions(active, most) {
                    self.scale(&set, size);
                }
            }
            _ => {}
        }
    }

    /// Whether the present template has all the pods that are asked for.
    fn is_saturated(&self) -> bool {
        self.new.as_ref().is_some_and(|set| {
            let wanted = self.wanted();
            size(set) == wanted
                && annotated(set, DESIRED) == Some(wanted)
                && count(&set["status"]["availableReplicas"], 0) == wanted
        })
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.deployment["spec"]["strategy"]["type"] != "Recreate"
    }

    /// How many pods more than asked for there may be.
    pub(super) fn surge(&self) -> u64 {
        if !self.is_rolling() {
            return 0;
        }
        let rolling = &self.deployment["spec"]["strategy"]["rollingUpdate"];
        rollout::share(&rolling["maxSurge"], self.wanted(), true)
    }
}

/// The sizes of sets of which there may be `most` pods together, each as much
/// larger or smaller as all are. What rounding leaves goes to the largest.
fn proportions(mut sets: Vec<&Arc<Value>>, most: u64) -> Vec<(Arc<Value>, u64)> {
    let total: u64 = sets.iter().map(|set| size(set)).sum();
    let grows = most > total;
    sets.sort_by_key(|set| owned::created(set));
    if grows {
        sets.reverse();
    }
    sets.sort_by_key(|set| std::cmp::Reverse(size(set)));
    let mut left = most.abs_diff(total);
    let mut sizes = Vec::new();
    for set in sets {
        let (own, before) = (size(set), annotated(set, MOST).unwrap_or(total).max(1));
        // Rounded to the nearest, as the real controller rounds.
        let fair = (2 * own * most + before) / (2 * before);
        let (step, next) = if grows {
            let step = fair.saturating_sub(own).min(left);
            (step, own + step)
        } else {
            let step = own.saturating_sub(fair).min(left);
            (step, own - step)
        };
        left -= step;
        sizes.push((Arc::clone(set), next));
    }
    if let Some((_, first)) = sizes.first_mut() {
        *first = if grows {
            *first + left
        } else {
            first.saturating_sub(left)
        };
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sizes(before: &[(u64, u64)], most: u64) -> Vec<u64> {
        let sets: Vec<Arc<Value>> = before
            .iter()
            .enumerate()
            .map(|(index, (size, max))| {
                Arc::new(json!({
                    "metadata": {
                        "name": index.to_string(),
                        "creationTimestamp": format!("2020-01-0{}T00:00:00Z", index + 1),
                        "annotations": {MOST: max.to_string()},
                    },
                    "spec": {"replicas": size},
                }))
            })
            .collect();
        let mut sizes: Vec<(String, u64)> = proportions(sets.iter().collect(), most)
            .into_iter()
            .map(|(set, size)| (set["metadata"]["name"].to_string(), size))
            .collect();
        sizes.sort();
        sizes.into_iter().map(|(_, size)| size).collect()
    }

    #[test]
    fn sets_grow_and_shrink_in_proportion() {
        // The documentation's own example: 10 pods, 3 more may be, then 15.
        assert_eq!(sizes(&[(8, 13), (5, 13)], 18), [11, 7]);
        assert_eq!(sizes(&[(8, 13), (5, 13)], 6), [4, 2]);
        assert_eq!(sizes(&[(3, 6), (3, 6)], 9), [4, 5]);
        assert_eq!(sizes(&[(8, 13), (5, 13)], 0), [0, 0]);
        assert_eq!(sizes(&[(8, 13), (5, 13)], 13), [8, 5]);
    }
}
