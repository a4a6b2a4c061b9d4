//! Azure: what is there to do, how far it is, what a clean would delete.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    super::{azure::work::how_far, chrome},
    Scene, folded, scrolling,
};
use crate::{
    core::{
        action::Action as Do,
        azure::{
            clean::{Fate, Preview},
            desk::{Desk, Wish},
            plan::{Action, Plan, Verdict, kind_name},
            progress::State,
        },
        update::ui::{AzureUi, Room},
    },
    ui::format,
};

/// Draws the dialog.
pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    azure: &AzureUi,
) -> (Rect, Room) {
    let desk = &scene.model.azure;
    let mut lines = Vec::new();
    head(scene, desk, azure, &mut lines);
    // While something is made, how far it is matters more than what was planned.
    let begun = desk.busy.is_some_and(|(wish, _)| wish.changes());
    if begun {
        progress(scene, desk, &mut lines);
        lines.push(Line::default());
    }
    if let Some(preview) = &desk.preview {
        clean(scene, preview, &mut lines);
    } else if let Some(plan) = &desk.plan {
        planned(scene, plan, &mut lines);
    }
    if !begun {
        lines.push(Line::default());
        progress(scene, desk, &mut lines);
    }
    while lines.last().is_some_and(|line| line.width() == 0) {
        lines.pop();
    }
    let room = usize::from(body.width.saturating_sub(6)).max(20);
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .flat_map(|line| folded(line, room))
        .collect();
    scrolling(scene, buf, body, "Azure", &lines, azure.scroll)
}

fn head(scene: &Scene<'_>, desk: &Desk, azure: &AzureUi, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    if let Some((wish, since)) = desk.busy {
        let length = scene.clock.since(since).as_secs();
        lines.push(Line::styled(
            format!("{} for {length} s", wish.words()),
            theme.warn,
        ));
    } else if let Some((wish, failure)) = &desk.outcome {
        match failure {
            Some(why) => lines.push(Line::styled(
                format!("{} failed: {why}", wish.words()),
                theme.bad,
            )),
            None => lines.push(Line::styled(format!("{}: done", wish.words()), theme.good)),
        }
        if (wish, failure) == (&Wish::Provision, &None) {
            let does = "deploys the workload on it";
            let next = chrome::by_key(scene, Do::Deploy, "Deploy the workload on it", does);
            lines.push(Line::raw(format!(
                "The cockpit looks at the cluster now. {next}."
            )));
        }
    }
    match (desk.offer(), &azure.typed) {
        (Ok((wish, word)), Some(typed)) => {
            let drifted = desk
                .plan
                .as_ref()
                .is_some_and(|plan| plan.drifted().next().is_some());
            let what = match wish {
                Wish::Provision if drifted => {
                    "This takes back what others changed (~), and makes resources that cost money."
                }
                Wish::Provision => "This makes and changes resources that cost money.",
                _ => "This cannot be undone.",
            };
            lines.push(Line::styled(
                format!("{what} Type {word} and Enter: {typed}_"),
                theme.warn,
            ));
        }
        (Ok((wish, _)), None) => {
            let what = if wish.changes() && desk.preview.is_some() {
                "deletes it"
            } else {
                "does it"
            };
            lines.push(Line::raw(format!("Enter {what}, after a question")));
        }
        // That it goes on is said already.
        (Err(why), _) if desk.busy.is_none() && (desk.plan.is_some() || desk.preview.is_some()) => {
            lines.push(Line::styled(why, theme.warn));
        }
        (Err(_), _) if desk.busy.is_none() && desk.outcome.is_none() => {
            lines.push(Line::raw(
                "Nothing was asked yet: plan, or look at what a clean would delete",
            ));
        }
        _ => {}
    }
    lines.push(Line::default());
}

fn planned(scene: &Scene<'_>, plan: &Plan, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    let account = &plan.account;
    lines.push(Line::raw(format!(
        "{} ({}), signed in by {}",
        account.name, account.subscription, account.how
    )));
    lines.push(Line::raw(format!(
        "{} in {}",
        account.group, account.location
    )));
    for check in plan
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Fine)
    {
        let style = if check.verdict == Verdict::Stop {
            theme.bad
        } else {
            theme.warn
        };
        lines.push(Line::styled(
            format!("! {}: {}", check.name, check.what),
            style,
        ));
    }
    lines.push(Line::default());
    for change in plan
        .changes
        .iter()
        .filter(|change| change.action != Action::Ignore)
    {
        let (mark, style) = match change.action {
            Action::Create => ('+', theme.good),
            Action::Modify => ('~', theme.warn),
            Action::Delete => ('-', theme.bad),
            Action::Keep | Action::Ignore => ('=', theme.screen),
            Action::Unknown => ('?', theme.warn),
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} "), style),
            Span::raw(format!("{:<18} {}", kind_name(&change.kind), change.name)),
        ]));
        for delta in &change.deltas {
            let side =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
            lines.push(Line::raw(format!(
                "    {}: {} -> {}",
                delta.path,
                side(&delta.before),
                side(&delta.after)
            )));
        }
    }
    if plan.drifted().next().is_some() {
        lines.push(Line::styled(
            "what is marked ~ was changed by others since it was made",
            theme.warn,
        ));
    }
    if let Some(cost) = &plan.cost {
        lines.push(Line::default());
        lines.push(Line::raw(format!(
            "{:.3} {} an hour, {:.0} a month; without {}",
            cost.per_hour(),
            cost.currency,
            cost.per_month(),
            cost.leaves_out.join(", ")
        )));
    }
    if !plan.is_done() {
        lines.push(Line::raw(format!("takes about {} s", plan.seconds)));
    }
}

fn clean(scene: &Scene<'_>, preview: &Preview, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    lines.push(Line::raw(format!(
        "clean {} in {}",
        preview.scope.name(),
        preview.group
    )));
    for object in &preview.objects {
        let (mark, style) = match object.fate {
            Fate::Delete | Fate::GoesAlong => ('-', theme.bad),
            Fate::Stays => ('=', theme.screen),
            Fate::Objects => ('!', theme.warn),
        };
        let note = if object.note.is_empty() {
            String::new()
        } else {
            format!(": {}", object.note)
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} "), style),
            Span::raw(format!("{:<18} {}{note}", object.kind, object.name)),
        ]));
    }
}

fn progress(scene: &Scene<'_>, desk: &Desk, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    if desk.resources.is_empty() && desk.lines.is_empty() {
        return;
    }
    for heard in &desk.resources {
        let resource = &heard.resource;
        let (mark, style) = match resource.state {
            State::Running => ('.', theme.warn),
            State::Done => ('+', theme.good),
            State::Failed => ('!', theme.bad),
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} "), style),
            Span::raw(format!(
                "{:<18} {}",
                kind_name(&resource.kind),
                how_far(heard, scene.clock)
            )),
        ]));
    }
    for (at, text) in &desk.lines {
        lines.push(Line::raw(format!("{} {text}", format::clock(*at))));
    }
}
