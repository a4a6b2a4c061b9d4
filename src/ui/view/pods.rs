//! The pods of the namespace, the workload's first.

use std::{borrow::Cow, time::Duration};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    Scene, chrome, header,
    pack::{Part, cut_line},
};
use crate::{
    core::{
        action::{Action, Pane},
        event::{ContainerState, Feed, FeedState, Pod},
        model::pods::{restarts, status},
        time::Time,
        update::pods_that_pass,
        workload::Role,
    },
    ui::format,
};

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    let model = scene.model;
    let filter = &scene.ui.pods.filter;
    let passing: Vec<&Pod> = pods_that_pass(filter, model).collect();
    let mut told = Vec::new();
    if model.pods.listed() {
        let (ready, total) = model.pods.ready();
        let text = if total == 0 {
            "none".to_owned()
        } else {
            format!("{ready} of {total} ready")
        };
        told.push(Part::text(1, 50, text, scene.theme.muted));
    }
    if !filter.is_empty() {
        let text = format!("/{}/ {} shown", filter.typed(), passing.len());
        told.push(Part::text(1, 60, text, scene.theme.warn));
    }
    let mut inner = chrome::frame(scene, buf, area, Pane::Pods, told);
    if inner.is_empty() {
        return inner;
    }
    let broken = broken(scene, Feed::Pods);
    if model.pods.rows().is_empty() {
        empty(scene, buf, inner);
        return Rect { height: 0, ..inner };
    }
    if let Some((why, retry_in)) = broken
        && inner.height > 1
    {
        inner.height -= 1;
        let line = header::trouble_line(scene, why, retry_in);
        let line = cut_line(scene, line.spans, inner.width.into());
        buf.set_line(inner.x, inner.bottom(), &line, inner.width);
    }
    rows(scene, buf, inner, &passing)
}

/// Why a feed is broken and when it is tried again.
pub(super) fn broken<'a>(scene: &Scene<'a>, feed: Feed) -> Option<(&'a str, Duration)> {
    match &scene.live.feed(feed)?.state {
        FeedState::Broken { why, retry_at } => Some((why, retry_at.since(scene.clock))),
        _ => None,
    }
}

/// An empty list says why it is empty: it never reads as "none" before it is.
fn empty(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) {
    let theme = scene.theme;
    let cluster = &scene.model.cluster;
    if let Some(why) = &scene.model.nowhere {
        let does = "plans a test bed, and makes it";
        let lines = [
            Line::styled(format!("Nothing to look at: {why}."), theme.warn),
            Line::raw(format!(
                "{}.",
                chrome::by_key(scene, Action::AzurePlan, "Plan a test bed", does)
            )),
        ];
        chrome::sentence(scene, buf, area, &lines);
        return;
    }
    let lines = match (broken(scene, Feed::Pods), scene.model.feed(Feed::Pods)) {
        (Some((why, retry_in)), _) => vec![header::trouble_line(scene, why, retry_in)],
        (None, _) if scene.model.pods.listed() => vec![
            Line::styled(
                format!("No pods in namespace {}.", cluster.namespace),
                theme.warn,
            ),
            Line::raw(format!(
                "{} the workload, or look elsewhere with -n NAMESPACE.",
                chrome::by_key(scene, Action::Deploy, "Deploy", "deploys")
            )),
        ],
        (None, feed) => {
            let what = match feed.map(|feed| &feed.state) {
                Some(FeedState::Waiting { what }) => what.clone(),
                Some(FeedState::Live) => "loading pods".into(),
                _ if cluster.server.is_empty() => "connecting".into(),
                _ => format!("connecting to {}", cluster.server),
            };
            vec![Line::raw(format!(
                "{} {what}{}",
                scene.glyphs.spinner(scene.clock),
                scene.glyphs.ellipsis
            ))]
        }
    };
    chrome::sentence(scene, buf, area, &lines);
}

/// The columns of the table: what they are called and how wide they are.
struct Columns {
    name: usize,
    status: usize,
    /// How many of restarts, age, address and node have room, in that order.
    more: usize,
}

const ROLE: usize = 6;
const READY: usize = 5;
const RESTARTS: usize = 8;
/// Without a heading the figure says what it counts.
const RESTARTS_SAID: usize = 10;
const AGE: usize = 6;
const ADDRESS: usize = 15;
const NODE: usize = 16;

impl Columns {
    fn new(scene: &Scene<'_>, width: usize, pods: &[&Pod]) -> Self {
        let longest = |text: fn(&Pod) -> usize| pods.iter().map(|pod| text(pod)).max().unwrap_or(0);
        let name = longest(|pod| format::width(&pod.name)).max(4);
        let status = pods
            .iter()
            .map(|pod| format::width(&said(scene, pod)))
            .max()
            .unwrap_or(0)
            .clamp(7, 34);
        // The pointer, the role, READY, RESTARTS, and the gaps between.
        let restarts = if scene.boxed { RESTARTS } else { RESTARTS_SAID };
        let fixed = 2 + ROLE + 2 + 2 + READY + 2 + status;
        let mut room = width.saturating_sub(fixed);
        // What each column takes, and how much of a name it must leave.
        let wanted = [(restarts, 10), (AGE, 24), (ADDRESS, name), (NODE, name)];
        let mut more = 0;
        for (needed, least) in wanted {
            if room < name.min(least) + needed + 2 {
                break;
            }
            room -= needed + 2;
            more += 1;
        }
        Self {
            name: name.min(room),
            status,
            more,
        }
    }

    const fn restarts(&self) -> bool {
        self.more > 0
    }

    const fn age(&self) -> bool {
        self.more > 1
    }

    const fn address(&self) -> bool {
        self.more > 2
    }

    const fn node(&self) -> bool {
        self.more > 3
    }
}

fn rows(scene: &Scene<'_>, buf: &mut Buffer, area: Rect, pods: &[&Pod]) -> Rect {
    let heading = scene.boxed && area.height > 1;
    let list = Rect {
        y: area.y + u16::from(heading),
        height: area.height - u16::from(heading),
        ..area
    };
    let (window, cursor) = scene.ui.pods.window(pods.len(), list.height.into());
    let shown = &pods[window.clone()];
    let columns = Columns::new(scene, area.width.into(), shown);
    if heading {
        let mut line = Vec::new();
        let mut cell = |text: &'static str, width: usize| {
            line.push(Span::styled(format!("{text:<width$}  "), scene.theme.muted));
        };
        cell("  ROLE", 2 + ROLE);
        cell("NAME", columns.name);
        cell("READY", READY);
        cell("STATUS", columns.status);
        if columns.restarts() {
            cell("RESTARTS", RESTARTS);
        }
        if columns.age() {
            cell("AGE", AGE);
        }
        if columns.address() {
            cell("ADDRESS", ADDRESS);
        }
        if columns.node() {
            cell("NODE", 4);
        }
        buf.set_line(area.x, area.y, &Line::from(line), area.width);
    }
    for (row, (index, pod)) in (list.y..).zip(window.zip(shown)) {
        let selected = index == cursor && scene.ui.focus == Pane::Pods;
        let line = pod_line(scene, pod, &columns, selected);
        let line = cut_line(scene, line, area.width.into());
        buf.set_line(list.x, row, &line, list.width);
        if selected {
            buf.set_style(Rect::new(list.x, row, list.width, 1), scene.theme.selected);
        }
    }
    list
}

fn pod_line<'a>(
    scene: &Scene<'a>,
    pod: &'a Pod,
    columns: &Columns,
    selected: bool,
) -> Vec<Span<'a>> {
    let theme = scene.theme;
    let total = pod.containers.len();
    let ready = pod.containers.iter().filter(|c| c.ready).count();
    let health = health(scene, pod);
    let (role, role_style) = role(scene, pod);
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let name = format::cut_middle(&pod.name, columns.name, scene.glyphs.ellipsis);
    let pad = columns.name.saturating_sub(format::width(&name));
    let restarts = restarts(pod);
    let status = said(scene, pod);
    let status = format::cut(&status, columns.status, scene.glyphs.ellipsis);
    let mut spans = vec![
        Span::styled(format!("{pointer} "), theme.strong),
        Span::styled(format!("{role:<ROLE$}  "), role_style),
        Span::styled(
            format!("{name}{:pad$}  ", ""),
            if pod.role.is_some() {
                theme.strong
            } else {
                theme.screen
            },
        ),
        Span::styled(format!("{:<READY$}  ", format!("{ready}/{total}")), health),
        Span::styled(format!("{status:<width$}", width = columns.status), health),
    ];
    if columns.restarts() {
        let text = if scene.boxed {
            format!("  {restarts:<RESTARTS$}")
        } else {
            format!(
                "  {:<RESTARTS_SAID$}",
                format::count(restarts.into(), "restart")
            )
        };
        spans.push(Span::raw(text));
    }
    if columns.age() {
        let age = age(scene, pod).map_or_else(|| "-".into(), format::rough);
        spans.push(Span::styled(format!("  {age:<AGE$}"), theme.muted));
    }
    if columns.address() {
        let address = pod.ip.as_deref().unwrap_or("-");
        spans.push(Span::styled(format!("  {address:<ADDRESS$}"), theme.muted));
    }
    if columns.node() {
        let node = pod.node.as_deref().unwrap_or("-");
        spans.push(Span::styled(format!("  {node}"), theme.muted));
    }
    spans
}

/// The role that a pod plays, with its colour.
pub(super) fn role(scene: &Scene<'_>, pod: &Pod) -> (&'static str, Style) {
    match pod.role {
        Some(role) => (role.name(), role_style(scene, role)),
        None => (scene.glyphs.none, scene.theme.muted),
    }
}

/// The colour of a side of the workload.
pub(super) const fn role_style(scene: &Scene<'_>, role: Role) -> Style {
    match role {
        Role::Client => scene.theme.client,
        Role::Server => scene.theme.server,
    }
}

/// The colour of how a pod is doing.
pub(super) fn health(scene: &Scene<'_>, pod: &Pod) -> Style {
    let theme = scene.theme;
    match (pod.deleting, pod.ready, status(pod)) {
        (true, ..) => theme.warn,
        (_, true, _) => theme.good,
        (_, _, "Pending" | "ContainerCreating" | "PodInitializing" | "Running") => theme.warn,
        (_, _, "Succeeded" | "Completed") => theme.muted,
        _ => theme.bad,
    }
}

/// The status, with how long a restart is still held back where that is known.
pub(super) fn said<'a>(scene: &Scene<'_>, pod: &'a Pod) -> Cow<'a, str> {
    let status = status(pod);
    let Some(length) = backoff_length(pod) else {
        return Cow::Borrowed(status);
    };
    let left = backoff_began(scene, pod)
        .map(|began| (began + length).since(scene.now))
        .filter(|left| !left.is_zero());
    Cow::Owned(match left {
        Some(left) => format!(
            "{status}, {} left",
            format::rough(left + Duration::from_millis(999))
        ),
        None => format!("{status}, {}", format::rough(length)),
    })
}

/// When the node began to hold a pod back; known if a trial saw it.
fn backoff_began(scene: &Scene<'_>, pod: &Pod) -> Option<Time> {
    let open = scene.model.ledger.open()?;
    let hit = open.victim.as_ref()?.pod_uid == pod.uid;
    open.marks.backoff.filter(|_| hit)
}

/// How long a node holds a restart back, as its message says:
/// `back-off 1m20s restarting failed container …`.
fn backoff_length(pod: &Pod) -> Option<Duration> {
    let message = pod.containers.iter().find_map(|c| match &c.state {
        ContainerState::Waiting { reason, message } if reason == "CrashLoopBackOff" => {
            Some(message)
        }
        _ => None,
    })?;
    let word = message.strip_prefix("back-off ")?.split(' ').next()?;
    let mut seconds = 0;
    let mut digits = 0u64;
    for c in word.chars() {
        match c {
            '0'..='9' => digits = digits.checked_mul(10)?.checked_add(u64::from(c) - 48)?,
            'h' => seconds += std::mem::take(&mut digits).checked_mul(3_600)?,
            'm' => seconds += std::mem::take(&mut digits).checked_mul(60)?,
            's' => seconds += std::mem::take(&mut digits),
            _ => return None,
        }
    }
    (digits == 0 && seconds > 0).then(|| Duration::from_secs(seconds))
}

/// How long a pod has existed, by the wall clock at the run's start.
pub(super) fn age(scene: &Scene<'_>, pod: &Pod) -> Option<Duration> {
    let wall = scene.model.run.as_ref()?.wall_ms + scene.now.millis() as i64;
    u64::try_from(wall - pod.created_ms?)
        .ok()
        .map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Container;

    #[test]
    fn the_length_of_a_back_off_is_read_from_its_message() {
        let length = |message: &str| {
            backoff_length(&Pod {
                containers: vec![Container {
                    state: ContainerState::Waiting {
                        reason: "CrashLoopBackOff".into(),
                        message: message.into(),
                    },
                    ..Container::default()
                }],
                ..Pod::default()
            })
            .map(|length| length.as_secs())
        };
        assert_eq!(
            length("back-off 10s restarting failed container=x"),
            Some(10)
        );
        assert_eq!(length("back-off 2m40s restarting failed"), Some(160));
        assert_eq!(length("back-off 5m0s restarting"), Some(300));
        assert_eq!(length("back-off soon"), None);
        assert_eq!(length("back-off 99999999999999999999s"), None);
        assert_eq!(length(""), None);
    }
}
