//! What this cockpit has Azure do, and how far that is.

use ratatui::text::{Line, Span};

use super::Scene;
use crate::{
    core::{
        azure::{desk::Heard, plan::kind_name, progress::State},
        time::Time,
    },
    ui::{format, view::pack::Part},
};

/// What is being done, since when, or what came of the last.
pub(super) fn told<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let desk = &scene.live.azure;
    if let Some((wish, since)) = desk.busy {
        let spinner = scene.glyphs.spinner(scene.clock);
        let length = format::rough(scene.clock.since(since));
        let text = format!("{spinner} {} for {length}", wish.words());
        return vec![Part::text(1, 90, text, theme.warn)];
    }
    match &desk.outcome {
        Some((wish, None)) => {
            vec![Part::text(
                1,
                90,
                format!("{}: done", wish.words()),
                theme.good,
            )]
        }
        Some((wish, Some(_))) => {
            vec![Part::text(
                1,
                90,
                format!("{} failed", wish.words()),
                theme.bad,
            )]
        }
        None => Vec::new(),
    }
}

/// A line for each resource, and for each word that was said.
pub(super) fn lines(scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let desk = &scene.live.azure;
    let mut lines = Vec::new();
    for (at, text) in &desk.lines {
        lines.push(Line::from(vec![
            Span::styled(format!("{}  ", format::clock(*at)), theme.muted),
            Span::raw(text.clone()),
        ]));
    }
    for heard in &desk.resources {
        let resource = &heard.resource;
        let (mark, style) = match resource.state {
            State::Running => (scene.glyphs.spinner(scene.clock), theme.warn),
            State::Done => (scene.glyphs.good, theme.good),
            State::Failed => (scene.glyphs.bad, theme.bad),
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} "), style),
            Span::raw(format!(
                "{} {}",
                kind_name(&resource.kind),
                how_far(heard, scene.clock)
            )),
        ]));
    }
    if let Some((_, Some(why))) = &desk.outcome {
        lines.push(Line::styled(why.clone(), theme.bad));
    }
    lines
}

/// A resource by name, how far it is, for how long, and why not further.
pub(in crate::ui::view) fn how_far(heard: &Heard, now: Time) -> String {
    let resource = &heard.resource;
    let took = heard
        .seconds(now)
        .map_or_else(String::new, |seconds| format!(" {seconds:.0} s"));
    let why = resource
        .error
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!("{} {}{took}{why}", resource.name, resource.word)
}
