//! The question before the cluster is stopped or started.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{field, scrolling};
use crate::{
    core::update::{
        bed::{PowerUi, WORD},
        ui::Room,
    },
    ui::{format, view::Scene},
};

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    power: &PowerUi,
) -> (Rect, Room) {
    let theme = scene.theme;
    let sight = scene.live.bed.sight.as_ref();
    let cluster = sight.and_then(|sight| sight.cluster.as_ref());
    let nodes = sight.map_or(0, |sight| {
        sight.things.iter().filter(|it| it.kind == "node").count()
    });
    let (what, then) = if power.on {
        (
            "start the cluster and all of its nodes",
            "it costs again what it did, and its pods are started anew",
        )
    } else {
        (
            "stop the cluster and everything that runs on it",
            "its nodes cost nothing until it is started; storage and registry stay",
        )
    };
    let mut lines = Vec::new();
    let mut add = |name: &str, text: &str, style| {
        lines.extend(field(scene, body, name, text, style));
    };
    add("do", what, theme.bad);
    add(
        "to",
        cluster.map_or("", |it| it.name.as_str()),
        theme.strong,
    );
    let group = sight.map_or("", |sight| sight.account.group.as_str());
    add("in", group, theme.strong);
    add("nodes", &format::count(nodes as u64, "node"), theme.screen);
    add("then", then, theme.screen);
    lines.push(Line::default());
    lines.push(Line::styled(
        format!("Type {WORD} and Enter: {}_", power.typed),
        theme.warn,
    ));
    let title = if power.on {
        "Start the cluster?"
    } else {
        "Stop the cluster?"
    };
    scrolling(scene, buf, body, title, &lines, 0)
}
