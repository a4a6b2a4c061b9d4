//! The keys that work here, from the live keymap.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{heading, scrolling};
use crate::{
    core::{
        action::{Action, Pane, Scope},
        update::ui::Room,
    },
    ui::{format, view::Scene},
};

/// Columns of the keys.
const KEYS: usize = 18;

/// Columns between two columns of text.
const GAP: usize = 4;

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    scroll: u16,
    from: Pane,
) -> (Rect, Room) {
    let here = [Scope::Pane(from), Scope::Cockpit, Scope::Global];
    let mut sections = vec![
        section(
            scene,
            &format!("In the pane {}", from.title()),
            here[0],
            &here,
        ),
        section(scene, "In the cockpit", Scope::Cockpit, &here),
        section(
            scene,
            "In the view of Azure",
            Scope::AzureView,
            &[Scope::AzureView, Scope::Global],
        ),
        section(scene, "Everywhere", Scope::Global, &here),
        section(
            scene,
            "In the fault menu",
            Scope::Fault,
            &[Scope::Fault, Scope::Dialog],
        ),
        section(scene, "In a dialog", Scope::Dialog, &[Scope::Dialog]),
        section(scene, "While typing", Scope::Text, &[Scope::Text]),
    ];
    sections.retain(|section| section.len() > 1);
    let widest = sections
        .iter()
        .flatten()
        .map(Line::width)
        .max()
        .unwrap_or_default();
    let two = usize::from(body.width) >= widest * 2 + GAP + 4;
    let lines = if two {
        side_by_side(sections, widest)
    } else {
        column(sections)
    };
    let title = format!("Help: keys of the {} keymap", scene.keymap.name);
    scrolling(scene, buf, body, &title, &lines, scroll)
}

/// The keys of one scope that are not shadowed by an inner one.
fn section(scene: &Scene<'_>, title: &str, scope: Scope, scopes: &[Scope]) -> Vec<Line<'static>> {
    let mut lines = vec![heading(scene, title.to_owned())];
    for (action, keys) in scene.keymap.bindings(scope) {
        let Some(entry) = action.entry() else {
            continue;
        };
        let live = scene.keymap.keys_for(scopes, action);
        let keys: Vec<String> = keys
            .iter()
            .filter(|key| live.contains(key))
            .map(ToString::to_string)
            .collect();
        if keys.is_empty() {
            continue;
        }
        let help = match (scope, action) {
            // In a dialog these words mean something more exact.
            (Scope::Dialog | Scope::Fault, Action::Back) => "close, or one step back",
            (Scope::Fault, Action::Accept) => "inject the selected fault; confirm",
            (Scope::Text, Action::Accept) => "keep what is typed; do the selected",
            (Scope::Text, Action::Back) => "leave it as it was",
            _ => entry.help,
        };
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<KEYS$}", keys.join(" ")), scene.theme.key),
            Span::raw(help),
        ]));
    }
    lines
}

fn column(sections: Vec<Vec<Line<'static>>>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for section in sections {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(section);
    }
    lines
}

/// Two columns of about the same height, no section torn apart.
fn side_by_side(sections: Vec<Vec<Line<'static>>>, width: usize) -> Vec<Line<'static>> {
    let total: usize = sections.iter().map(|section| section.len() + 1).sum();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut height = 0;
    for section in sections {
        let fits = height + section.len() / 2 <= total / 2;
        height += section.len() + 1;
        if fits { &mut left } else { &mut right }.push(section);
    }
    let (left, right) = (column(left), column(right));
    let rows = left.len().max(right.len());
    (0..rows)
        .map(|row| {
            let mut line = left.get(row).cloned().unwrap_or_default();
            // The style of a heading must not run on into the other column.
            let style = std::mem::take(&mut line.style);
            for span in &mut line.spans {
                span.style = style.patch(span.style);
            }
            if let Some(other) = right.get(row) {
                let pad = (width + GAP).saturating_sub(line.width());
                line.push_span(" ".repeat(pad));
                line.extend(
                    other.spans.iter().map(|span| {
                        Span::styled(span.content.clone(), other.style.patch(span.style))
                    }),
                );
            }
            debug_assert!(format::width(&line.to_string()) <= width * 2 + GAP);
            line
        })
        .collect()
}
