//! The trials and what came of them.

mod said;

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use self::said::elapsed;
pub(super) use self::said::{bar, outcome, phase_style, phases_until_now, recovery};
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
    if scene.boxed && !columns.figures() && columns.bar > 0 {
        let key = key(scene, shown);
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
    // One part, so that no figure ever stands there without its name.
    let spread = |group, weight: u8, name: &str, spread: Spread| {
        let figure = |label: &str, value| format!("{label} {at_most}{}", format::duration(value));
        let one = format!("{name}{}", figure("p50", spread.p50));
        let two = format!("{one}  {}", figure("p95", spread.p95));
        let all = format!("{two}  {}", figure("worst", spread.max));
        let form = |text| vec![Span::styled(text, theme.muted)];
        Part::new(group, weight - 2, form(all))
            .or(weight - 1, form(two))
            .or(weight, form(one))
    };
    if let Some(rto) = summary.rto {
        told.push(spread(2, 70, "RTO ", rto));
    }
    if let Some(rto) = summary.rto_from_heal {
        told.push(spread(4, 60, "from heal ", rto));
    }
    if let Some(rto) = summary.rto_without_backoff
        && summary.rto != Some(rto)
    {
        told.push(spread(3, 50, "without back-off ", rto));
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
/// A phase in figures.
const FIGURE: usize = 10;

/// What fits beside what is always shown.
struct Columns {
    /// The phases that have figures, where there are any.
    phases: Vec<Phase>,
    /// The time with milliseconds.
    precise: bool,
    pod: usize,
    bar: usize,
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
        let mut phases = phases_of(trials);
        let wide = FIGURE * phases.len() + 2;
        let figures = OUTCOME + BAR + wide;
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
        if take(wide, wide) == 0 {
            phases.clear();
        }
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
            phases,
            precise,
            pod,
            bar,
            outcome,
            longest,
        }
    }

    fn figures(&self) -> bool {
        !self.phases.is_empty()
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
        if !self.figures() && self.bar > 0 {
            spans.push(Span::styled(
                format!("{:<bar$}", "PHASES", bar = self.bar),
                muted,
            ));
        }
        if self.figures() {
            spans.push(Span::raw(" ".repeat(self.bar)));
            for phase in self.phases.iter().copied() {
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
        if self.figures() {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled("OUTCOME", muted));
        spans
    }
}

/// The phases of a kill, and those of other faults where there were any.
fn phases_of(trials: &[Trial]) -> Vec<Phase> {
    let mut phases = Phase::ALL.to_vec();
    phases.retain(|phase| {
        !phase.is_special() || trials.iter().any(|trial| trial.fault.has_phase(*phase))
    });
    phases
}

/// What the textures of the bars mean.
fn key(scene: &Scene<'_>, trials: &[Trial]) -> Line<'static> {
    let mut key = Line::raw(" ");
    for phase in phases_of(trials) {
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

/// What the ledger calls a fault where there is little room.
const fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::ProcessKill => "kill -9",
        Fault::ProcessTerm => "TERM",
        Fault::ProcessStop => "STOP",
        Fault::ContainerKill => "all -9",
        Fault::DiskFill => "disk",
        Fault::NetworkCut => "cut",
        Fault::NetworkDelay => "delay",
        Fault::NetworkLoss => "loss",
        Fault::NodeOff => "node",
        Fault::NodeRestart => "restart",
        Fault::NodePowerOff => "vm off",
        Fault::NodeDeallocate => "dealloc",
        Fault::NodeReimage => "reimage",
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
    if columns.figures() {
        for phase in columns.phases.iter().copied() {
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
