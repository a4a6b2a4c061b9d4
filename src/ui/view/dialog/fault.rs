//! The fault menu: what is done, and to whom exactly. It names every victim
//! before it dies.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{field, scrolling};
use crate::{
    core::{
        action::{Action, Scope, Target},
        azure::machines::UNSUPPORTED,
        trial::Fault,
        update::{
            fault::{obstacle, offered, victim},
            ui::{Confirm, Demand, FaultMenu, Room},
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
    let title = if let Some(confirm) = &menu.confirm {
        question(scene, body, &mut lines, confirm);
        if confirm.fault.hits_node() {
            "A whole node: are you sure?"
        } else {
            "Not made by aks-tui: are you sure?"
        }
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
    let theme = scene.theme;
    let offered = offered(scene.live);
    // Where the whole does not fit, nothing is said that only looks well.
    let roomy = usize::from(body.height) >= offered.len() + 12;
    let gap = |lines: &mut Vec<Line<'static>>| {
        if roomy {
            lines.push(Line::default());
        }
    };
    lines.push(targets(scene, menu.target));
    gap(lines);
    let roles = aimed_at(menu.target);
    let why_not: Vec<Option<String>> = offered
        .iter()
        .map(|fault| {
            roles
                .iter()
                .find_map(|role| obstacle(scene.ui, scene.live, *fault, *role))
        })
        .collect();
    // What stands in the way of all of them is said once, below.
    let same = why_not.iter().all(|why| *why == why_not[0]);
    let chosen = menu.selected.min(offered.len() - 1);
    let room = usize::from(body.width).saturating_sub(6);
    for (index, fault) in offered.iter().copied().enumerate() {
        let why = why_not[index].as_deref();
        let first = index == 0 || offered[index - 1].group() != fault.group();
        let mut row = fault_row(scene, fault, first, index == chosen, why.is_none());
        // What is said of the row above needs not be said again in its group.
        let above = index
            .checked_sub(1)
            .filter(|above| offered[*above].group() == fault.group())
            .and_then(|above| why_not[above].as_deref());
        if let Some(why) = why.filter(|why| !same && Some(*why) != above) {
            let room = room.saturating_sub(row.width() + 2);
            let why = format::cut(why, room, scene.glyphs.ellipsis).into_owned();
            row.push_span(Span::styled(format!("  {why}"), theme.faint));
        }
        lines.push(row);
    }
    gap(lines);
    let selected = offered[chosen];
    if let [role] = roles[..] {
        victim_rows(scene, body, lines, role, selected);
    } else {
        for (word, role) in ["either", "or"].into_iter().zip(&roles) {
            victim_row(scene, body, lines, word, *role);
        }
    }
    let radius = blast_radius(scene, selected, menu.target);
    lines.extend(field(scene, body, "blast radius", radius, theme.strong));
    let text = healing(scene, selected);
    lines.extend(field(scene, body, "heals", text, theme.screen));
    gap(lines);
    let (text, style) = advice(scene, selected, &roles, why_not[chosen].as_deref());
    for line in format::wrap(&text, room) {
        lines.push(Line::styled(line.to_owned(), style));
    }
}

/// Why the selected fault cannot be injected, or what a key will do.
fn advice(
    scene: &Scene<'_>,
    fault: Fault,
    roles: &[Role],
    why_not: Option<&str>,
) -> (String, Style) {
    let managed = roles
        .iter()
        .filter_map(|role| scene.live.pods.playing(*role))
        .all(|pod| pod.managed);
    match why_not {
        Some(why) => (format!("Not possible: {why}."), scene.theme.bad),
        None if fault.hits_node() => (
            "You will be shown what runs on the node, and asked once more.".into(),
            scene.theme.warn,
        ),
        None if managed => (
            "The key of a fault injects it at once.".into(),
            scene.theme.muted,
        ),
        None => (
            "This pod was not made by aks-tui: you will be asked once more.".into(),
            scene.theme.warn,
        ),
    }
}

/// When a fault that lasts is taken back.
fn healing(scene: &Scene<'_>, fault: Fault) -> String {
    if !fault.lasts() {
        return "nothing lasts that would have to be healed".into();
    }
    let by_hand = match scene.keymap.hint(&HERE, Action::Heal) {
        Some(key) => format!("with {key}, "),
        None => String::new(),
    };
    let when = if fault.holds() {
        format!("after {} s", scene.ui.lasts.as_secs())
    } else {
        "when it is back".to_owned()
    };
    format!("{when}, {by_hand}and before the cockpit leaves")
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
    for action in [Action::Shorter, Action::Longer] {
        spans.push(Span::styled(key(scene, action), theme.key));
        spans.push(Span::raw(" "));
    }
    let lasts = format!("{} s", scene.ui.lasts.as_secs());
    spans.push(Span::styled(lasts, theme.muted));
    Line::from(spans)
}

/// Columns of the names of the groups.
const GROUP: usize = 8;

fn fault_row(
    scene: &Scene<'_>,
    fault: Fault,
    first: bool,
    selected: bool,
    possible: bool,
) -> Line<'static> {
    let theme = scene.theme;
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let style = match (selected, possible) {
        (_, false) => theme.muted,
        (true, true) => theme.selected.patch(theme.strong),
        (false, true) => Style::new(),
    };
    let group = if first { fault.group().name() } else { "" };
    let key = key(scene, Action::Inject(fault));
    let text = if possible {
        what(scene, fault)
    } else {
        fault.describe().to_owned()
    };
    Line::from(vec![
        Span::styled(format!("{group:<GROUP$}"), theme.muted),
        Span::styled(format!("{pointer} "), theme.strong),
        Span::styled(format!("{key}  "), theme.key),
        Span::styled(text, style),
    ])
}

/// What is done, and for how long.
fn what(scene: &Scene<'_>, fault: Fault) -> String {
    if fault.holds() {
        format!("{} for {} s", fault.describe(), scene.ui.lasts.as_secs())
    } else {
        fault.describe().to_owned()
    }
}

/// Where a pod lives, as the menu names it.
fn node<'a>(scene: &Scene<'a>, role: Role) -> &'a str {
    let pod = scene.live.pods.playing(role);
    pod.and_then(|pod| pod.node.as_deref()).unwrap_or("-")
}

/// One of several that may be hit, in one row.
fn victim_row(
    scene: &Scene<'_>,
    body: Rect,
    lines: &mut Vec<Line<'static>>,
    word: &str,
    role: Role,
) {
    let (text, style) = match victim(scene.live, role) {
        Ok(victim) => (
            format!("{}/{}", victim.namespace, victim.pod),
            scene.theme.strong,
        ),
        Err(why) => (why, scene.theme.bad),
    };
    let name = format!("{word} {role}");
    lines.extend(field(scene, body, &name, text, style));
}

fn victim_rows(
    scene: &Scene<'_>,
    body: Rect,
    lines: &mut Vec<Line<'static>>,
    role: Role,
    fault: Fault,
) {
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
    if fault == Fault::DiskFill {
        let text = volume(scene, &named.pod_uid);
        lines.extend(field(scene, body, "volume", text, theme.screen));
    } else {
        lines.extend(field(scene, body, "node", node(scene, role), theme.screen));
    }
}

/// The volume that would be filled, as far as it is known.
fn volume(scene: &Scene<'_>, uid: &str) -> String {
    match scene.live.around.volumes.get(uid) {
        Some(Ok(volume)) => format!(
            "{}, {} free of {}",
            volume.path,
            format::bytes(volume.free),
            format::bytes(volume.size)
        ),
        Some(Err(_)) => "none that has an end of its own".to_owned(),
        None => "looking...".to_owned(),
    }
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
        Fault::DiskFill => format!("1 volume of {pod}"),
        Fault::NetworkCut | Fault::NetworkDelay | Fault::NetworkLoss => {
            format!("the network of {pod}")
        }
        Fault::NodeReimage => {
            "the node with its disk, and every pod on it, of whichever namespace".to_owned()
        }
        Fault::NodeOff | Fault::NodeRestart | Fault::NodePowerOff | Fault::NodeDeallocate => {
            "the node, and every pod on it, of whichever namespace".to_owned()
        }
        Fault::ContainerKill => format!("1 container in {pod}"),
        Fault::ProcessKill | Fault::ProcessTerm | Fault::ProcessStop => {
            format!("1 process in {pod}")
        }
    }
}

/// Pods that a question names before it only counts them.
const NAMED: usize = 6;

fn question(scene: &Scene<'_>, body: Rect, lines: &mut Vec<Line<'static>>, confirm: &Confirm) {
    let theme = scene.theme;
    let Confirm { fault, victim, .. } = confirm;
    let pod = format!("{}/{}", victim.namespace, victim.pod);
    let mut add = |name: &str, value: &str, style: Style| {
        lines.extend(field(scene, body, name, value, style));
    };
    add("do", &what(scene, *fault), theme.bad);
    match victim.node.as_deref().filter(|_| fault.hits_node()) {
        Some(node) => {
            add("to", node, theme.strong);
            add("aimed at", &pod, theme.strong);
        }
        None => {
            add("to", &pod, theme.strong);
            add("container", &victim.container, theme.screen);
        }
    }
    add("context", &scene.live.cluster.context, theme.strong);
    if fault.hits_node() {
        residents(scene, body, lines, confirm);
    }
    if fault.by_azure().is_some() && !scene.live.bed.warned {
        let text = format!("{UNSUPPORTED}.");
        lines.extend(field(scene, body, "once said", text, theme.warn));
    }
    lines.push(Line::default());
    lines.push(answer(scene, confirm));
}

/// What runs on the node that is to be switched off.
fn residents(scene: &Scene<'_>, body: Rect, lines: &mut Vec<Line<'static>>, confirm: &Confirm) {
    let theme = scene.theme;
    let node = confirm.victim.node.as_deref().unwrap_or_default();
    let around = &scene.live.around;
    let known = around.residents.get(node);
    let Some((_, residents)) = known.filter(|(at, _)| *at >= confirm.asked) else {
        lines.extend(field(scene, body, "runs there", "looking...", theme.warn));
        return;
    };
    let count = format::count(residents.pods.len() as u64, "pod");
    lines.extend(field(scene, body, "runs there", count, theme.strong));
    // What is not ours first: it must not be overlooked.
    let mut pods: Vec<_> = residents.pods.iter().collect();
    pods.sort_by_key(|pod| (pod.managed, pod.name.clone()));
    for pod in pods.iter().take(NAMED) {
        let (text, style) = if pod.managed {
            (pod.name.clone(), theme.screen)
        } else {
            (format!("{}  not made by aks-tui", pod.name), theme.warn)
        };
        lines.extend(field(scene, body, "", text, style));
    }
    if pods.len() > NAMED {
        let more = format!("and {} more", pods.len() - NAMED);
        lines.extend(field(scene, body, "", more, theme.muted));
    }
    if let Some(why) = &residents.unseen {
        let text = format!("there may be more: {why}");
        lines.extend(field(scene, body, "", text, theme.warn));
    }
    let others = around
        .nodes
        .values()
        .any(|other| other.name != node && other.ready);
    if !others {
        let text = "no other node is ready: its pods have nowhere to go";
        lines.extend(field(scene, body, "", text, theme.bad));
    }
}

/// The keys that answer a question, or the name that does.
fn answer(scene: &Scene<'_>, confirm: &Confirm) -> Line<'static> {
    let theme = scene.theme;
    let scopes = scene.ui.scopes();
    let mut keys = scene.keymap.keys_for(&scopes, Action::Accept);
    let accept = keys
        .pop()
        .map_or_else(|| "enter".into(), |key| key.to_string());
    let back = scene
        .keymap
        .hint(&scopes, Action::Back)
        .unwrap_or_else(|| "esc".into());
    let mut spans = Vec::new();
    if let Demand::Name(name) = &confirm.demand {
        spans.extend([
            Span::raw(format!("type {name}: ")),
            Span::styled(confirm.typed.clone(), theme.strong),
            Span::styled(" ", theme.selected),
            Span::raw("  "),
        ]);
    }
    spans.extend([
        Span::styled(accept, theme.key),
        Span::raw(" do it      "),
        Span::styled(back, theme.key),
        Span::raw(" leave it alone"),
    ]);
    Line::from(spans)
}
