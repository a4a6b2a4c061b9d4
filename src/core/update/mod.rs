//! What an action does: a new state of the screen, and wishes to the world.

mod azure;
pub mod bed;
mod deploy;
pub mod fault;
pub mod log;
pub mod palette;
pub mod pattern;
mod scroll;
pub mod ui;

use std::time::Duration;

use self::{
    pattern::Pattern,
    ui::{Confirm, Dialog, FaultMenu, Notice, Place, Purpose, Ui},
};
use super::{
    action::{Action, Pane, Target},
    effect::Effect,
    event::Feed,
    model::{Model, log::Entry, pods},
    time::Time,
    workload::Role,
};

/// The spans of time that the curve can show, seconds.
const WINDOWS: [u64; 8] = [10, 30, 60, 120, 300, 900, 1_800, 3_600];

/// The times that a fault may last, seconds.
const LASTINGS: [u64; 7] = [2, 5, 10, 20, 30, 60, 120];

/// Does what a person asked for. [`Ui::sync`] must have seen `live` before.
pub fn update(ui: &mut Ui, live: &Model, now: Time, action: Action) -> Vec<Effect> {
    let mut effects = Vec::new();
    let before = ui.place;
    match act(ui, live, action) {
        Ok(effect) => effects.extend(effect),
        Err(refusal) => {
            ui.notice = Some(Notice {
                at: now,
                text: refusal,
                refusal: true,
            });
        }
    }
    effects.extend(bed::looks(before, ui, &effects));
    if let Some(notice) = said(ui, action, &effects) {
        ui.notice = Some(Notice {
            at: now,
            text: notice,
            refusal: false,
        });
    }
    ui.sync(live);
    effects
}

/// What an action that changes no picture has to say of itself.
fn said(ui: &Ui, action: Action, effects: &[Effect]) -> Option<String> {
    match (action, effects.first()) {
        (_, Some(Effect::Inject { fault, victim, .. })) => {
            Some(format!("{} in {}", fault.describe(), victim.pod))
        }
        (_, Some(Effect::HealLeftovers)) => Some("healing what earlier runs left".into()),
        (_, Some(Effect::Heal { trial, .. })) => Some(format!("healing trial {trial}")),
        (_, Some(Effect::Copy(text))) => Some(format!("copied: {}", text.lines().next()?)),
        (Action::FinishRun, Some(_)) => Some("asking the client to finish its round".into()),
        (Action::Reconnect, _) => Some("trying again now".into()),
        (Action::Freeze, _) if ui.frozen.is_some() => {
            Some("frozen: facts go on behind the picture".into())
        }
        _ => None,
    }
}

/// Whether an action is about the panes of the cockpit, and makes no sense elsewhere.
const fn is_of_the_cockpit(action: Action) -> bool {
    matches!(
        action,
        Action::Zoom
            | Action::Focus(_)
            | Action::Filter
            | Action::Search
            | Action::NextMatch
            | Action::PreviousMatch
            | Action::ChartIn
            | Action::ChartOut
            | Action::ChartAuto
            | Action::Wrap
            | Action::Timestamps
            | Action::Autoscroll
            | Action::ProgressLines
            | Action::LogSource
    )
}

/// The effect of an action, or why it was refused.
fn act(ui: &mut Ui, live: &Model, action: Action) -> Result<Option<Effect>, String> {
    if let Some(effect) = plain_effect(action) {
        return Ok(Some(effect));
    }
    if is_of_the_cockpit(action) {
        ui.place = Place::Cockpit;
    }
    match action {
        Action::Freeze => {
            ui.frozen = if ui.frozen.is_some() {
                None
            } else {
                Some(Box::new(live.clone()))
            };
        }
        Action::Zoom => ui.zoomed = !ui.zoomed,
        Action::FocusNext | Action::FocusPrevious if ui.place == Place::Azure => {
            ui.bed.on_activity = !ui.bed.on_activity;
        }
        Action::FocusNext => ui.focus = neighbour(ui.focus, 1),
        Action::FocusPrevious => ui.focus = neighbour(ui.focus, Pane::ALL.len() - 1),
        Action::Focus(pane) => ui.focus = pane,
        Action::Help => {
            ui.dialog = Some(Dialog::Help {
                scroll: 0,
                from: ui.focus,
            });
        }
        Action::OwnLog => ui.dialog = Some(Dialog::OwnLog),
        Action::Palette => {
            ui.dialog = Some(Dialog::Palette {
                typed: String::new(),
                selected: 0,
            });
        }
        Action::FaultMenu => {
            if let Some(why) = ui.locked {
                return Err(format!("{why}: nothing is killed"));
            }
            ui.dialog = Some(Dialog::Fault(FaultMenu::default()));
            return Ok(fault::look_for_volumes(live));
        }
        Action::Aim(target) => aim(ui, target),
        Action::Inject(fault) => return fault::inject(ui, live, fault),
        Action::Longer | Action::Shorter => {
            ui.lasts = step(&LASTINGS, ui.lasts, action == Action::Longer);
        }
        Action::Heal => return fault::heal(ui, live).map(Some),
        Action::FinishRun => return finish(ui, live),
        Action::Azure | Action::Cockpit | Action::LookAgain | Action::SwitchCluster => {
            return bed::act(ui, live, action);
        }
        Action::SelectInAzure(on_activity, row) => bed::select(ui, live, on_activity, row),
        Action::AzurePlan
        | Action::AzureClean
        | Action::AzureCleanMost
        | Action::AzureCleanAuth
        | Action::AzureCleanLogs
        | Action::AzureCancel => return azure::act(ui, live, action),
        Action::Deploy
        | Action::DeployFresh
        | Action::DeployForce
        | Action::Undeploy
        | Action::UndeployStorage => return deploy::act(ui, live, action),
        Action::Filter | Action::Search => prompt(ui, action),
        Action::NextMatch | Action::PreviousMatch => {
            return find(ui, live, action == Action::NextMatch).map(|()| None);
        }
        Action::ChartIn => ui.window = Some(next_window(ui.window, false)),
        Action::ChartOut => ui.window = Some(next_window(ui.window, true)),
        Action::ChartAuto => ui.window = None,
        Action::Wrap
        | Action::Timestamps
        | Action::Autoscroll
        | Action::ProgressLines
        | Action::LogSource
        | Action::Left
        | Action::Right => log_option(ui, action),
        Action::Copy => return copy(ui, live).map(Some),
        Action::Accept => return accept(ui, live),
        Action::Back => back(ui),
        Action::Type(_) | Action::Backspace | Action::DeleteWord | Action::ClearText => {
            edit(ui, action);
        }
        moved => return Ok(scroll::scroll(ui, live, moved)),
    }
    Ok(None)
}

/// Actions that are nothing but a wish to the world.
const fn plain_effect(action: Action) -> Option<Effect> {
    Some(match action {
        Action::Quit => Effect::Quit,
        Action::Suspend => Effect::Suspend,
        Action::Redraw => Effect::Redraw,
        Action::Reconnect => Effect::Reconnect,
        _ => return None,
    })
}

fn neighbour(pane: Pane, by: usize) -> Pane {
    Pane::ALL[(pane as usize + by) % Pane::ALL.len()]
}

fn aim(ui: &mut Ui, target: Target) {
    let menu = match &ui.dialog {
        Some(Dialog::Fault(menu)) => FaultMenu {
            target,
            confirm: None,
            ..menu.clone()
        },
        _ => FaultMenu {
            target,
            ..FaultMenu::default()
        },
    };
    ui.dialog = Some(Dialog::Fault(menu));
}

fn finish(ui: &Ui, live: &Model) -> Result<Option<Effect>, String> {
    if let Some(why) = ui.locked {
        return Err(format!("{why}: the workload is left alone"));
    }
    if live.finishing.is_some() {
        return Err("the workload is finishing already".into());
    }
    Ok(Some(Effect::FinishRun {
        victim: fault::victim(live, Role::Client)?,
    }))
}

fn prompt(ui: &mut Ui, action: Action) {
    let (purpose, before) = match (action, ui.focus) {
        (Action::Filter, Pane::Pods) => (Purpose::Filter(Pane::Pods), &ui.pods.filter),
        (Action::Filter, _) => (Purpose::Filter(Pane::Log), &ui.log.filter),
        _ => (Purpose::Search, &ui.log.search),
    };
    let before = before.typed().to_owned();
    ui.focus = if purpose == Purpose::Filter(Pane::Pods) {
        Pane::Pods
    } else {
        Pane::Log
    };
    ui.dialog = Some(Dialog::Prompt {
        purpose,
        typed: before.clone(),
        before,
    });
}

fn find(ui: &mut Ui, live: &Model, forward: bool) -> Result<(), String> {
    if ui.log.search.is_empty() {
        return Err("nothing is searched for: press the search key first".into());
    }
    let Ui { frozen, log, .. } = ui;
    let shown = frozen.as_deref().unwrap_or(live);
    if log.find(&shown.log, forward) {
        return Ok(());
    }
    let way = if forward { "below" } else { "above" };
    Err(format!("no match of /{}/ {way}", ui.log.search.typed()))
}

fn next_window(window: Option<Duration>, more: bool) -> Duration {
    step(&WINDOWS, window.unwrap_or(Duration::from_mins(60)), more)
}

/// The next of these seconds, up or down; the same time at the end of them.
fn step(seconds: &[u64], shown: Duration, more: bool) -> Duration {
    let next = if more {
        seconds.iter().find(|s| **s > shown.as_secs())
    } else {
        seconds.iter().rev().find(|s| **s < shown.as_secs())
    };
    next.map_or(shown, |next| Duration::from_secs(*next))
}

fn log_option(ui: &mut Ui, action: Action) {
    let log = &mut ui.log;
    match action {
        Action::Wrap => {
            log.wrap = !log.wrap;
            log.column = 0;
        }
        Action::Timestamps => log.timestamps = !log.timestamps,
        Action::Autoscroll if log.follows() => log.stay(),
        Action::Autoscroll => log.follow(),
        Action::ProgressLines => {
            log.progress = !log.progress;
            log.restart();
        }
        Action::LogSource => {
            log.source = match log.source {
                None => Some(Role::Client),
                Some(Role::Client) => Some(Role::Server),
                Some(Role::Server) => None,
            };
            log.restart();
        }
        Action::Left => log.shift(false),
        Action::Right => log.shift(true),
        _ => {}
    }
}

fn copy(ui: &Ui, live: &Model) -> Result<Effect, String> {
    let shown = ui.shown(live);
    if ui.place == Place::Azure {
        return bed::copied(ui, shown)
            .map(Effect::Copy)
            .ok_or_else(|| "nothing is selected here".into());
    }
    let text = match ui.focus {
        Pane::Pods => scroll::pod_at(ui, shown).map(|pod| pod.name.clone()),
        Pane::Log => ui.log.bottom_row().checked_sub(1).and_then(|row| {
            match &**shown.log.get(*ui.log.passing().get(row)?)? {
                Entry::Line { line, .. } => Some(line.text.clone()),
                Entry::Seam { pod, .. } => Some(pod.clone()),
            }
        }),
        Pane::Ledger | Pane::Throughput => scroll::trial_at(ui, shown).map(|trial| {
            let pod = trial
                .victim
                .as_ref()
                .map_or("-", |victim| victim.pod.as_str());
            let took = trial
                .recovery_time()
                .map_or_else(String::new, |time| format!(" {time:?}"));
            format!(
                "{} {} {pod} {}{took}",
                trial.id,
                trial.fault,
                trial.state.name()
            )
        }),
    };
    text.map(Effect::Copy)
        .ok_or_else(|| "nothing is selected here".into())
}

/// Enter: into what is selected, or with what was typed.
fn accept(ui: &mut Ui, live: &Model) -> Result<Option<Effect>, String> {
    if matches!(ui.dialog, Some(Dialog::Azure(_))) {
        return azure::accept(ui, live);
    }
    if matches!(ui.dialog, Some(Dialog::Deploy(_))) {
        return deploy::accept(ui, live);
    }
    match ui.dialog.take() {
        None if ui.place == Place::Azure => {
            ui.dialog = bed::open(ui, ui.shown(live));
            Ok(None)
        }
        Some(Dialog::Power(power)) => bed::confirm(ui, power),
        None => {
            let shown = ui.shown(live);
            ui.dialog = match ui.focus {
                Pane::Pods => scroll::pod_at(ui, shown).map(|pod| Dialog::Pod {
                    uid: pod.uid.clone(),
                    scroll: 0,
                }),
                Pane::Ledger => scroll::trial_at(ui, shown).map(|t| Dialog::Trial {
                    id: t.id,
                    scroll: 0,
                }),
                Pane::Throughput | Pane::Log => {
                    ui.zoomed = !ui.zoomed;
                    None
                }
            };
            Ok(None)
        }
        Some(Dialog::Fault(menu)) => {
            if menu.confirm.is_some() {
                return fault::confirm(ui, live, menu).map(Some);
            }
            let offered = fault::offered(live);
            let fault = offered[menu.selected.min(offered.len() - 1)];
            ui.dialog = Some(Dialog::Fault(menu));
            fault::inject(ui, live, fault)
        }
        Some(Dialog::Palette { typed, selected }) => match palette::matches(&typed).get(selected) {
            Some(entry) => act(ui, live, entry.action),
            None => Err(format!("no action is called {typed:?}")),
        },
        Some(Dialog::Prompt {
            purpose: Purpose::Search,
            ..
        }) => {
            let shown = ui.frozen.as_deref().unwrap_or(live);
            let hit = ui.log.search.is_empty()
                || ui.log.find(&shown.log, false)
                || ui.log.find(&shown.log, true);
            if hit {
                Ok(None)
            } else {
                Err(format!("no match of /{}/", ui.log.search.typed()))
            }
        }
        Some(_) => Ok(None),
    }
}

/// Esc: one step back, never out.
fn back(ui: &mut Ui) {
    match ui.dialog.take() {
        Some(Dialog::Prompt {
            purpose, before, ..
        }) => set_pattern(ui, purpose, &before),
        Some(Dialog::Fault(menu)) if menu.confirm.is_some() => {
            ui.dialog = Some(Dialog::Fault(FaultMenu {
                confirm: None,
                ..menu
            }));
        }
        Some(Dialog::Azure(azure)) if azure.typed.is_some() => {
            ui.dialog = Some(Dialog::Azure(ui::AzureUi {
                typed: None,
                ..azure
            }));
        }
        Some(Dialog::Deploy(deploy)) if deploy.typed.is_some() => {
            ui.dialog = Some(Dialog::Deploy(ui::DeployUi {
                typed: None,
                ..deploy
            }));
        }
        Some(_) => {}
        None if ui.place == Place::Azure => ui.place = Place::Cockpit,
        None if ui.frozen.is_some() => ui.frozen = None,
        None if ui.zoomed => ui.zoomed = false,
        None if ui.focus == Pane::Pods => set_pattern(ui, Purpose::Filter(Pane::Pods), ""),
        None if ui.focus == Pane::Log && !ui.log.search.is_empty() => {
            set_pattern(ui, Purpose::Search, "");
        }
        None if ui.focus == Pane::Log => set_pattern(ui, Purpose::Filter(Pane::Log), ""),
        None => ui.notice = None,
    }
}

/// Typing into a prompt or the palette; a filter works while it is typed.
fn edit(ui: &mut Ui, action: Action) {
    let Some(
        Dialog::Prompt { typed, .. }
        | Dialog::Palette { typed, .. }
        | Dialog::Power(bed::PowerUi { typed, .. })
        | Dialog::Fault(FaultMenu {
            confirm: Some(Confirm { typed, .. }),
            ..
        })
        | Dialog::Azure(ui::AzureUi {
            typed: Some(typed), ..
        })
        | Dialog::Deploy(ui::DeployUi {
            typed: Some(typed), ..
        }),
    ) = &mut ui.dialog
    else {
        return;
    };
    match action {
        Action::Type(c) if !c.is_control() => typed.push(c),
        Action::Backspace => {
            typed.pop();
        }
        Action::DeleteWord => {
            let kept = typed.trim_end().rfind(' ').map_or(0, |at| at + 1);
            typed.truncate(kept);
        }
        Action::ClearText => typed.clear(),
        _ => {}
    }
    let typed = typed.clone();
    match &mut ui.dialog {
        Some(Dialog::Prompt { purpose, .. }) => {
            let purpose = *purpose;
            set_pattern(ui, purpose, &typed);
        }
        Some(Dialog::Palette { selected, .. }) => *selected = 0,
        _ => {}
    }
}

fn set_pattern(ui: &mut Ui, purpose: Purpose, typed: &str) {
    let pattern = Pattern::new(typed);
    match purpose {
        Purpose::Filter(Pane::Pods) => {
            ui.pods.filter = pattern;
            ui.pods.to(0, 1);
        }
        Purpose::Filter(_) => {
            ui.log.filter = pattern;
            ui.log.restart();
        }
        Purpose::Search => ui.log.search = pattern,
    }
}

/// Whether a pod passes the filter of the pods pane.
pub fn pod_passes(pattern: &Pattern, pod: &super::event::Pod) -> bool {
    pattern.is_empty()
        || pattern.matches(&format!(
            "{} {} {} {}",
            pod.name,
            pods::status(pod),
            pod.role.map_or("", Role::name),
            pod.node.as_deref().unwrap_or_default()
        ))
}

/// The pods that pass the filter of the pods pane, in the order of the screen.
pub fn pods_that_pass<'a, 'f>(
    filter: &'f Pattern,
    shown: &'a Model,
) -> impl Iterator<Item = &'a super::event::Pod> + use<'a, 'f> {
    shown
        .pods
        .rows()
        .iter()
        .filter(move |pod| pod_passes(filter, pod))
}

/// The streams that the header speaks of, in order of importance.
pub const FEEDS: [Feed; 3] = [Feed::Pods, Feed::Log(Role::Client), Feed::Log(Role::Server)];
