//! Dots, axes and marks.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    reduce::{Column, Reduced},
    scale::{Upright, time_step},
    size_index,
};
use crate::{
    core::{
        time::Time,
        trial::{State, Trial},
    },
    ui::{
        format::{self, Unit},
        view::Scene,
    },
};

/// Columns left of the plot: a label of five, and the axis.
const GUTTER: u16 = 6;

/// Rows below the plot: the axis with the sizes, and the time.
const BELOW: u16 = 2;

/// Dots in a cell of Braille: `BITS[column][row]`, rows from the top.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The room for a curve in `area`: gutter, plot, rows below.
fn divide(area: Rect) -> (u16, Rect, u16) {
    let gutter = if area.width >= 24 && area.height >= 3 {
        GUTTER
    } else {
        0
    };
    let below = match area.height {
        0..=2 => 0,
        3 => 1,
        _ => BELOW,
    };
    let plot = Rect {
        x: area.x + gutter,
        width: area.width - gutter,
        height: area.height - below,
        ..area
    };
    (gutter, plot, below)
}

/// Dots in a cell: across and down.
const fn dots(scene: &Scene<'_>) -> (usize, usize) {
    if scene.glyphs.ascii { (1, 1) } else { (2, 4) }
}

/// How many columns of dots a curve in `area` has.
pub(super) fn columns(scene: &Scene<'_>, area: Rect) -> usize {
    usize::from(divide(area).1.width) * dots(scene).0
}

/// A curve in a place on the screen.
pub(super) struct Plot<'a> {
    scene: &'a Scene<'a>,
    reduced: &'a Reduced,
    area: Rect,
    gutter: u16,
    below: u16,
    unit: Unit,
    axis: Upright,
    across: usize,
    down: usize,
}

impl<'a> Plot<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, area: Rect, reduced: &'a Reduced) -> Self {
        let (gutter, plot, below) = divide(area);
        let unit = Unit::of(reduced.peak);
        let ticks = (usize::from(plot.height) / 3).clamp(1, 8);
        let (across, down) = dots(scene);
        Self {
            scene,
            reduced,
            area: plot,
            gutter,
            below,
            unit,
            axis: Upright::new(unit.from_gib(reduced.peak), ticks),
            across,
            down,
        }
    }

    pub(super) fn draw(&self, buf: &mut Buffer) {
        self.curve(buf);
        self.trials(buf);
        self.rounds(buf);
        if self.gutter > 0 {
            self.upright(buf);
        }
        if self.below > 0 {
            self.flat(buf);
        }
        if self.below > 1 {
            self.times(buf);
        }
    }

    /// The row of dots of a throughput, counted from the bottom.
    fn dot(&self, gib_s: f64) -> usize {
        let rows = usize::from(self.area.height) * self.down;
        let share = self.unit.from_gib(gib_s) / self.axis.top;
        ((share * (rows.saturating_sub(1)) as f64).round().max(0.0) as usize)
            .min(rows.saturating_sub(1))
    }

    /// The column of cells of a moment, on the screen.
    fn x(&self, at: Time) -> Option<u16> {
        let column = self.reduced.column(at)? / self.across;
        (column < usize::from(self.area.width)).then(|| self.area.x + column as u16)
    }

    fn curve(&self, buf: &mut Buffer) {
        let cells = usize::from(self.area.width);
        for cell in 0..cells {
            let begin = cell * self.across;
            let columns = &self.reduced.columns[begin..(begin + self.across)];
            if columns.iter().all(Option::is_none) {
                continue;
            }
            // The range of dots that each column lights.
            let mut lit = [None; 2];
            for (i, column) in columns.iter().enumerate() {
                let before = (begin + i)
                    .checked_sub(1)
                    .and_then(|before| self.reduced.columns[before]);
                lit[i] = column.map(|column| self.range(column, before));
            }
            let size = columns.iter().flatten().next_back().map_or(0, |c| c.size);
            let x = self.area.x + cell as u16;
            if self.scene.glyphs.ascii {
                self.ascii_cells(buf, x, lit[0], size);
            } else {
                self.braille_cells(buf, x, lit, size);
            }
        }
    }

    /// The dots of a column, reaching to where the column before ended.
    fn range(&self, column: Column, before: Option<Column>) -> (usize, usize) {
        let (mut low, mut high) = (self.dot(column.low), self.dot(column.high));
        if let Some(before) = before.filter(|_| column.joined) {
            let last = self.dot(before.last);
            if last + 1 < low {
                low = last + 1;
            } else if last > high + 1 {
                high = last - 1;
            }
        }
        (low, high)
    }

    fn braille_cells(
        &self,
        buf: &mut Buffer,
        x: u16,
        lit: [Option<(usize, usize)>; 2],
        size: usize,
    ) {
        for row in 0..usize::from(self.area.height) {
            let bottom = row * 4;
            let (mut bits, mut on_line) = (0u8, false);
            for (i, range) in lit.iter().enumerate() {
                let Some((low, high)) = *range else { continue };
                for up in 0..4 {
                    let dot = bottom + up;
                    if (low..=high).contains(&dot) {
                        bits |= BITS[i][3 - up];
                        on_line = true;
                    } else if dot < low && (dot + i) % 2 == 0 {
                        // Under the line every other dot: an area that leaves
                        // the line to be seen where there is no colour.
                        bits |= BITS[i][3 - up];
                    }
                }
            }
            if bits == 0 {
                return;
            }
            let style = if on_line {
                self.scene.theme.size(size)
            } else {
                self.scene.theme.area(size)
            };
            let glyph = char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
            let y = self.area.bottom() - 1 - row as u16;
            buf[(x, y)].set_char(glyph).set_style(style);
        }
    }

    fn ascii_cells(&self, buf: &mut Buffer, x: u16, lit: Option<(usize, usize)>, size: usize) {
        let Some((low, high)) = lit else { return };
        for dot in 0..=high {
            let (glyph, style) = if dot >= low {
                ("*", self.scene.theme.size(size))
            } else {
                (".", self.scene.theme.area(size))
            };
            let y = self.area.bottom() - 1 - dot as u16;
            buf[(x, y)].set_symbol(glyph).set_style(style);
        }
    }

    /// An upright mark at every fault, with its number, and at every recovery.
    fn trials(&self, buf: &mut Buffer) {
        let theme = self.scene.theme;
        let trials = self.scene.model.ledger.trials();
        let first = trials.partition_point(|trial| trial.marks.injected < self.reduced.from);
        let shown = &trials[first.saturating_sub(1)..];
        for (i, trial) in shown.iter().enumerate() {
            if matches!(trial.state, State::NotInjected { .. }) {
                continue;
            }
            let fault = self.x(trial.marks.injected);
            let recovered = trial.marks.recovered.and_then(|at| self.x(at));
            if let Some(x) = recovered.filter(|_| recovered != fault) {
                self.mark(buf, x, self.scene.glyphs.moments[1], theme.recovered);
            }
            let Some(x) = fault else { continue };
            self.mark(buf, x, self.scene.glyphs.moments[0], theme.fault);
            let next = shown
                .get(i + 1)
                .and_then(|next| self.x(next.marks.injected));
            let room = next.unwrap_or(self.area.right()).saturating_sub(x + 1);
            self.label(buf, x, room, trial);
        }
    }

    fn mark(&self, buf: &mut Buffer, x: u16, glyph: &str, style: Style) {
        for y in self.area.top()..self.area.bottom() {
            buf[(x, y)].set_symbol(glyph).set_style(style);
        }
    }

    /// The number of a trial beside its mark, with its recovery time where
    /// there is room.
    fn label(&self, buf: &mut Buffer, x: u16, room: u16, trial: &Trial) {
        let number = trial.id.to_string();
        let long = match (trial.recovery_time(), trial.interrupted) {
            (Some(time), false) => format!("{number} {}", format::duration(time)),
            _ => number.clone(),
        };
        let fits = |text: &str| format::width(text) <= usize::from(room);
        let text = if fits(&long) { long } else { number };
        if fits(&text) {
            buf.set_string(x + 1, self.area.y, text, self.scene.theme.fault);
        }
    }

    /// What the workload itself measured at the end of each round.
    fn rounds(&self, buf: &mut Buffer) {
        let mut taken = None;
        for round in self.scene.model.rounds.iter().rev() {
            let Some(x) = self.x(round.at) else {
                if round.at < self.reduced.from {
                    return;
                }
                continue;
            };
            // Marks that touch each other would hide the curve.
            if taken.is_some_and(|taken: u16| taken.abs_diff(x) < 3) {
                continue;
            }
            taken = Some(x);
            let y = self.area.bottom() - 1 - (self.dot(round.gib_s) / self.down) as u16;
            buf[(x, y)]
                .set_symbol(self.scene.glyphs.round)
                .set_style(self.scene.theme.round);
        }
    }

    fn upright(&self, buf: &mut Buffer) {
        let theme = self.scene.theme;
        let x = self.area.x - 1;
        for y in self.area.top()..self.area.bottom() {
            buf[(x, y)]
                .set_symbol(self.scene.glyphs.upright[0])
                .set_style(theme.axis);
        }
        let width = usize::from(self.gutter - 1);
        let rows = usize::from(self.area.height);
        for (value, label) in self.axis.ticks() {
            let share = value / self.axis.top;
            let dot = (share * (rows * self.down - 1) as f64).round() as usize;
            let y = self.area.bottom() - 1 - (dot / self.down) as u16;
            buf.set_stringn(
                self.area.x - self.gutter,
                y,
                format!("{label:>width$}"),
                width,
                theme.muted,
            );
            buf[(x, y)]
                .set_symbol(self.scene.glyphs.upright[1])
                .set_style(theme.axis);
        }
    }

    /// The axis of time: which sizes were sent when, and when nothing is known.
    fn flat(&self, buf: &mut Buffer) {
        let theme = self.scene.theme;
        let glyphs = self.scene.glyphs;
        let y = self.area.bottom();
        if self.gutter > 0 {
            buf[(self.area.x - 1, y)]
                .set_symbol(glyphs.upright[2])
                .set_style(theme.axis);
            let left = self.area.x - self.gutter;
            let width = usize::from(self.gutter - 1);
            buf.set_stringn(left, y, self.unit.name(), width, theme.strong);
        }
        let end = self.x(self.scene.now).unwrap_or(self.area.right() - 1);
        let began = self.scene.model.throughput.points().front().map(|p| p.at);
        for x in self.area.left()..self.area.right() {
            let first = usize::from(x - self.area.x) * self.across;
            let known = self.reduced.columns[first..first + self.across]
                .iter()
                .any(Option::is_some);
            let at = self.reduced.time(first + self.across - 1);
            let gap = !known && x < end && began.is_some_and(|began| at > began);
            let (symbol, style) = if gap {
                (glyphs.flat[2], theme.gap)
            } else {
                (glyphs.flat[0], theme.axis)
            };
            buf[(x, y)].set_symbol(symbol).set_style(style);
        }
        self.sizes(buf, y, end);
    }

    /// The size of each stretch of the curve, written on the axis under it.
    fn sizes(&self, buf: &mut Buffer, y: u16, end: u16) {
        let theme = self.scene.theme;
        let model = self.scene.model;
        let first = model
            .rounds
            .partition_point(|round| round.at < self.reduced.from);
        let mut from = self.area.x;
        let begin = model.throughput.points().front().and_then(|p| self.x(p.at));
        from = from.max(begin.unwrap_or(from));
        for round in model.rounds.range(first..) {
            let Some(x) = self.x(round.at) else { break };
            self.size(buf, y, from, x, round.size);
            buf[(x, y)]
                .set_symbol(self.scene.glyphs.flat[1])
                .set_style(theme.axis);
            from = x + 1;
        }
        if let Some(size) = super::current_size(model) {
            self.size(buf, y, from, end + 1, size);
        }
    }

    fn size(&self, buf: &mut Buffer, y: u16, from: u16, to: u16, size: u64) {
        let room = usize::from(to.saturating_sub(from));
        let style = self.scene.theme.size(size_index(size));
        let (long, short) = (format::bytes(size), format::bytes_short(size));
        let text = if format::width(&long) + 4 <= room {
            format!(" {long} ")
        } else if format::width(&short) <= room {
            short
        } else {
            return;
        };
        let indent = (room - format::width(&text)) / 2;
        buf.set_string(from + indent as u16, y, text, style);
    }

    fn times(&self, buf: &mut Buffer) {
        let theme = self.scene.theme;
        let y = self.area.bottom() + 1;
        let span = self.reduced.step * self.reduced.columns.len() as u32;
        let labels = usize::from(self.area.width) / 10;
        let step = time_step(span, labels).as_micros() as u64;
        let mut at = self.reduced.from.0.div_ceil(step) * step;
        while let Some(x) = self.x(Time(at)) {
            let label = format::clock(Time(at));
            let width = format::width(&label) as u16;
            if x + width <= self.area.right() {
                buf.set_string(x, y, label, theme.muted);
                let cell = &mut buf[(x, y - 1)];
                if cell.symbol() == self.scene.glyphs.flat[0] {
                    cell.set_symbol(self.scene.glyphs.flat[3]);
                }
            }
            at += step;
        }
    }
}
