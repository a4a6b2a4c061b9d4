//! The fault menu: what is done, and to whom exactly. It names every victim
//! before it dies.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{field, heading, scrolling};
use crate::{
    core::{
        action::{Action, Scope, Target},
        trial::{Fault, Victim},
        update::{
            fault::{obstacle, victim},
            ui::{FaultMenu, Room},
        },
        workload::Role,
    },
    ui::{format, view::Scene},
};

/// Where the keys of the menu are looked up.
const HERE: [Scope; 2] = [Scope::Fault, Scope::Dialog];

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    menu: &FaultMenu,
) -> (Rect, Room) {
    let mut lines = Vec::new();
    let title = if let Some((fault, victim)) = &menu.confirm {
        question(scene, body, &mut lines, *fault, victim);
        "Not made by aks-tui: are you sure?"
    } else {
        choice(scene, body, &mut lines, menu);
        "Inject a fault"
    };
    scrolling(scene, buf, body, title, &lines, 0)
}

fn key(scene: &Scene<'_>, action: Action) -> String {
    scene
        .keymap
        .hint(&HERE, action)
        .unwrap_or_else(|| " ".into())
}

/// The roles that a target may mean.
fn aimed_at(target: Target) -> Vec<Role> {
    match target {
        Target::Role(role) => vec![role],
        Target::Random => Role::ALL.to_vec(),
    }
}

fn choice(scene: &Scene<'_>, body: Rect, lines: &mut Vec<Line<'static>>, menu: &FaultMenu) {
    lines.push(targets(scene, menu.target));
    lines.push(Line::default());
    let roles = aimed_at(menu.target);
    let why_not = Fault::ALL.map(|fault| {
        roles
            .iter()
            .find_map(|role| obstacle(scene.ui, scene.live, fault, *role))
    });
    // What stands in the way of all of them is said once, after the last.
    let same = why_not.iter().all(|why| *why == why_not[0]);
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        lines.push(fault_row(
            scene,
            fault,
            index == menu.selected,
            why_not[index].is_none(),
        ));
        if let Some(why) = &why_not[index]
            && (!same || index + 1 == Fault::ALL.len())
        {
            let room = usize::from(body.width).saturating_sub(11).max(8);
            for line in format::wrap(why, room) {
                lines.push(Line::styled(format!("     {line}"), scene.theme.bad));
            }
        }
    }
    lines.push(Line::default());
    for (i, role) in roles.iter().enumerate() {
        if roles.len() > 1 {
            let word = ["either", "or"][i.min(1)];
            lines.push(heading(scene, format!("{word} the {role}")));
        }
        victim_rows(scene, body, lines, *role);
    }
    let selected = Fault::ALL[menu.selected.min(Fault::ALL.len() - 1)];
    let radius = blast_radius(scene, selected, menu.target);
    lines.extend(field(
        scene,
        body,
        "blast radius",
        radius,
        scene.theme.strong,
    ));
    lines.push(Line::default());
    let managed = roles
        .iter()
        .filter_map(|role| scene.live.pods.playing(*role))
        .all(|pod| pod.managed);
    let text = if managed {
        "The key of a fault injects it at once."
    } else {
        "This pod was not made by aks-tui: you will be asked once more."
    };
    let style = if managed {
        scene.theme.muted
    } else {
        scene.theme.warn
    };
    for line in format::wrap(text, usize::from(body.width).saturating_sub(6)) {
        lines.push(Line::styled(line.to_owned(), style));
    }
}

/// `target   c client   s server   r random`, the present one marked.
fn targets(scene: &Scene<'_>, target: Target) -> Line<'static> {
    let theme = scene.theme;
    let mut spans = vec![Span::styled("target  ", theme.muted)];
    for candidate in [
        Target::Role(Role::Client),
        Target::Role(Role::Server),
        Target::Random,
    ] {
        let chosen = candidate == target;
        let pointer = if chosen { scene.glyphs.pointer } else { " " };
        let style = if chosen { theme.strong } else { theme.muted };
        let key = key(scene, Action::Aim(candidate));
        spans.push(Span::styled(format!("{pointer}{key}"), theme.key));
        spans.push(Span::styled(format!(" {}  ", candidate.name()), style));
    }
    Line::from(spans)
}

fn fault_row(scene: &Scene<'_>, fault: Fault, selected: bool, possible: bool) -> Line<'static> {
    let theme = scene.theme;
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let style = match (selected, possible) {
        (_, false) => theme.muted,
        (true, true) => theme.selected.patch(theme.strong),
        (false, true) => Style::new(),
    };
    let key = key(scene, Action::Inject(fault));
    Line::from(vec![
        Span::styled(format!("{pointer} "), theme.strong),
        Span::styled(format!("{key}  "), theme.key),
        Span::styled(fault.describe(), style),
    ])
}

fn victim_rows(scene: &Scene<'_>, body: Rect, lines: &mut Vec<Line<'static>>, role: Role) {
    let theme = scene.theme;
    let named = match victim(scene.live, role) {
        Ok(victim) => victim,
        Err(why) => {
            lines.extend(field(scene, body, "victim", why, theme.bad));
            return;
        }
    };
    let pod = format!("{}/{}", named.namespace, named.pod);
    lines.extend(field(scene, body, "victim", pod, theme.strong));
    let program = format!(
        "{} in container {}, {} so far",
        role.program(),
        named.container,
        format::count(named.restarts.into(), "restart")
    );
    lines.extend(field(scene, body, "program", program, theme.screen));
    let node = scene
        .live
        .pods
        .playing(role)
        .and_then(|pod| pod.node.as_deref());
    lines.extend(field(
        scene,
        body,
        "node",
        node.unwrap_or("-"),
        theme.screen,
    ));
}

/// What the fault touches, of how many.
fn blast_radius(scene: &Scene<'_>, fault: Fault, target: Target) -> String {
    let pods = scene.live.pods.rows();
    let playing = |role: Role| pods.iter().filter(|pod| pod.role == Some(role)).count();
    let whom = match target {
        Target::Random => "client or server, by lot".to_owned(),
        Target::Role(role) if playing(role) == 1 => format!("the only {role}"),
        Target::Role(role) => format!("one of {} {role} pods", playing(role)),
    };
    let pod = format!("1 of {}: {whom}", format::count(pods.len() as u64, "pod"));
    match fault {
        Fault::PodDelete => pod,
        Fault::ProcessKill | Fault::ProcessTerm => format!("1 process in {pod}"),
    }
}

fn question(
    scene: &Scene<'_>,
    body: Rect,
    lines: &mut Vec<Line<'static>>,
    fault: Fault,
    victim: &Victim,
) {
    let theme = scene.theme;
    let pod = format!("{}/{}", victim.namespace, victim.pod);
    lines.extend(field(scene, body, "do", fault.describe(), theme.bad));
    lines.extend(field(scene, body, "to", pod, theme.strong));
    lines.extend(field(
        scene,
        body,
        "container",
        &victim.container,
        theme.screen,
    ));
    let context = &scene.live.cluster.context;
    lines.extend(field(scene, body, "context", context, theme.strong));
    lines.push(Line::default());
    let accept = scene
        .keymap
        .keys_for(&HERE, Action::Accept)
        .last()
        .map_or_else(|| "enter".into(), ToString::to_string);
    let back = key(scene, Action::Back);
    lines.push(Line::from(vec![
        Span::styled(accept, theme.key),
        Span::raw(" do it      "),
        Span::styled(back, theme.key),
        Span::raw(" leave it alone"),
    ]));
}
