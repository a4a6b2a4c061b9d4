//! Lines that lose their least important parts when there is little room.

use ratatui::text::{Line, Span};

use super::Scene;
use crate::ui::format;

/// A part of a line, in the forms that it can take.
pub(super) struct Part<'a> {
    /// Parts of one group stand closer together.
    pub group: u8,
    /// The part with the least weight shrinks first.
    pub weight: u8,
    /// From the longest form to the shortest; after that it is left out.
    pub forms: Vec<Vec<Span<'a>>>,
}

impl<'a> Part<'a> {
    /// A part with one form.
    pub fn new(group: u8, weight: u8, form: Vec<Span<'a>>) -> Self {
        Self {
            group,
            weight,
            forms: vec![form],
        }
    }

    /// A shorter form of the same.
    pub fn or(mut self, form: Vec<Span<'a>>) -> Self {
        self.forms.push(form);
        self
    }
}

fn spans_width(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

/// The parts that fit into `width` columns, in their order, with separators.
pub(super) fn pack<'a>(scene: &Scene<'_>, mut parts: Vec<Part<'a>>, width: usize) -> Line<'a> {
    let bar = format!(" {} ", scene.glyphs.bar);
    let between = |a: &Part<'_>, b: &Part<'_>| {
        if a.group == b.group {
            2
        } else {
            format::width(&bar)
        }
    };
    loop {
        let text: usize = parts.iter().map(|part| spans_width(&part.forms[0])).sum();
        let gaps: usize = parts
            .windows(2)
            .map(|pair| between(&pair[0], &pair[1]))
            .sum();
        if text + gaps <= width {
            break;
        }
        let Some(lightest) = (0..parts.len())
            .rev()
            .min_by_key(|index| parts[*index].weight)
        else {
            break;
        };
        if parts[lightest].forms.len() > 1 {
            parts[lightest].forms.remove(0);
        } else if parts.len() > 1 {
            parts.remove(lightest);
        } else {
            // The last one is cut, not dropped: it is the most important.
            let spans = parts.swap_remove(0).forms.swap_remove(0);
            return cut_line(scene, spans, width);
        }
    }
    let mut line = Line::default();
    let mut before: Option<u8> = None;
    for part in parts {
        match before {
            Some(group) if group == part.group => line.push_span("  "),
            Some(_) => line.push_span(Span::styled(bar.clone(), scene.theme.faint)),
            None => {}
        }
        before = Some(part.group);
        line.extend(part.forms.into_iter().next().unwrap_or_default());
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
