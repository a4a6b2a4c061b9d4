//! The trials and what came of them.

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    Scene, chrome,
    pack::{Part, cut_line},
    pods::role_style,
};
use crate::{
    core::{
        action::{Action, Pane},
        model::ledger::Spread,
        trial::{Fault, Phase, State, Trial},
    },
    ui::format,
};

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    let inner = chrome::frame(scene, buf, area, Pane::Ledger, told(scene));
    if inner.is_empty() {
        return inner;
    }
    let trials = scene.model.ledger.trials();
    if trials.is_empty() {
        let sentence = match (scene.ui.locked, fault_key(scene)) {
            (Some(why), _) => format!("No faults here: {why}."),
            (None, Some(key)) => format!("Press {key} to inject a fault."),
            (None, None) => "Ask the palette for fault_menu to inject a fault.".into(),
        };
        chrome::sentence(scene, buf, inner, &[Line::raw(sentence)]);
        return Rect { height: 0, ..inner };
    }
    let heading = scene.boxed && inner.height > 1;
    let list = Rect {
        y: inner.y + u16::from(heading),
        height: inner.height - u16::from(heading),
        ..inner
    };
    let (window, cursor) = scene.ui.ledger.window(trials.len(), list.height.into());
    let shown = &trials[window.clone()];
    let columns = Columns::new(scene, inner.width.into(), shown);
    if scene.boxed && !columns.figures && columns.bar > 0 {
        let key = key(scene);
        let width = key.width() as u16;
        if width + 6 < area.width {
            buf.set_line(area.right() - width - 3, area.bottom() - 1, &key, width);
        }
    }
    if heading {
        let line = cut_line(scene, columns.heading(scene), inner.width.into());
        buf.set_line(inner.x, inner.y, &line, inner.width);
    }
    for (y, (index, trial)) in (list.y..).zip(window.zip(shown)) {
        let selected = index == cursor && scene.ui.focus == Pane::Ledger;
        let line = row(scene, trial, &columns, selected);
        let line = cut_line(scene, line, list.width.into());
        buf.set_line(list.x, y, &line, list.width);
        if selected {
            buf.set_style(Rect::new(list.x, y, list.width, 1), scene.theme.selected);
        }
    }
    list
}

fn fault_key(scene: &Scene<'_>) -> Option<String> {
    use crate::core::action::Scope;
    scene.keymap.hint(
        &[Scope::Pane(Pane::Ledger), Scope::Cockpit, Scope::Global],
        Action::FaultMenu,
    )
}

/// The whole story in one line, as long as there is room for it.
fn told<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let summary = &scene.summary;
    if summary.kills == 0 {
        return Vec::new();
    }
    let part = |group, weight, text: String, style: Style| Part::text(group, weight, text, style);
    let fine = |zero: bool| if zero { theme.good } else { theme.bad };
    let mut told = vec![
        part(
            1,
            80,
            format::count(summary.kills as u64, "kill"),
            theme.muted,
        ),
        part(
            1,
            85,
            format!("{} survived", summary.survived),
            fine(summary.failed == 0),
        ),
        part(
            1,
            84,
            format!("{} lost", summary.lost),
            fine(summary.lost == 0),
        ),
        part(
            1,
            83,
            format!("{} duplicated", summary.duplicated),
            fine(summary.duplicated == 0),
        ),
    ];
    let at_most = if summary.coarse {
        format!("{} ", scene.glyphs.at_most)
    } else {
        String::new()
    };
    let spread = |told: &mut Vec<Part<'a>>, group, weight: u8, name: &str, spread: Spread| {
        for (step, (label, value)) in [
            ("p50", spread.p50),
            ("p95", spread.p95),
            ("worst", spread.max),
        ]
        .into_iter()
        .enumerate()
        {
            let name = if step == 0 { name } else { "" };
            let text = format!("{name}{label} {at_most}{}", format::duration(value));
            told.push(part(group, weight - step as u8, text, theme.muted));
        }
    };
    if let Some(rto) = summary.rto {
        spread(&mut told, 2, 70, "RTO ", rto);
    }
    if let Some(rto) = summary.rto_without_backoff
        && summary.rto != Some(rto)
    {
        spread(&mut told, 3, 50, "without back-off ", rto);
    }
    told
}

const ID: usize = 4;
const FAULT: usize = 7;
const TARGET: usize = 6;
const RTO: usize = 9;
const OUTCOME: usize = 24;
/// The outcome with the word for it.
const OUTCOME_SAID: usize = 33;
const BAR: usize = 16;
/// The five phases in figures, ten columns each.
const FIGURES: usize = 50;

/// What fits beside what is always shown.
struct Columns {
    /// The time with milliseconds.
    precise: bool,
    pod: usize,
    bar: usize,
    figures: bool,
    outcome: usize,
    /// The recovery time that fills a bar.
    longest: Duration,
}

impl Columns {
    fn new(scene: &Scene<'_>, width: usize, trials: &[Trial]) -> Self {
        // The pointer, the columns that are always there, and their gaps.
        let fixed = 2 + ID + 1 + 5 + 2 + FAULT + 2 + TARGET + 2 + 2 + RTO + 2;
        let mut room = width.saturating_sub(fixed);
        // Figures of the phases say more than a word that a sign says too.
        let figures = OUTCOME + BAR + FIGURES + 2;
        let squeezed = (figures..figures + OUTCOME_SAID - OUTCOME).contains(&room);
        let outcome = if width < 100 || squeezed {
            OUTCOME
        } else {
            OUTCOME_SAID
        };
        let outcome = outcome.min(room);
        room -= outcome;
        let mut bar = 0;
        let mut take = |least: usize, most: usize| {
            let taken = if room >= least { room.min(most) } else { 0 };
            room -= taken;
            taken
        };
        bar += take(6, BAR);
        let figures = take(FIGURES + 2, FIGURES + 2) > 0;
        let precise = take(4, 4) > 0;
        let name = trials
            .iter()
            .filter_map(|trial| trial.victim.as_ref())
            .map(|victim| format::width(&victim.pod))
            .max()
            .unwrap_or(0);
        let pod = take(18, name + 2).saturating_sub(2);
        bar += take(1, BAR);
        let outcome = outcome + room;
        let longest = trials
            .iter()
            .map(|trial| elapsed(scene, trial))
            .max()
            .unwrap_or_default();
        Self {
            precise,
            pod,
            bar,
            figures,
            outcome,
            longest,
        }
    }

    fn time(&self) -> usize {
        if self.precise { 9 } else { 5 }
    }

    fn heading(&self, scene: &Scene<'_>) -> Vec<Span<'static>> {
        let muted = scene.theme.muted;
        let mut spans = vec![Span::styled(
            format!(
                "  {:<ID$} {:<time$}  {:<FAULT$}  {:<TARGET$}  ",
                "#",
                "TIME",
                "FAULT",
                "TARGET",
                time = self.time()
            ),
            muted,
        )];
        if self.pod > 0 {
            spans.push(Span::styled(
                format!("{:<pod$}  ", "POD", pod = self.pod),
                muted,
            ));
        }
        spans.push(Span::styled(format!("{:>RTO$}  ", "RECOVERY"), muted));
        // The heading of the bars is the key to their textures.
        let mut key: Vec<Span<'static>> = Vec::new();
        if !self.figures && self.bar > 0 {
            spans.push(Span::styled(
                format!("{:<bar$}", "PHASES", bar = self.bar),
                muted,
            ));
        }
        if self.figures {
            spans.push(Span::raw(" ".repeat(self.bar)));
            for phase in Phase::ALL {
                key.push(Span::styled(
                    scene.glyphs.phase(phase),
                    phase_style(scene, phase),
                ));
                key.push(Span::styled(format!("{:<8} ", phase.name()), muted));
            }
            spans.push(Span::raw("  "));
        } else if self.bar > 0 {
            spans.push(Span::raw("  "));
        }
        spans.extend(key);
        if self.figures {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled("OUTCOME", muted));
        spans
    }
}

/// What the textures of the bars mean.
pub(super) fn key(scene: &Scene<'_>) -> Line<'static> {
    let mut key = Line::raw(" ");
    for phase in Phase::ALL {
        key.push_span(Span::styled(
            scene.glyphs.phase(phase),
            phase_style(scene, phase),
        ));
        key.push_span(Span::styled(
            format!(" {} ", phase.name()),
            scene.theme.muted,
        ));
    }
    key
}

/// How long a trial took, or has taken until now.
fn elapsed(scene: &Scene<'_>, trial: &Trial) -> Duration {
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
pub(super) const fn phase_style(scene: &Scene<'_>, phase: Phase) -> Style {
    match phase {
        Phase::Detect => scene.theme.detect,
        Phase::Backoff => scene.theme.backoff,
        Phase::Restart => scene.theme.restart,
        Phase::Ready => scene.theme.ready,
        Phase::Recover => scene.theme.recover,
    }
}

/// The phases of a trial with the one that is going on, up to now.
pub(super) fn phases_until_now(scene: &Scene<'_>, trial: &Trial) -> Vec<(Phase, Duration)> {
    let mut phases = trial.phases();
    let going_on = match trial.state {
        State::Injected => Phase::Detect,
        State::Down => Phase::Restart,
        State::Backoff => Phase::Backoff,
        State::Restarted => Phase::Ready,
        State::Ready => Phase::Recover,
        _ => return phases,
    };
    let over: Duration = phases.iter().map(|(_, length)| *length).sum();
    let began = trial.marks.injected + over;
    phases.push((going_on, scene.now.since(began)));
    phases
}

/// A bar of `width` cells whose full length means `longest`.
pub(super) fn bar(
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

/// What the ledger calls a fault where there is little room.
const fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::ProcessKill => "kill -9",
        Fault::ProcessTerm => "TERM",
        Fault::PodDelete => "pod",
    }
}

fn row<'a>(
    scene: &Scene<'_>,
    trial: &'a Trial,
    columns: &Columns,
    selected: bool,
) -> Vec<Span<'a>> {
    let theme = scene.theme;
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let time = if columns.precise {
        trial.marks.injected.to_string()
    } else {
        format::clock(trial.marks.injected)
    };
    let mut spans = vec![
        Span::styled(
            format!("{pointer} {:<ID$} ", trial.id.to_string()),
            theme.strong,
        ),
        Span::styled(
            format!("{time:>width$}  ", width = columns.time()),
            theme.muted,
        ),
        Span::raw(format!("{:<FAULT$}  ", fault_name(trial.fault))),
        Span::styled(
            format!("{:<TARGET$}  ", trial.role.name()),
            role_style(scene, trial.role),
        ),
    ];
    if columns.pod > 0 {
        let pod = trial.victim.as_ref().map_or("-", |v| v.pod.as_str());
        let pod = format::cut_middle(pod, columns.pod, scene.glyphs.ellipsis);
        let pad = columns.pod.saturating_sub(format::width(&pod)) + 2;
        spans.push(Span::styled(format!("{pod}{:pad$}", ""), theme.muted));
    }
    if let State::NotInjected { reason } = &trial.state {
        spans.push(Span::styled(
            format!("{} not injected: {reason}", scene.glyphs.none),
            theme.warn,
        ));
        return spans;
    }
    let (rto, style) = recovery(scene, trial);
    spans.push(Span::styled(format!("{rto:>RTO$}  "), style));
    let phases = phases_until_now(scene, trial);
    if columns.bar > 0 {
        spans.extend(bar(scene, &phases, columns.longest, columns.bar));
        spans.push(Span::raw("  "));
    }
    if columns.figures {
        for phase in Phase::ALL {
            let length: Duration = phases
                .iter()
                .filter(|(p, _)| *p == phase)
                .map(|(_, length)| *length)
                .sum();
            let seen = phases.iter().any(|(p, _)| *p == phase);
            let text = if seen {
                format::duration(length)
            } else {
                scene.glyphs.none.to_owned()
            };
            let pad = 9usize.saturating_sub(format::width(&text));
            let style = if seen { theme.screen } else { theme.faint };
            spans.push(Span::styled(format!("{text}{:pad$} ", ""), style));
        }
        spans.push(Span::raw("  "));
    }
    let (mut text, style) = outcome(scene, trial);
    if columns.outcome < OUTCOME_SAID && trial.state.is_over() {
        text = text.replace("survived, ", "").replace("failed, ", "");
    }
    if format::width(&text) > columns.outcome && trial.state.is_over() {
        text = text.replace(", ", " ").replace("duplicated", "dup");
    }
    let text = format::cut(&text, columns.outcome, scene.glyphs.ellipsis).into_owned();
    spans.push(Span::styled(text, style));
    spans
}

/// The recovery time, or the clock that runs until it is known.
pub(super) fn recovery(scene: &Scene<'_>, trial: &Trial) -> (String, Style) {
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
pub(super) fn outcome(scene: &Scene<'_>, trial: &Trial) -> (String, Style) {
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
        State::Injected => waits("waiting for its end"),
        State::Down => waits("down, restarting"),
        State::Backoff => waits("held back by the node"),
        State::Restarted => waits("runs, not ready yet"),
        State::Ready => waits("ready, catching up"),
        State::Recovered => waits("back, checking calls"),
    }
}
