//! One trial in full: every mark, every phase, and what proves it.

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{FIELD, field, heading, pod::signal_name, scrolling};
use crate::{
    core::{
        trial::{Fault, Phase, State, Trial, TrialId},
        update::ui::Room,
    },
    ui::{
        format,
        view::{
            Scene,
            ledger::{bar, outcome, phase_style, phases_until_now, recovery},
            pods::role_style,
        },
    },
};

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    id: TrialId,
    scroll: u16,
) -> (Rect, Room) {
    let Some(trial) = scene.model.ledger.get(id) else {
        let line = Line::styled("This trial is not in the picture.", scene.theme.warn);
        return scrolling(scene, buf, body, "Trial", &[line], 0);
    };
    let mut lines = Vec::new();
    summary(scene, body, trial, &mut lines);
    if !matches!(trial.state, State::NotInjected { .. }) {
        lines.push(Line::default());
        phases(scene, body, trial, &mut lines);
        lines.push(Line::default());
        marks(scene, trial, &mut lines);
        lines.push(Line::default());
        proof(scene, body, trial, &mut lines);
    }
    let title = format!("Trial {id}");
    scrolling(scene, buf, body, &title, &lines, scroll)
}

fn summary(scene: &Scene<'_>, body: Rect, trial: &Trial, lines: &mut Vec<Line<'static>>) {
    let theme = scene.theme;
    let mut add = |name: &str, value: &str, style: Style| {
        lines.extend(field(scene, body, name, value, style));
    };
    add("fault", trial.fault.describe(), theme.strong);
    add("target", trial.role.name(), role_style(scene, trial.role));
    if let Some(victim) = &trial.victim {
        let pod = format!("{}/{}", victim.namespace, victim.pod);
        add("victim", &pod, theme.strong);
        add("container", &victim.container, theme.screen);
        if let Some(volume) = &victim.volume {
            add("volume", volume, theme.screen);
        }
        if let Some(node) = &victim.node {
            add("node", node, theme.screen);
        }
    }
    let (text, style) = outcome(scene, trial);
    add("outcome", &text, style);
    if matches!(trial.state, State::NotInjected { .. }) {
        return;
    }
    let (text, style) = recovery(scene, trial);
    add("recovery time", &text, style);
    if let Some(time) = trial.recovery_time_from_heal()
        && !trial.interrupted
    {
        add("  from heal", &format::duration(time), theme.screen);
    }
    if let Some(time) = trial.recovery_time_without_backoff()
        && trial.recovery_time() != Some(time)
        && !trial.interrupted
    {
        add("  no back-off", &format::duration(time), theme.screen);
    }
    if trial.coarse {
        let why = "the workload prints no progress: seen at the end of a round, an upper bound";
        add("", why, theme.warn);
    }
    if trial.interrupted {
        let why = "the cockpit was away for a part of it: left out of the percentiles";
        add("", why, theme.warn);
    }
}

/// The phases, each with its share of the whole as a bar at its place.
fn phases(scene: &Scene<'_>, body: Rect, trial: &Trial, lines: &mut Vec<Line<'static>>) {
    let theme = scene.theme;
    // Beside the names, the figures and what they mean.
    let width = usize::from(body.width).saturating_sub(58).clamp(8, 40);
    let told = width >= 16;
    let phases = phases_until_now(scene, trial);
    let total: Duration = phases.iter().map(|(_, length)| *length).sum();
    let mut all = vec![Span::styled(format!("{:<FIELD$}", "phases"), theme.muted)];
    all.extend(bar(scene, &phases, total, width));
    all.push(Span::styled(
        format!(" {:>8}", format::duration(total)),
        theme.strong,
    ));
    lines.push(Line::from(all));
    let place = |time: Duration| {
        let share = time.as_secs_f64() / total.as_secs_f64().max(1e-6);
        ((share * width as f64).round() as usize).min(width)
    };
    let mut passed = Duration::ZERO;
    for (phase, length) in phases {
        let begin = place(passed);
        passed += length;
        let end = place(passed);
        let texture = scene.glyphs.phase(phase).repeat(end - begin);
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<1$}", phase.name(), FIELD - 2), theme.muted),
            Span::raw(" ".repeat(begin)),
            Span::styled(texture, phase_style(scene, phase)),
            Span::raw(" ".repeat(width - end)),
            Span::raw(format!(" {:>8}", format::duration(length))),
            Span::styled(
                format!("  {}", if told { meaning(trial, phase) } else { "" }),
                theme.muted,
            ),
        ]));
    }
}

const fn meaning(trial: &Trial, phase: Phase) -> &'static str {
    match phase {
        Phase::Fill => "until the volume was full",
        Phase::Detect if trial.marks.node_down.is_some() => "until its node counted as dead",
        Phase::Detect if trial.marks.stalled.is_some() => "until no work was done",
        Phase::Detect => "until its end was seen",
        Phase::Hold => "held up by the fault",
        Phase::Boot => "until its node was back",
        Phase::Evict => "until the pod was evicted",
        Phase::Backoff => "held back by the node",
        Phase::Restart => "until a new process ran",
        Phase::Ready => "until it was ready",
        Phase::Recover => "until new work was done",
    }
}

fn marks(scene: &Scene<'_>, trial: &Trial, lines: &mut Vec<Line<'static>>) {
    let theme = scene.theme;
    let marks = &trial.marks;
    let gone = if trial.fault.hits_node() {
        "evicted"
    } else {
        "down"
    };
    for (name, at) in [
        ("injected", Some(marks.injected)),
        ("full", marks.full),
        ("stalled", marks.stalled),
        ("healed", marks.healed),
        ("node down", marks.node_down),
        ("node back", marks.node_back),
        (gone, marks.down),
        ("back-off", marks.backoff),
        ("restarted", marks.restarted),
        ("ready", marks.ready),
        ("recovered", marks.recovered),
        ("verified", marks.verified),
    ] {
        // Back-off that never was is no mark that is missing, and nobody dies
        // of being held up.
        let expected = match name {
            "back-off" => false,
            "full" => trial.fault == Fault::DiskFill,
            "stalled" => trial.fault.stalls(),
            "healed" => trial.fault.holds(),
            "node down" => trial.fault.hits_node() && trial.fault.lasts(),
            "node back" => trial.fault.by_azure().is_some() && marks.node_down.is_some(),
            "down" | "restarted" | "ready" => !trial.fault.holds(),
            _ => true,
        };
        if !expected && at.is_none() {
            continue;
        }
        let mut spans = vec![Span::styled(format!("{name:<FIELD$}"), theme.muted)];
        match at {
            Some(at) => {
                let after = format::duration(at.since(marks.injected));
                spans.push(Span::raw(at.to_string()));
                spans.push(Span::styled(format!("  +{after}"), theme.muted));
            }
            None => spans.push(Span::styled(scene.glyphs.none, theme.muted)),
        }
        lines.push(Line::from(spans));
    }
}

/// What shows that the very victim died and another life took over.
fn proof(scene: &Scene<'_>, body: Rect, trial: &Trial, lines: &mut Vec<Line<'static>>) {
    let theme = scene.theme;
    lines.push(heading(scene, "before and after"));
    let arrow = scene.glyphs.arrow;
    let pair = |before: Option<String>, after: Option<String>| {
        let unknown = || "?".to_owned();
        format!(
            "{} {arrow} {}",
            before.unwrap_or_else(unknown),
            after.unwrap_or_else(unknown)
        )
    };
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let victim = trial.victim.as_ref();
    let mut add = |name: &str, value: String| {
        lines.extend(field(scene, body, name, value, theme.screen));
    };
    let pid = victim.and_then(|victim| victim.pid).map(u64::from);
    add(
        "process id",
        pair(text(pid), text(trial.pid_after.map(Into::into))),
    );
    let spared = trial.fault.holds() && trial.marks.restarted.is_none();
    let epoch = match (trial.epoch_before, spared) {
        (Some(epoch), true) => format!("{epoch}: the same execution goes on"),
        _ => pair(text(trial.epoch_before), text(trial.epoch_after)),
    };
    add("epoch", epoch);
    if spared {
        return;
    }
    let short = |id: Option<&String>| {
        id.map(|id| format::cut_middle(id, 24, scene.glyphs.ellipsis).into_owned())
    };
    let before = victim.and_then(|victim| victim.container_id.as_ref());
    add(
        "container id",
        pair(short(before), short(trial.container_after.as_ref())),
    );
    let signal = match (trial.signal_seen, trial.fault.signal()) {
        (Some(signal), _) => format!("{} ended it, says its container", signal_name(signal)),
        (None, Some(signal)) => format!("{} was sent; its end was not told", signal_name(signal)),
        (None, None) if trial.fault.replaces_pod() => {
            "a pod that is gone leaves nobody to tell".to_owned()
        }
        (None, None) => "its end was not told".to_owned(),
    };
    add("signal", signal);
}
