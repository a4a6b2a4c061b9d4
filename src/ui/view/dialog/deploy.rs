//! The workload's deployment: what would be done, how far it is, what came of it.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{Scene, folded, scrolling};
use crate::core::{
    deploy::{Change, Deploy, Plan, Planned, Stage, silence},
    time::Time,
    update::ui::{DeployUi, Room},
    workload::Role,
};

/// Seconds after which it is said why nothing is heard of new work.
const SILENT: u64 = 10;

/// Draws the dialog.
pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    asked: &DeployUi,
) -> (Rect, Room) {
    let deploy = &scene.model.deploy;
    let mut lines = stage(scene, deploy);
    lines.extend(offer(scene, deploy, asked));
    lines.push(Line::default());
    if let Some(plan) = &deploy.plan {
        about(scene, plan, asked, &mut lines);
        for planned in &plan.objects {
            object(scene, deploy, planned, &mut lines);
        }
        sides(scene, deploy, &mut lines);
    }
    let room = usize::from(body.width.saturating_sub(6)).max(20);
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .flat_map(|line| folded(line, room))
        .collect();
    let title = if deploy.plan.as_ref().is_some_and(|plan| plan.removes()) {
        "Undeploy"
    } else {
        "Deploy"
    };
    scrolling(scene, buf, body, title, &lines, asked.scroll)
}

fn seconds(from: Time, to: Time) -> String {
    format!("{:.1} s", to.since(from).as_secs_f64())
}

/// Where it stands.
fn stage(scene: &Scene<'_>, deploy: &Deploy) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let lasts = scene.now.since(deploy.began).as_secs();
    let going = |what: &str| vec![Line::styled(format!("{what} for {lasts} s"), theme.warn)];
    match &deploy.stage {
        Stage::Idle => vec![Line::raw("Nothing was asked yet")],
        Stage::Planning => going("planning"),
        Stage::Planned => Vec::new(),
        Stage::Applying => going("applying"),
        Stage::RollingOut => going("rolling out"),
        Stage::Removing => going("taking away"),
        Stage::Working => {
            let since = deploy.rolled_out.unwrap_or(deploy.began);
            let waits = scene.now.since(since).as_secs();
            let mut lines = vec![Line::styled(
                format!(
                    "rolled out; waiting for the client's first line of new work for {waits} s"
                ),
                theme.warn,
            )];
            if waits >= SILENT {
                lines.push(Line::styled(silence(scene.model), theme.warn));
            }
            lines
        }
        Stage::Done { took } => vec![Line::styled(
            format!(
                "working: the client does new work, {:.1} s after the first request",
                took.as_secs_f64()
            ),
            theme.good,
        )],
        Stage::Removed => vec![Line::styled("gone: the workload is taken away", theme.good)],
        Stage::Failed { why, next } => {
            let mut lines = vec![Line::styled(format!("failed: {why}"), theme.bad)];
            lines.extend(next.clone().map(Line::raw));
            lines
        }
    }
}

/// What Enter does, or why it does nothing.
fn offer(scene: &Scene<'_>, deploy: &Deploy, asked: &DeployUi) -> Option<Line<'static>> {
    if deploy.stage != Stage::Planned {
        return None;
    }
    let warn = scene.theme.warn;
    Some(match (deploy.offer(asked.force), &asked.typed) {
        (Ok(plan), Some(typed)) => {
            let what = if plan.removes() {
                "This takes the workload away."
            } else {
                "This changes the cluster."
            };
            let word = plan.word();
            Line::styled(format!("{what} Type {word} and Enter: {typed}_"), warn)
        }
        (Ok(plan), None) if plan.removes() => Line::raw("Enter deletes it, after a question"),
        (Ok(plan), None) if plan.changes_anything() => {
            Line::raw("Enter deploys it, after a question")
        }
        (Ok(_), None) => Line::raw("Everything is as it should be; Enter waits until it works"),
        (Err(why), _) => Line::styled(why, warn),
    })
}

/// What is deployed, where, as which run, and what to know before.
fn about(scene: &Scene<'_>, plan: &Plan, asked: &DeployUi, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    let field = |name: &str, value: String| {
        Line::from(vec![
            Span::styled(format!("{name:<9}"), theme.muted),
            Span::raw(value),
        ])
    };
    lines.push(field(
        "where",
        format!("{}/{}", plan.context, plan.namespace),
    ));
    if !plan.removes() {
        lines.push(field("image", plan.order.image().to_owned()));
        if let Some(storage) = &plan.order.storage {
            lines.push(field("storage", storage.to_string()));
        }
        let begun = if plan.resumes { "goes on" } else { "begins" };
        lines.push(field("run", format!("{}, which {begun}", plan.run)));
    }
    if asked.force {
        let text = "fields that belong to others are taken over";
        lines.push(Line::styled(text, theme.warn));
    }
    let conflicts = plan.conflicts.iter();
    lines.extend(conflicts.map(|it| Line::styled(format!("! {it}"), theme.bad)));
    let notes = plan.notes.iter();
    lines.extend(notes.map(|note| Line::styled(format!("note: {note}"), theme.warn)));
    lines.push(Line::default());
}

/// One object: what becomes of it, and when it was done.
fn object(scene: &Scene<'_>, deploy: &Deploy, planned: &Planned, lines: &mut Vec<Line<'_>>) {
    let theme = scene.theme;
    let style = match planned.change {
        Change::Create => theme.good,
        Change::Change => theme.warn,
        Change::Delete => theme.bad,
        Change::Same | Change::Leave => theme.muted,
    };
    let name = format!("{} {}", planned.kind, planned.name);
    let done = deploy.applied.iter().find(|(_, object)| *object == name);
    let mut spans = vec![
        Span::styled(format!("{} ", planned.change.sign()), style),
        Span::raw(format!("{:<22} {}", planned.kind, planned.name)),
    ];
    if let Some((at, _)) = done {
        let what = if planned.change == Change::Delete {
            "gone"
        } else {
            "done"
        };
        let text = format!("  {what} after {}", seconds(deploy.began, *at));
        spans.push(Span::styled(text, theme.good));
    } else if planned.change == Change::Leave {
        spans.push(Span::styled("  stays", theme.muted));
    }
    lines.push(Line::from(spans));
    if deploy.stage == Stage::Planned {
        let fields = planned.fields.iter();
        lines.extend(fields.map(|field| Line::styled(format!("    {field}"), theme.muted)));
    }
}

/// How the rollout of both sides is doing, to the second.
fn sides(scene: &Scene<'_>, deploy: &Deploy, lines: &mut Vec<Line<'_>>) {
    if deploy.rollout.iter().all(Option::is_none) {
        return;
    }
    lines.push(Line::default());
    for role in Role::ALL {
        let Some((since, progress)) = &deploy.rollout[role as usize] else {
            continue;
        };
        let (text, style): (String, Style) = if progress.ready {
            let after = seconds(deploy.began, *since);
            (format!("serves after {after}"), scene.theme.good)
        } else {
            let what = progress.waits_for.as_deref().unwrap_or("a while");
            let lasts = scene.now.since(*since).as_secs();
            (format!("waits for {what} ({lasts} s)"), scene.theme.warn)
        };
        lines.push(Line::styled(format!("{:<9}{text}", role.name()), style));
    }
}
