//! Which facts are kept.

use aks_tui::{
    adapters::journal::pick::Picker,
    core::{
        event::{Event, Fact},
        model::ledger::Ledger,
        time::Time,
        workload::{Role, line::Progress},
    },
};
use proptest::prelude::*;

use crate::facts::events;

fn kept(events: &[Event]) -> Vec<Event> {
    let (mut picker, mut kept) = (Picker::default(), Vec::new());
    for event in events {
        assert_eq!(picker.pick(event, false, &mut kept), 0);
    }
    kept
}

fn ledger(events: &[Event]) -> Ledger {
    let mut ledger = Ledger::default();
    for event in events {
        ledger.observe(event.at, &event.fact);
    }
    ledger
}

/// A client that says every `every` µs (and `wobble`) how far it has come.
fn samples(count: u64, every: u64, wobble: impl Fn(u64) -> u64) -> Vec<Event> {
    let sample = |n: u64| Event {
        at: Time(n * every + wobble(n)),
        fact: Fact::Progress {
            role: Role::Client,
            progress: Progress {
                epoch: 1,
                call: n,
                echoed: n << 20,
                replaying: false,
            },
        },
    };
    (0..count).map(sample).collect()
}

#[test]
fn ten_samples_a_second_are_kept_of_however_many() {
    for every in [500, 3_000, 30_000, 99_000] {
        let count = 10_000_000 / every;
        let kept = kept(&samples(count, every, |_| 0)).len();
        assert!((70..=102).contains(&kept), "{kept} of {count}");
    }
}

#[test]
fn a_clock_of_its_own_loses_no_sample() {
    let wobbling = samples(100, 100_000, |n| [0, 12_000, 3_000, 9_000][n as usize % 4]);
    assert_eq!(kept(&wobbling), wobbling);
}

#[test]
fn a_slow_disk_costs_samples_and_nothing_else() {
    let mut events = samples(100, 100_000, |_| 0);
    events.insert(
        50,
        Event {
            at: Time(4_950_000),
            fact: Fact::FinishRequested,
        },
    );
    let (mut picker, mut kept) = (Picker::default(), Vec::new());
    let missed: u64 = events
        .iter()
        .map(|event| picker.pick(event, true, &mut kept))
        .sum();
    // The first sample, and the last one before the fact.
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[1], events[49]);
    assert_eq!(missed, 99);
}

#[test]
fn a_picker_that_goes_on_repeats_nothing() {
    let recorded = samples(50, 30_000, |_| 0);
    let mut picker = Picker::after(&recorded);
    let next = Event {
        at: Time(2_000_000),
        fact: Fact::FinishRequested,
    };
    let mut kept = Vec::new();
    picker.pick(&next, false, &mut kept);
    assert_eq!(kept, [next]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_ledger_of_what_is_kept_is_the_ledger(mut events in events(1..160), slow: bool) {
        // A journal writes that one itself.
        events.retain(|event| event.fact != Fact::CockpitResumed);
        let (mut picker, mut kept) = (Picker::default(), Vec::new());
        for event in &events {
            picker.pick(event, slow, &mut kept);
        }
        let (all, recorded) = (ledger(&events), ledger(&kept));
        prop_assert_eq!(all.trials(), recorded.trials());
        prop_assert_eq!(all.trials(), picker.ledger().trials());
    }
}
