//! What is said of one trial: how long it took, its phases, and what came of it.

use std::time::Duration;

use ratatui::{style::Style, text::Span};

use crate::{
    core::trial::{Fault, Phase, State, Trial},
    ui::{format, view::Scene},
};

/// How long a trial took, or has taken until now.
pub(super) fn elapsed(scene: &Scene<'_>, trial: &Trial) -> Duration {
    match (&trial.state, trial.recovery_time()) {
        (State::NotInjected { .. }, _) => Duration::ZERO,
        (_, Some(time)) => time,
        (State::TimedOut | State::Lost, None) => {
            trial.phases().iter().map(|(_, length)| *length).sum()
        }
        (_, None) => scene.now.since(trial.marks.injected),
    }
}

/// The colour of a phase.
pub(in crate::ui::view) const fn phase_style(scene: &Scene<'_>, phase: Phase) -> Style {
    match phase {
        Phase::Fill | Phase::Detect | Phase::Boot | Phase::Evict => scene.theme.detect,
        // Both are imposed; their textures differ.
        Phase::Hold | Phase::Backoff => scene.theme.backoff,
        Phase::Restart => scene.theme.restart,
        Phase::Ready => scene.theme.ready,
        Phase::Recover => scene.theme.recover,
    }
}

/// The phases of a trial with the one that is going on, up to now.
pub(in crate::ui::view) fn phases_until_now(
    scene: &Scene<'_>,
    trial: &Trial,
) -> Vec<(Phase, Duration)> {
    let mut phases = trial.phases();
    let going_on = match trial.state {
        State::Injected if trial.fault == Fault::DiskFill => Phase::Fill,
        State::Injected if trial.fault.holds() && !trial.fault.stalls() => Phase::Hold,
        State::Injected => Phase::Detect,
        State::Full | State::Stalled => Phase::Hold,
        State::NodeDown => Phase::Evict,
        State::Down => Phase::Restart,
        State::Backoff => Phase::Backoff,
        State::Restarted => Phase::Ready,
        State::Healed | State::Ready => Phase::Recover,
        _ => return phases,
    };
    let over: Duration = phases.iter().map(|(_, length)| *length).sum();
    let began = trial.marks.injected + over;
    phases.push((going_on, scene.now.since(began)));
    phases
}

/// A bar of `width` cells whose full length means `longest`.
pub(in crate::ui::view) fn bar(
    scene: &Scene<'_>,
    phases: &[(Phase, Duration)],
    longest: Duration,
    width: usize,
) -> Vec<Span<'static>> {
    let total: Duration = phases.iter().map(|(_, length)| *length).sum();
    let cells = |time: Duration| {
        let share = time.as_secs_f64() / longest.as_secs_f64().max(1e-6);
        (share * width as f64).round() as usize
    };
    let all = cells(total).clamp(usize::from(!total.is_zero()), width);
    let mut spans = Vec::new();
    let (mut passed, mut drawn) = (Duration::ZERO, 0);
    for (phase, length) in phases {
        passed += *length;
        // Rounding where a phase ends, not its length, keeps the sum right.
        let share = passed.as_secs_f64() / total.as_secs_f64().max(1e-6);
        let end = ((share * all as f64).round() as usize).min(all);
        if end > drawn {
            spans.push(Span::styled(
                scene.glyphs.phase(*phase).repeat(end - drawn),
                phase_style(scene, *phase),
            ));
            drawn = end;
        }
    }
    spans.push(Span::raw(" ".repeat(width - drawn)));
    spans
}

/// The recovery time, or the clock that runs until it is known.
pub(in crate::ui::view) fn recovery(scene: &Scene<'_>, trial: &Trial) -> (String, Style) {
    let theme = scene.theme;
    match (&trial.state, trial.recovery_time()) {
        (State::NotInjected { .. }, _) => (scene.glyphs.none.to_owned(), theme.muted),
        (_, Some(_)) if trial.interrupted => (scene.glyphs.none.to_owned(), theme.muted),
        (_, Some(time)) if trial.coarse => (
            format!("{} {}", scene.glyphs.at_most, format::duration(time)),
            theme.strong,
        ),
        (_, Some(time)) => (format::duration(time), theme.strong),
        (State::TimedOut | State::Lost, None) => (scene.glyphs.none.to_owned(), theme.bad),
        (_, None) => (
            format::running(scene.now.since(trial.marks.injected)),
            theme.warn,
        ),
    }
}

/// What came of a trial, or what it waits for.
pub(in crate::ui::view) fn outcome(scene: &Scene<'_>, trial: &Trial) -> (String, Style) {
    let theme = scene.theme;
    let glyphs = scene.glyphs;
    let integrity = format!("{} lost, {} duplicated", trial.lost, trial.duplicated);
    let waits = |what: &str| (format!("{} {what}", glyphs.spinner(scene.now)), theme.warn);
    match &trial.state {
        State::Verified if trial.interrupted => (
            format!("{} survived, {integrity}; not timed", glyphs.good),
            theme.good,
        ),
        State::Verified => (format!("{} survived, {integrity}", glyphs.good), theme.good),
        State::Lost => (format!("{} failed, {integrity}", glyphs.bad), theme.bad),
        State::TimedOut => (format!("{} did not come back", glyphs.bad), theme.bad),
        State::NotInjected { reason } => (
            format!("{} not injected: {reason}", glyphs.none),
            theme.warn,
        ),
        State::Injected | State::Full | State::Stalled if trial.fault.holds() => {
            let is = match trial.state {
                State::Stalled => "stalled",
                State::Full => "full",
                _ if trial.fault == Fault::DiskFill => "filling",
                _ => "in force",
            };
            match trial.heal_due() {
                Some(due) if due > scene.now => waits(&format!(
                    "{is}, heals in {} s",
                    due.since(scene.now).as_secs_f64().ceil()
                )),
                _ => waits(&format!("{is}, healing")),
            }
        }
        State::Injected | State::Full | State::Stalled => waits("waiting for its end"),
        State::Healed => waits("healed, catching up"),
        State::NodeDown => waits("node down, to be evicted"),
        State::Down if trial.marks.node_down.is_some() => waits("evicted, replacing"),
        State::Down => waits("down, restarting"),
        State::Backoff => waits("held back by the node"),
        State::Restarted => waits("runs, not ready yet"),
        State::Ready => waits("ready, catching up"),
        State::Recovered => waits("back, checking calls"),
    }
}
