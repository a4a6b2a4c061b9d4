//! The curve: throughput over time, gaps and all.
//!
//! The samples are reduced to the columns on the screen ([`reduce`]), put on
//! axes with round numbers ([`scale`]) and drawn as dots ([`plot`]). Beside the
//! curve, where there is room, stands the figure of now in large digits.

mod digits;
mod plot;
mod reduce;
mod scale;
mod side;

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use self::{plot::Plot, reduce::Reduced};
use super::{Scene, chrome, header, pack::Part, pods::broken};
use crate::{
    core::{
        action::{Action, Pane},
        event::{Feed, FeedState},
        model::Model,
        time::Time,
        workload::{LARGEST_MESSAGE, Role, next_size},
    },
    ui::format,
};

/// Columns that the figures beside the curve take.
const SIDE: u16 = 27;

/// From this size on there is room for figures beside the curve.
const ROOM_FOR_SIDE: (u16, u16) = (96, 8);

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    let span = reduce::span(scene.model, scene.ui.window, scene.now);
    let beside = area.width >= ROOM_FOR_SIDE.0 && area.height >= ROOM_FOR_SIDE.1;
    let inner = chrome::frame(
        scene,
        buf,
        area,
        Pane::Throughput,
        told(scene, span, beside),
    );
    if inner.is_empty() {
        return inner;
    }
    if scene.model.throughput.points().is_empty() && scene.model.rounds.is_empty() {
        if scene.model.nowhere.is_some() {
            chrome::sentence(scene, buf, inner, &way(scene));
        } else {
            chrome::sentence(scene, buf, inner, &[waiting(scene)]);
        }
        return inner;
    }
    let curve = if beside {
        Rect {
            width: inner.width - SIDE,
            ..inner
        }
    } else {
        inner
    };
    let reduced = Reduced::new(scene, span, plot::columns(scene, curve));
    Plot::new(scene, curve, &reduced).draw(buf);
    if beside {
        let side = Rect {
            x: curve.right() + 1,
            width: SIDE - 1,
            ..inner
        };
        side::draw(scene, buf, side, &reduced);
    }
    inner
}

/// What the title tells: how it is now, and how much time is shown.
fn told<'a>(scene: &Scene<'a>, span: (Time, Time), beside: bool) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let mut told = Vec::new();
    let done = scene.model.side(Role::Client).done;
    if !beside
        && !done
        && let Some(gib_s) = scene.model.throughput.now()
    {
        told.push(Part::text(1, 80, format::throughput(gib_s), theme.strong));
        told.push(Part::text(1, 60, messages(scene.model), theme.muted));
    }
    let shown = span.1.since(span.0).as_secs();
    let text = match scene.ui.window {
        None => "all of the run".into(),
        Some(_) if shown < 60 => format!("last {shown} s"),
        Some(_) if shown < 3_600 => format!("last {} min", shown / 60),
        Some(_) => format!("last {} h", shown / 3_600),
    };
    told.push(Part::text(2, 40, text, theme.muted));
    if let Some((why, _)) = broken(scene, Feed::Log(Role::Client)) {
        let first = why.split(':').next().unwrap_or(why);
        told.push(Part::text(3, 90, format!("stale: {first}"), theme.bad));
    } else if done {
        told.push(Part::text(3, 70, "the run is done", theme.good));
    } else if scene.model.finishing.is_some() {
        told.push(Part::text(3, 70, "last round", theme.warn));
    }
    told
}

/// Which messages are being sent: `64 KiB messages`.
fn messages(model: &Model) -> String {
    match current_size(model) {
        Some(size) => format!("{} messages", format::bytes(size)),
        None => "the first round".into(),
    }
}

/// The message size of the round that is going on: the one that follows the
/// last round, or the same where sizes do not descend. Unknown in the first.
fn current_size(model: &Model) -> Option<u64> {
    let rounds = &model.rounds;
    let last = rounds.back()?.size;
    let before = rounds.len().checked_sub(2).map(|i| rounds[i].size);
    if before == Some(last) {
        return Some(last);
    }
    let first = rounds
        .iter()
        .map(|round| round.size)
        .max()
        .unwrap_or(LARGEST_MESSAGE);
    Some(next_size(last, first))
}

/// The style index of a message size: 64 KiB is 0, and each half of it one
/// more.
fn size_index(size: u64) -> usize {
    (LARGEST_MESSAGE.ilog2().saturating_sub(size.max(1).ilog2())) as usize
}

/// What to do where there is nothing yet, from a test bed to its end.
fn way(scene: &Scene<'_>) -> [Line<'static>; 4] {
    [
        (
            Action::AzurePlan,
            "Plan",
            "plans a test bed in Azure, and makes it",
        ),
        (Action::Deploy, "Deploy", "deploys the workload on it"),
        (
            Action::FaultMenu,
            "Break",
            "breaks it, and its recovery is measured",
        ),
        (
            Action::AzureClean,
            "Clean up",
            "cleans up, until nothing is left",
        ),
    ]
    .map(|(action, alone, does)| Line::raw(chrome::by_key(scene, action, alone, does)))
}

/// Why there is no curve yet.
fn waiting<'a>(scene: &Scene<'a>) -> Line<'a> {
    if let Some((why, retry_in)) = broken(scene, Feed::Log(Role::Client)) {
        return header::trouble_line(scene, why, retry_in);
    }
    let spinner = scene.glyphs.spinner(scene.clock);
    let ellipsis = scene.glyphs.ellipsis;
    let what = match scene
        .model
        .feed(Feed::Log(Role::Client))
        .map(|feed| &feed.state)
    {
        Some(FeedState::Waiting { what }) => format!("waiting for the client's log: {what}"),
        Some(FeedState::Live) => "waiting for the client's first progress line".into(),
        _ => "waiting for the client's log".into(),
    };
    Line::raw(format!("{spinner} {what}{ellipsis}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::series::RoundMark;

    fn with_rounds(sizes: &[u64]) -> Model {
        let mut model = Model::default();
        model.rounds.extend(sizes.iter().map(|size| RoundMark {
            at: Time::ZERO,
            size: *size,
            gib_s: 0.4,
        }));
        model
    }

    #[test]
    fn the_size_of_the_present_round_is_foretold() {
        assert_eq!(current_size(&with_rounds(&[])), None);
        assert_eq!(current_size(&with_rounds(&[65_536])), Some(32_768));
        assert_eq!(current_size(&with_rounds(&[65_536, 32, 16])), Some(65_536));
        // Sizes that do not descend stay.
        assert_eq!(current_size(&with_rounds(&[4096, 4096])), Some(4096));
    }

    #[test]
    fn every_size_has_its_own_colour() {
        assert_eq!(size_index(65_536), 0);
        assert_eq!(size_index(32_768), 1);
        assert_eq!(size_index(16), 12);
        assert_eq!(size_index(1 << 30), 0);
        assert_eq!(size_index(0), 16);
    }
}
