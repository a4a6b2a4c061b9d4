//! What a test bed has cost so far: the price list, and how long each part was there.
//!
//! A cluster that is stopped has no machines to pay for; what stands around it goes on
//! costing. A node that was stopped by itself is not seen here: the sum is then too
//! high, never too low.

use serde::{Deserialize, Serialize};

use super::plan::{Cost, Paid};

/// Milliseconds of an hour.
const HOUR: f64 = 3_600_000.0;

/// What an hour costs, by what it is paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// The nodes, while the cluster runs.
    pub nodes: f64,
    /// What stands around them while there is a cluster.
    pub standing: f64,
    /// The registry.
    pub registry: f64,
}

impl Rates {
    /// The rates of a price list that was made for `planned` nodes, for `nodes` of
    /// them.
    pub fn of(cost: &Cost, planned: u32, nodes: usize) -> Self {
        let sum = |paid: Paid| -> f64 {
            let items = cost.items.iter().filter(|item| item.paid == paid);
            items.map(|item| item.per_hour).sum()
        };
        Self {
            nodes: sum(Paid::Nodes) / f64::from(planned.max(1)) * nodes as f64,
            standing: sum(Paid::Standing),
            registry: sum(Paid::Registry),
        }
    }
}

/// When what was there, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// When the cluster was made; none if there is none.
    pub cluster: Option<i64>,
    /// When the registry was made; none if there is none.
    pub registry: Option<i64>,
    /// When the cluster was started (true) and stopped, in any order.
    pub switches: Vec<(i64, bool)>,
}

/// What it has cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// `USD`.
    pub currency: String,
    /// All of it.
    pub total: f64,
    /// When the oldest part was made, ms since 1970.
    pub since_ms: i64,
    /// How long the cluster ran, ms.
    pub ran_ms: i64,
    /// How long it was there, ms.
    pub there_ms: i64,
}

/// What was spent until `now` (ms since 1970); nothing if nothing is there.
pub fn spent(currency: &str, rates: Rates, history: &History, now: i64) -> Option<Spent> {
    let since_ms = [history.cluster, history.registry]
        .into_iter()
        .flatten()
        .min()?;
    let length = |since: Option<i64>| since.map_or(0, |since| (now - since).max(0));
    let ran_ms = ran(history, now);
    let (there, registry) = (length(history.cluster), length(history.registry));
    let hours = |ms: i64| ms as f64 / HOUR;
    Some(Spent {
        currency: currency.to_owned(),
        total: rates.nodes * hours(ran_ms)
            + rates.standing * hours(there)
            + rates.registry * hours(registry),
        since_ms,
        ran_ms,
        there_ms: there,
    })
}

/// How long the cluster has run.
fn ran(history: &History, now: i64) -> i64 {
    let Some(made) = history.cluster else {
        return 0;
    };
    let mut switches = history.switches.clone();
    switches.sort_unstable();
    // What an older cluster of the same name did is not this one's.
    switches.retain(|(at, _)| *at >= made && *at <= now);
    let (mut ran, mut since) = (0, Some(made));
    for (at, on) in switches {
        match (since, on) {
            (Some(from), false) => {
                ran += at - from;
                since = None;
            }
            (None, true) => since = Some(at),
            _ => {}
        }
    }
    ran + since.map_or(0, |from| (now - from).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const RATES: Rates = Rates {
        nodes: 0.2,
        standing: 0.03,
        registry: 0.01,
    };

    #[test]
    fn a_stopped_cluster_costs_what_stands_around_it() {
        let history = History {
            cluster: Some(2 * HOUR),
            registry: Some(HOUR),
            // Stopped for three hours, told twice, and not in order.
            switches: vec![
                (7 * HOUR, true),
                (4 * HOUR, false),
                (5 * HOUR, false),
                (HOUR, false),
            ],
        };
        let spent = spent("USD", RATES, &history, 12 * HOUR).unwrap();
        assert_eq!((spent.ran_ms, spent.there_ms), (7 * HOUR, 10 * HOUR));
        assert_eq!(spent.since_ms, HOUR);
        assert!((spent.total - (7.0 * 0.2 + 10.0 * 0.03 + 11.0 * 0.01)).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_there_has_cost_nothing() {
        assert_eq!(spent("USD", RATES, &History::default(), 5), None);
    }

    #[test]
    fn the_price_is_that_of_the_nodes_there_are() {
        let cost = Cost {
            currency: "USD".into(),
            items: vec![super::super::plan::Price {
                what: "2 nodes".into(),
                per_hour: 0.2,
                paid: Paid::Nodes,
            }],
            leaves_out: Vec::new(),
        };
        let rates = Rates::of(&cost, 2, 3);
        assert!((rates.nodes - 0.3).abs() < 1e-9);
    }
}
