//! Whatever order the facts come in, some things always hold.

use std::time::Duration;

use aks_tui::core::{
    model::Model,
    trial::{Phase, State, Trial},
};
use proptest::prelude::*;

use crate::facts::events;

/// What holds of every trial at every moment.
fn check(trial: &Trial) -> Result<(), TestCaseError> {
    let marks = &trial.marks;
    let order = [
        Some(marks.injected),
        marks.node_down,
        marks.down,
        marks.restarted,
        marks.recovered,
        marks.verified,
    ];
    let held_up = [
        Some(marks.injected),
        marks.stalled,
        marks.healed.filter(|_| marks.down.is_none()),
        marks.down,
        marks.recovered,
        marks.verified,
    ];
    for order in [&order[..], &held_up] {
        let seen: Vec<_> = order.iter().flatten().collect();
        prop_assert!(seen.is_sorted(), "{trial:#?}");
    }
    let spared = trial.fault.holds() && marks.restarted.is_none();
    let phases = trial.phases();
    let mut names: Vec<Phase> = phases.iter().map(|(phase, _)| *phase).collect();
    prop_assert!(names.is_sorted(), "{names:?}");
    names.dedup();
    prop_assert_eq!(names.len(), phases.len(), "a phase is told once");
    if let Some(rto) = trial.recovery_time() {
        let sum: Duration = phases.iter().map(|(_, time)| *time).sum();
        prop_assert_eq!(sum, rto, "{:#?}", trial);
        if spared {
            prop_assert!(marks.healed.is_some() && marks.down.is_none(), "{trial:#?}");
        } else {
            prop_assert!(marks.down.is_some() && marks.restarted.is_some());
        }
        let without = trial.recovery_time_without_backoff();
        prop_assert_eq!(without, rto.checked_sub(trial.phase(Phase::Backoff)));
    }
    if trial.survived() {
        prop_assert!(marks.verified.is_some() && marks.recovered.is_some());
        prop_assert_eq!((trial.lost, trial.duplicated), (0, 0));
        prop_assert!(trial.coarse || spared || trial.epoch_after > trial.epoch_before);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_trial_makes_sense_whatever_happens(events in events(1..160)) {
        let mut model = Model::default();
        let mut before: Vec<Trial> = Vec::new();
        for event in &events {
            model.apply(event);
            let trials = model.ledger.trials();
            prop_assert!(trials.len() >= before.len(), "no trial is forgotten");
            for (then, now) in before.iter().zip(trials) {
                prop_assert_eq!(then.id, now.id);
                prop_assert!(!then.state.is_over() || now.state.is_over(), "over is over");
                if then.state.is_over() {
                    prop_assert_eq!(then.marks, now.marks);
                    let stays = then.state == now.state || now.state == State::Lost;
                    prop_assert!(stays, "{:?} became {:?}", then.state, now.state);
                }
            }
            for trial in trials {
                check(trial)?;
            }
            before = trials.to_vec();
        }
        let summary = model.ledger.summary();
        let open = before.iter().filter(|trial| !trial.state.is_over()).count();
        prop_assert_eq!(summary.survived + summary.failed + open, summary.kills);
    }

    #[test]
    fn a_curve_goes_forward_and_never_below_zero(events in events(1..200)) {
        let model = Model::fold(&events);
        let mut broken = true;
        for point in model.throughput.points() {
            prop_assert!(point.gib_s.is_none_or(|rate| rate >= 0.0 && rate.is_finite()));
            prop_assert!(!broken || point.gib_s.is_some(), "a gap is told once");
            broken = point.gib_s.is_none();
        }
    }
}
