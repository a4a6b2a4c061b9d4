//! The last line: what is typed, what the last action had to say, and the keys
//! that work here, now.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{Scene, pack::cut_line};
use crate::{
    core::{
        action::{Action, Pane},
        azure::desk::Wish,
        deploy::Stage,
        update::{
            fault::{leftovers, offered},
            pattern::Pattern,
            pods_that_pass,
            ui::{AzureUi, DeployUi, Dialog, Place, Purpose},
        },
    },
    ui::format,
};

/// Draws the footer, and returns where the hints are that can be clicked.
pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Vec<(Rect, Action)> {
    if area.is_empty() {
        return Vec::new();
    }
    buf.set_style(area, scene.theme.footer);
    let indent = u16::from(area.width > 20);
    let mut area = Rect {
        x: area.x + indent,
        width: area.width.saturating_sub(indent * 2),
        ..area
    };
    if let Some(Dialog::Prompt { purpose, typed, .. }) = &scene.ui.dialog {
        let line = prompt(scene, *purpose, typed, area.width.into());
        buf.set_line(area.x, area.y, &line, area.width);
        return Vec::new();
    }
    if let Some(notice) = scene.ui.fresh_notice(scene.clock) {
        let (sign, style) = if notice.refusal {
            (scene.glyphs.bad, scene.theme.bad)
        } else {
            (scene.glyphs.arrow, scene.theme.good)
        };
        let spans = vec![Span::styled(format!("{sign} {}", notice.text), style)];
        let line = cut_line(scene, spans, area.width.into());
        let used = line.width() as u16 + 3;
        buf.set_line(area.x, area.y, &line, area.width);
        area = Rect {
            x: area.x + used.min(area.width),
            width: area.width.saturating_sub(used),
            ..area
        };
    }
    hints(scene, buf, area)
}

/// What is typed, with what is odd about it and how many rows pass.
fn prompt<'a>(scene: &Scene<'a>, purpose: Purpose, typed: &'a str, room: usize) -> Line<'a> {
    let theme = scene.theme;
    let (name, pattern) = match purpose {
        Purpose::Filter(Pane::Pods) => ("filter pods", &scene.ui.pods.filter),
        Purpose::Filter(_) => ("filter log", &scene.ui.log.filter),
        Purpose::Search => ("search log", &scene.ui.log.search),
    };
    let mut spans = vec![
        Span::styled(format!("{name} /"), theme.key),
        Span::styled(typed, theme.strong),
        Span::styled(" ", theme.selected),
        Span::raw("  "),
    ];
    if let Some(problem) = pattern.problem() {
        spans.push(Span::styled(problem, theme.warn));
    } else {
        spans.push(Span::styled(outcome(scene, purpose, pattern), theme.muted));
    }
    let undo = scene.keymap.hint(&scene.ui.scopes(), Action::Back);
    let width = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    if let Some(back) = undo {
        let hint = [
            Span::styled(format!("   {back}"), theme.key),
            Span::styled(" undo", theme.muted),
        ];
        if width(&spans) + width(&hint) <= room {
            spans.extend(hint);
        }
    }
    if width(&spans) > room {
        spans.truncate(3);
    }
    // With little room the end of what is typed matters, not its beginning.
    let over = width(&spans).saturating_sub(room.max(1));
    spans[1] = Span::styled(format::skip(typed, over), theme.strong);
    Line::from(spans)
}

fn outcome(scene: &Scene<'_>, purpose: Purpose, pattern: &Pattern) -> String {
    if pattern.is_empty() {
        return "a regular expression; ! in front inverts".into();
    }
    match purpose {
        Purpose::Filter(Pane::Pods) => {
            let passing = pods_that_pass(pattern, scene.model).count();
            let all = scene.model.pods.rows().len();
            format!("{passing} of {}", format::count(all as u64, "pod"))
        }
        Purpose::Filter(_) => {
            let rows = scene.ui.log.passing().len() as u64;
            format!("{} pass", format::count(rows, "row"))
        }
        Purpose::Search => "enter goes to the nearest match".into(),
    }
}

/// The keys that are worth a hint in the view of Azure.
fn in_azure(scene: &Scene<'_>) -> Vec<Action> {
    use Action as A;
    let mut actions = Vec::new();
    if scene.live.azure.busy.is_some() {
        actions.push(A::AzureCancel);
    }
    if !leftovers(scene.live).is_empty() {
        actions.push(A::Heal);
    }
    actions.extend([
        A::Cockpit,
        A::Help,
        A::Quit,
        A::AzurePlan,
        A::AzureClean,
        A::SwitchCluster,
        A::Accept,
        A::FocusNext,
        A::LookAgain,
        A::Copy,
    ]);
    actions
}

/// The keys that are worth a hint here, the most important first.
fn worth_hinting(scene: &Scene<'_>) -> Vec<Action> {
    use Action as A;
    let pane: &[A] = match scene.ui.focus {
        Pane::Pods => &[A::Accept, A::Filter, A::Copy],
        Pane::Throughput => &[A::ChartIn, A::ChartOut, A::ChartAuto],
        Pane::Log => &[
            A::Filter,
            A::Search,
            A::Autoscroll,
            A::Wrap,
            A::LogSource,
            A::Timestamps,
            A::ProgressLines,
        ],
        Pane::Ledger => &[A::Accept, A::Copy],
    };
    let mut actions = Vec::new();
    match &scene.ui.dialog {
        None if scene.ui.place == Place::Azure => {
            actions.extend(in_azure(scene));
        }
        None => {
            if scene.ui.locked.is_none() {
                actions.push(A::FaultMenu);
            }
            if scene.live.ledger.unhealed().is_some() || !leftovers(scene.live).is_empty() {
                actions.push(A::Heal);
            }
            if scene.live.broken().is_some() {
                actions.push(A::Reconnect);
            }
            if scene.live.nowhere.is_some() {
                actions.push(A::AzurePlan);
            }
            if scene.live.pods.listed() && scene.live.pods.rows().is_empty() {
                actions.push(A::Deploy);
            }
            actions.extend([A::Help, A::Quit]);
            if scene.ui.zoomed {
                actions.push(A::Zoom);
            }
            if scene.ui.frozen.is_some() {
                actions.push(A::Freeze);
            }
            if scene.ui.focus == Pane::Log && !scene.ui.log.search.is_empty() {
                actions.push(A::NextMatch);
            }
            actions.extend(pane);
            actions.extend([A::FocusNext, A::Palette, A::Zoom, A::Freeze, A::OwnLog]);
        }
        Some(Dialog::Fault(menu)) if menu.confirm.is_some() => {
            actions.extend([A::Accept, A::Back]);
        }
        Some(Dialog::Fault(menu)) => {
            actions.extend([A::Back, A::Accept, A::Down, A::Up]);
            if offered(scene.live)
                .get(menu.selected)
                .is_some_and(|f| f.holds())
            {
                actions.extend([A::Longer, A::Shorter]);
            }
            if scene.live.ledger.unhealed().is_some() {
                actions.push(A::Heal);
            }
            actions.extend(offered(scene.live).into_iter().map(A::Inject));
        }
        Some(
            Dialog::Palette { .. }
            | Dialog::Power(_)
            | Dialog::Azure(AzureUi { typed: Some(_), .. })
            | Dialog::Deploy(DeployUi { typed: Some(_), .. }),
        ) => actions.extend([A::Accept, A::Back]),
        Some(Dialog::Azure(_)) if scene.live.azure.busy.is_some() => {
            actions.extend([A::AzureCancel, A::Back]);
        }
        Some(Dialog::Azure(_)) => {
            if matches!(&scene.live.azure.outcome, Some((Wish::Provision, None))) {
                actions.push(A::Deploy);
            }
            if scene.live.azure.offer().is_ok() {
                actions.push(A::Accept);
            }
            actions.extend([A::AzurePlan, A::AzureClean, A::AzureCleanMost, A::Back]);
        }
        Some(Dialog::Deploy(asked)) => actions.extend(worth_for_deploy(scene, asked)),
        Some(_) => actions.extend([A::Back, A::Down, A::Up]),
    }
    let mut seen = Vec::new();
    actions.retain(|action| {
        let new = !seen.contains(action);
        seen.push(*action);
        new
    });
    actions
}

/// What there is to do about a deployment, as far as it is.
fn worth_for_deploy(scene: &Scene<'_>, asked: &DeployUi) -> Vec<Action> {
    let deploy = &scene.live.deploy;
    if deploy.stage.is_busy() || deploy.stage == Stage::Working {
        return vec![Action::Back, Action::Down, Action::Up];
    }
    let mut actions = Vec::new();
    if deploy.offer(asked.force).is_ok() {
        actions.push(Action::Accept);
    }
    let conflicts = deploy
        .plan
        .as_ref()
        .is_some_and(|it| !it.conflicts.is_empty());
    if conflicts || asked.force {
        actions.push(Action::DeployForce);
    }
    actions.extend([
        Action::Deploy,
        Action::DeployFresh,
        Action::Undeploy,
        Action::UndeployStorage,
        Action::Back,
    ]);
    actions
}

fn hints(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Vec<(Rect, Action)> {
    let scopes = scene.ui.scopes();
    let hint = |action: Action| {
        let mut key = scene.keymap.hint(&scopes, action)?;
        let text = match (action, &scene.ui.dialog) {
            (Action::Zoom, _) if scene.ui.zoomed => "unzoom",
            (Action::Freeze, _) if scene.ui.frozen.is_some() => "go on",
            (Action::Accept, Some(Dialog::Fault(_))) => {
                key = scene.keymap.keys_for(&scopes, action).last()?.to_string();
                "do it"
            }
            (Action::Accept, Some(_)) => "do it",
            _ => action.entry()?.hint,
        };
        let width = format::width(&key) + 1 + format::width(text);
        Some((action, key, text, width as u16))
    };
    let mut room = area.width;
    let mut shown = Vec::new();
    for found in worth_hinting(scene).into_iter().filter_map(hint) {
        let needed = found.3 + if shown.is_empty() { 0 } else { 2 };
        if needed > room {
            continue;
        }
        room -= needed;
        shown.push(found);
    }
    // The way out stands where hands look for it: at the end.
    if let Some(quit) = shown
        .iter()
        .position(|(action, ..)| *action == Action::Quit)
    {
        let quit = shown.remove(quit);
        shown.push(quit);
    }
    let mut x = area.x;
    let mut buttons = Vec::new();
    for (action, key, text, width) in shown {
        buttons.push((Rect::new(x, area.y, width, 1), action));
        let (after, _) = buf.set_stringn(x, area.y, &key, width.into(), scene.theme.key);
        buf.set_stringn(after + 1, area.y, text, width.into(), scene.theme.footer);
        x += width + 2;
    }
    buttons
}
