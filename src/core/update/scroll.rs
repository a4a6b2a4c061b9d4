//! Moving about: cursors, pages, the wheel.

use super::{
    pods_that_pass,
    ui::{AzureUi, DeployUi, Dialog, Place, Ui},
};
use crate::core::{
    action::{Action, Pane},
    effect::{Effect, OwnLogMove},
    event::Pod,
    model::Model,
    trial::Trial,
};

/// The pod under the cursor.
pub fn pod_at<'a>(ui: &Ui, shown: &'a Model) -> Option<&'a Pod> {
    let rows = || pods_that_pass(&ui.pods.filter, shown);
    let last = rows().count().checked_sub(1)?;
    rows().nth(ui.pods.cursor.min(last))
}

/// The trial under the cursor.
pub fn trial_at<'a>(ui: &Ui, shown: &'a Model) -> Option<&'a Trial> {
    let trials = shown.ledger.trials();
    if ui.ledger.follow {
        trials.last()
    } else {
        trials.get(ui.ledger.cursor).or(trials.last())
    }
}

/// Moves in the dialog that is open, else in a pane.
pub(super) fn scroll(ui: &mut Ui, live: &Model, action: Action) -> Option<Effect> {
    let rows = if ui.dialog.is_some() {
        ui.room.rows
    } else if ui.place == Place::Azure {
        ui.bed.rows[usize::from(ui.bed.on_activity)]
    } else {
        ui.rows[ui.focus as usize]
    };
    let page = isize::try_from(rows).unwrap_or(1).max(1);
    match action {
        Action::Scroll(pane, by) if ui.dialog.is_none() => move_in(ui, live, pane, by.into()),
        Action::Scroll(_, by) => return move_in_dialog(ui, live, by.into()),
        Action::Select(pane, row) if ui.dialog.is_none() => select(ui, live, pane, row),
        _ => {
            let by = match action {
                Action::Up => -1,
                Action::Down => 1,
                Action::HalfPageUp => -(page / 2).max(1),
                Action::HalfPageDown => (page / 2).max(1),
                Action::PageUp => -page,
                Action::PageDown => page,
                // Large enough for any list, small enough to add to a position.
                Action::Top => isize::MIN / 2,
                Action::Bottom => isize::MAX / 2,
                _ => return None,
            };
            if ui.dialog.is_some() {
                return move_in_dialog(ui, live, by);
            }
            if ui.place == Place::Azure {
                super::bed::scroll(ui, live, by);
            } else {
                move_in(ui, live, ui.focus, by);
            }
        }
    }
    None
}

fn move_in(ui: &mut Ui, live: &Model, pane: Pane, by: isize) {
    let shown = ui.frozen.as_deref().unwrap_or(live);
    match pane {
        Pane::Pods => {
            let len = pods_that_pass(&ui.pods.filter, shown).count();
            ui.pods.cursor = ui.pods.window(len, 1).1;
            ui.pods.step(by, len);
            ui.pods.follow = false;
        }
        Pane::Ledger => {
            let len = shown.ledger.trials().len();
            ui.ledger.cursor = ui.ledger.window(len, 1).1;
            ui.ledger.step(by, len);
        }
        Pane::Log if by <= isize::MIN / 2 => ui.log.top(ui.rows[Pane::Log as usize].into()),
        Pane::Log => ui.log.step(by),
        Pane::Throughput => {}
    }
}

fn select(ui: &mut Ui, live: &Model, pane: Pane, row: u16) {
    ui.focus = pane;
    let shown = ui.frozen.as_deref().unwrap_or(live);
    let height = ui.rows[pane as usize].into();
    let len = match pane {
        Pane::Pods => pods_that_pass(&ui.pods.filter, shown).count(),
        Pane::Ledger => shown.ledger.trials().len(),
        Pane::Throughput | Pane::Log => return,
    };
    let list = if pane == Pane::Pods {
        &mut ui.pods
    } else {
        &mut ui.ledger
    };
    let (window, _) = list.window(len, height);
    if window.start + usize::from(row) < window.end {
        list.to(window.start + usize::from(row), len);
    }
}

fn move_in_dialog(ui: &mut Ui, live: &Model, by: isize) -> Option<Effect> {
    match &mut ui.dialog {
        Some(
            Dialog::Help { scroll, .. }
            | Dialog::Pod { scroll, .. }
            | Dialog::Trial { scroll, .. }
            | Dialog::Facts { scroll, .. }
            | Dialog::Azure(AzureUi { scroll, .. })
            | Dialog::Deploy(DeployUi { scroll, .. }),
        ) => {
            let to = (*scroll as isize).saturating_add(by);
            *scroll = to.clamp(0, ui.room.furthest as isize) as u16;
        }
        Some(Dialog::Palette { typed, selected }) => {
            let last = super::palette::matches(typed).len().saturating_sub(1);
            *selected = selected.saturating_add_signed(by).min(last);
        }
        Some(Dialog::Fault(menu)) => {
            menu.selected = menu
                .selected
                .saturating_add_signed(by)
                .min(super::fault::offered(live).len() - 1);
        }
        Some(Dialog::OwnLog) => {
            return Some(Effect::OwnLog(if by >= isize::MAX / 2 {
                OwnLogMove::Follow
            } else if by < 0 {
                OwnLogMove::Older
            } else {
                OwnLogMove::Newer
            }));
        }
        Some(Dialog::Prompt { .. } | Dialog::Power(_)) | None => {}
    }
    None
}
