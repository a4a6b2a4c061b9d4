//! Lines that lose their least important parts when there is little room.

use std::borrow::Cow;

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::Scene;
use crate::ui::format;

/// A part of a line, in the forms that it can take.
pub(super) struct Part<'a> {
    /// Parts of one group stand closer together.
    pub group: u8,
    /// From the longest form to the shortest, after which it is left out. The
    /// form with the least weight on the line gives way first.
    forms: Vec<(u8, Vec<Span<'a>>)>,
}

impl<'a> Part<'a> {
    /// A part in its longest form.
    pub fn new(group: u8, weight: u8, form: Vec<Span<'a>>) -> Self {
        Self {
            group,
            forms: vec![(weight, form)],
        }
    }

    /// A part that is one text in one style.
    pub fn text(group: u8, weight: u8, text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self::new(group, weight, vec![Span::styled(text, style)])
    }

    /// A shorter form of the same.
    pub fn or(mut self, weight: u8, form: Vec<Span<'a>>) -> Self {
        self.forms.push((weight, form));
        self
    }
}

/// How parts stand on their line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Columns there are.
    pub width: usize,
    /// What stands between groups.
    pub between: &'a str,
    /// This group and what follows stand at the right edge.
    pub right: u8,
}

fn spans_width(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

/// The parts that fit on the line, in their order, with separators.
pub(super) fn pack<'a>(scene: &Scene<'_>, mut parts: Vec<Part<'a>>, on: Row<'_>) -> Line<'a> {
    const WITHIN: &str = "  ";
    let gap = |a: &Part<'_>, b: &Part<'_>| {
        format::width(if a.group == b.group {
            WITHIN
        } else {
            on.between
        })
    };
    let needed = loop {
        let text: usize = parts.iter().map(|part| spans_width(&part.forms[0].1)).sum();
        let gaps: usize = parts.windows(2).map(|pair| gap(&pair[0], &pair[1])).sum();
        let needed = text + gaps;
        if needed <= on.width {
            break needed;
        }
        let lightest = (0..parts.len()).rev().min_by_key(|i| parts[*i].forms[0].0);
        let Some(lightest) = lightest else { break 0 };
        if parts[lightest].forms.len() > 1 {
            parts[lightest].forms.remove(0);
        } else if parts.len() > 1 {
            parts.remove(lightest);
        } else {
            // The last one is cut, not dropped: it is the most important.
            let (_, spans) = parts.swap_remove(0).forms.swap_remove(0);
            return cut_line(scene, spans, on.width);
        }
    };
    let mut line = Line::default();
    let mut before: Option<u8> = None;
    for part in parts {
        let group = part.group;
        match before {
            Some(before) if before == group => line.push_span(WITHIN),
            Some(before) if before < on.right && group >= on.right => {
                let room = on.width - needed + format::width(on.between);
                line.push_span(" ".repeat(room));
            }
            Some(_) => {
                line.push_span(Span::styled(on.between.to_owned(), scene.theme.faint));
            }
            None => {}
        }
        before = Some(group);
        line.extend(part.forms.into_iter().next().unwrap_or_default().1);
    }
    line
}

/// A line cut to `width` columns, and saying so.
pub(super) fn cut_line<'a>(scene: &Scene<'_>, spans: Vec<Span<'a>>, width: usize) -> Line<'a> {
    if spans_width(&spans) <= width {
        return Line::from(spans);
    }
    let mut room = width;
    let mut line = Line::default();
    for span in spans {
        let needed = span.width();
        if needed < room {
            room -= needed;
            line.push_span(span);
            continue;
        }
        // Something follows or it is too long itself: either way it is cut.
        let whole = format!("{}{}", span.content, " ".repeat(room + 1));
        let text = format::cut(&whole, room, scene.glyphs.ellipsis).into_owned();
        line.push_span(Span::styled(text, span.style));
        break;
    }
    line
}
