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
pub(super) fn pack<'a>(scene: &Scene<'_>, parts: Vec<Part<'a>>, on: Row<'_>) -> Line<'a> {
    let mut fit = Fit::new(&parts, on);
    if let Err(last) = fit.shrink() {
        // The last one is cut, not dropped: it is the most important.
        let forms = parts.into_iter().nth(last).map(|part| part.forms);
        let shortest = forms.and_then(|mut forms| forms.pop());
        return cut_line(scene, shortest.unwrap_or_default().1, on.width);
    }
    fit.regrow();
    let (needed, chosen) = (fit.needed(), fit.chosen);
    let mut line = Line::default();
    let mut before: Option<u8> = None;
    for (part, chosen) in parts.into_iter().zip(chosen) {
        let Some((_, form)) = part.forms.into_iter().nth(chosen) else {
            continue;
        };
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
        line.extend(form);
    }
    line
}

/// What stands between parts of one group.
const WITHIN: &str = "  ";

/// Which form of each part is shown.
struct Fit<'p, 'a> {
    parts: &'p [Part<'a>],
    on: Row<'p>,
    /// The index of the form; past the last one, the part is left out.
    chosen: Vec<usize>,
    /// What gave way, in order: the part and the form that it had.
    gave: Vec<(usize, usize)>,
}

impl<'p, 'a> Fit<'p, 'a> {
    fn new(parts: &'p [Part<'a>], on: Row<'p>) -> Self {
        Self {
            parts,
            on,
            chosen: vec![0; parts.len()],
            gave: Vec::new(),
        }
    }

    /// Columns that the parts and what stands between them take.
    fn needed(&self) -> usize {
        let mut needed = 0;
        let mut before = None;
        for (part, chosen) in self.parts.iter().zip(&self.chosen) {
            let Some((_, form)) = part.forms.get(*chosen) else {
                continue;
            };
            needed += spans_width(form);
            needed += match before {
                Some(group) if group == part.group => format::width(WITHIN),
                Some(_) => format::width(self.on.between),
                None => 0,
            };
            before = Some(part.group);
        }
        needed
    }

    /// Lets the lightest give way until the rest fits.
    ///
    /// # Errors
    /// The index of the last part, when not even that one fits.
    fn shrink(&mut self) -> Result<(), usize> {
        while self.needed() > self.on.width {
            let here = |i: &usize| self.chosen[*i] < self.parts[*i].forms.len();
            let shown: Vec<_> = (0..self.parts.len()).filter(here).collect();
            let weight = |i: &usize| self.parts[*i].forms[self.chosen[*i]].0;
            let Some(&lightest) = shown.iter().rev().min_by_key(|i| weight(i)) else {
                break;
            };
            if shown.len() == 1 && self.chosen[lightest] + 1 == self.parts[lightest].forms.len() {
                return Err(lightest);
            }
            self.gave.push((lightest, self.chosen[lightest]));
            self.chosen[lightest] += 1;
        }
        Ok(())
    }

    /// Lets what gave way for something longer that gave way later come back,
    /// the heaviest first.
    fn regrow(&mut self) {
        while let Some((part, form)) = self.gave.pop() {
            let now = std::mem::replace(&mut self.chosen[part], form);
            if self.needed() > self.on.width {
                self.chosen[part] = now;
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(width: usize) -> (bool, Vec<usize>) {
        let text = |text: &'static str| vec![Span::raw(text)];
        let parts = [
            Part::new(0, 60, text("where")),
            Part::new(1, 50, text("a reason of many words")).or(90, text("reason")),
            Part::new(1, 30, text("live")).or(100, text("!")),
        ];
        let on = Row {
            width,
            between: " | ",
            right: 1,
        };
        let mut fit = Fit::new(&parts, on);
        let fits = fit.shrink().is_ok();
        fit.regrow();
        (fits, fit.chosen)
    }

    #[test]
    fn the_lightest_gives_way_and_comes_back_where_there_is_room_again() {
        assert_eq!(fitted(36), (true, vec![0, 0, 0]));
        assert_eq!(fitted(33), (true, vec![0, 0, 1]));
        // The long reason needed more than `live` alone could give.
        assert_eq!(fitted(32), (true, vec![0, 1, 0]));
        assert_eq!(fitted(17), (true, vec![0, 1, 1]));
        assert_eq!(fitted(16), (true, vec![1, 1, 0]));
        assert_eq!(fitted(1), (true, vec![1, 2, 1]));
        assert!(!fitted(0).0);
    }
}
