//! One pod in full.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{field, heading, scrolling};
use crate::{
    core::{
        event::{Container, ContainerState, Pod, Terminated},
        update::ui::Room,
    },
    ui::{
        format,
        view::{
            Scene,
            pods::{age, health, role, said},
        },
    },
};

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    uid: &str,
    scroll: u16,
) -> (Rect, Room) {
    let Some(pod) = scene.model.pods.get(uid) else {
        let line = Line::styled("This pod is gone.", scene.theme.warn);
        return scrolling(scene, buf, body, "Pod", &[line], 0);
    };
    let lines = lines(scene, body, pod);
    scrolling(
        scene,
        buf,
        body,
        &format!("Pod {}", pod.name),
        &lines,
        scroll,
    )
}

fn lines(scene: &Scene<'_>, body: Rect, pod: &Pod) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let plain = theme.screen;
    let mut lines = Vec::new();
    let mut add = |name: &str, value: &str, style: Style| {
        lines.extend(field(scene, body, name, value, style));
    };
    add("name", &pod.name, theme.strong);
    add("namespace", &pod.namespace, plain);
    let (role, role_style) = role(scene, pod);
    add("role", role, role_style);
    add("status", &said(scene, pod), health(scene, pod));
    let ready = if pod.ready { "yes" } else { "no" };
    add("ready", ready, health(scene, pod));
    add("address", pod.ip.as_deref().unwrap_or("-"), plain);
    add("node", pod.node.as_deref().unwrap_or("-"), plain);
    let age = age(scene, pod).map_or_else(|| "-".into(), format::rough);
    add("age", &age, plain);
    let made = if pod.managed {
        "aks-tui: faults need no second question"
    } else {
        "somebody else: faults ask once more"
    };
    add("made by", made, plain);
    add("uid", &pod.uid, theme.muted);
    for container in &pod.containers {
        lines.push(Line::default());
        lines.push(heading(scene, format!("container {}", container.name)));
        lines.extend(container_lines(scene, body, container));
    }
    lines
}

fn container_lines(scene: &Scene<'_>, body: Rect, container: &Container) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let (state, style) = match &container.state {
        ContainerState::Unknown => ("unknown".to_owned(), theme.warn),
        ContainerState::Running if container.ready => ("running, ready".to_owned(), theme.good),
        ContainerState::Running => ("running, not ready".to_owned(), theme.warn),
        ContainerState::Waiting { reason, message } if message.is_empty() => {
            (reason.clone(), theme.warn)
        }
        ContainerState::Waiting { reason, message } => (format!("{reason}: {message}"), theme.bad),
        ContainerState::Terminated(end) => (ended(end), theme.bad),
    };
    let mut lines = field(scene, body, "state", state, style);
    let restarts = container.restarts.to_string();
    lines.extend(field(scene, body, "restarts", restarts, theme.screen));
    if let Some(last) = &container.last {
        lines.extend(field(
            scene,
            body,
            "ended before",
            ended(last),
            theme.screen,
        ));
    }
    if let Some(bytes) = container.bytes_per_round {
        let bytes = format::bytes(bytes);
        lines.extend(field(scene, body, "a round moves", bytes, theme.screen));
    }
    let id = container.id.as_deref().unwrap_or("-");
    lines.extend(field(scene, body, "id", id, theme.muted));
    lines
}

/// How an execution ended: `Error, exit code 137 (signal 9, SIGKILL)`.
fn ended(end: &Terminated) -> String {
    let signal = end
        .signal
        .or((end.exit_code > 128).then_some(end.exit_code - 128))
        .map_or_else(String::new, |signal| format!(" ({})", signal_name(signal)));
    format!("{}, exit code {}{signal}", end.reason, end.exit_code)
}

/// A signal by its number and, where people know one, its name.
pub(super) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => " SIGHUP",
        2 => " SIGINT",
        6 => " SIGABRT",
        9 => " SIGKILL",
        11 => " SIGSEGV",
        15 => " SIGTERM",
        _ => "",
    };
    format!("signal {signal}{name}")
}
