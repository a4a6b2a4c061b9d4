//! Which pane stands where, and what a click there means.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::azure::Lists;
use crate::core::{
    action::{Action, Pane},
    update::ui::{Room, Ui},
};

/// Rows that one step of the wheel scrolls.
const WHEEL: i16 = 3;

/// From this width on, panes stand in two columns.
const TWO_COLUMNS: u16 = 160;

/// From this size on, panes have a frame and their lists a heading.
const BOXED: (u16, u16) = (90, 28);

/// Where things are on the screen, as it was drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The panes that fit, in the order of [`Pane::ALL`].
    pub panes: Vec<PaneArea>,
    /// The lists of the view of Azure, if that is shown.
    pub azure: Option<Lists>,
    /// The dialog that lies over them.
    pub dialog: Option<Rect>,
    /// How far the dialog can scroll.
    pub room: Room,
    /// Places that do something when clicked: the footer's hints.
    pub buttons: Vec<(Rect, Action)>,
}

/// Where a pane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaneArea {
    /// Which.
    pub pane: Pane,
    /// All of it.
    pub area: Rect,
    /// The rows of its list, or of its curve.
    pub rows: Rect,
}

impl Layout {
    /// Tells the state of the screen how many rows there are to scroll in: to
    /// be called after each draw.
    pub fn store(&self, ui: &mut Ui) {
        ui.rows = [0; 4];
        for pane in &self.panes {
            ui.rows[pane.pane as usize] = pane.rows.height;
        }
        ui.room = self.room;
        if let Some(lists) = self.azure {
            ui.bed.rows = [lists.things.height, lists.activity.height];
        }
    }

    /// What a mouse event asks for.
    pub fn action_at(&self, event: MouseEvent) -> Option<Action> {
        let at = Position::new(event.column, event.row);
        let wheel = match event.kind {
            MouseEventKind::ScrollUp => Some(-WHEEL),
            MouseEventKind::ScrollDown => Some(WHEEL),
            MouseEventKind::Down(MouseButton::Left) => None,
            _ => return None,
        };
        if let (None, Some((_, action))) = (
            wheel,
            self.buttons.iter().find(|(area, _)| area.contains(at)),
        ) {
            return Some(*action);
        }
        if let Some(dialog) = self.dialog {
            return match wheel {
                // The dialog scrolls, whichever pane lies beneath.
                Some(by) => Some(Action::Scroll(Pane::Log, by)),
                None if dialog.contains(at) => None,
                None => Some(Action::Back),
            };
        }
        if let Some(lists) = self.azure {
            return in_azure(lists, at, wheel);
        }
        let PaneArea { pane, rows, .. } = *self.panes.iter().find(|pane| pane.area.contains(at))?;
        Some(match wheel {
            Some(by) => Action::Scroll(pane, by),
            None if rows.contains(at) => Action::Select(pane, at.y - rows.y),
            None => Action::Focus(pane),
        })
    }
}

/// What the wheel or a click asks for in the view of Azure.
fn in_azure(lists: Lists, at: Position, wheel: Option<i16>) -> Option<Action> {
    match wheel {
        Some(by) => Some(if by < 0 { Action::Up } else { Action::Down }),
        None if lists.things.contains(at) => {
            Some(Action::SelectInAzure(false, at.y - lists.things.y))
        }
        None if lists.activity.contains(at) => {
            Some(Action::SelectInAzure(true, at.y - lists.activity.y))
        }
        None => None,
    }
}

/// How the panes share the screen.
#[derive(Debug)]
pub(super) struct Arrangement {
    /// Panes have frames, not only a rule above them.
    pub boxed: bool,
    /// The panes that fit, and where.
    pub panes: Vec<(Pane, Rect)>,
}

/// How much a pane needs and would like, in rows, its surroundings included.
struct Need {
    pane: Pane,
    /// Below this it tells nothing.
    least: u16,
    /// With this it tells everything that is always there to tell.
    good: u16,
    /// Its share of what is left over.
    share: u16,
}

/// Divides `body` among the panes.
pub(super) fn arrange(body: Rect, ui: &Ui, pods: usize, trials: usize) -> Arrangement {
    let boxed = body.width >= BOXED.0 && body.height >= BOXED.1;
    if ui.zoomed {
        return Arrangement {
            boxed,
            panes: vec![(ui.focus, body)],
        };
    }
    let chrome = if boxed { 3 } else { 1 };
    let few = |rows: usize, most: u16| u16::try_from(rows).unwrap_or(most).clamp(1, most.max(1));
    let quarter = body.height / 4;
    let need = |pane| match pane {
        Pane::Pods => Need {
            pane,
            least: chrome + 1,
            good: chrome + few(pods.max(2), quarter),
            share: 0,
        },
        Pane::Throughput => Need {
            pane,
            least: chrome + 4,
            good: chrome + 6,
            share: 3,
        },
        Pane::Log => Need {
            pane,
            least: chrome + 1,
            good: chrome + 3,
            share: 2,
        },
        Pane::Ledger => Need {
            pane,
            least: chrome + 1,
            good: chrome + few(trials.max(3), quarter.min(6)),
            share: 0,
        },
    };
    let mut panes = if body.width >= TWO_COLUMNS {
        let left = body.width * 29 / 50;
        let [left, right] = [
            Rect {
                width: left,
                ..body
            },
            Rect {
                x: body.x + left,
                width: body.width - left,
                ..body
            },
        ];
        // With a column of its own there is room for a long ledger.
        let ledger = Need {
            share: 1,
            ..need(Pane::Ledger)
        };
        let column = vec![need(Pane::Pods), need(Pane::Throughput), ledger];
        let mut panes = stack(left, ui.focus, column);
        panes.extend(stack(right, ui.focus, vec![need(Pane::Log)]));
        panes
    } else {
        stack(body, ui.focus, Pane::ALL.map(need).into())
    };
    panes.sort_by_key(|(pane, _)| *pane);
    Arrangement { boxed, panes }
}

/// Stacks the panes that fit into `area`, the most important first to be served.
fn stack(area: Rect, focus: Pane, mut needs: Vec<Need>) -> Vec<(Pane, Rect)> {
    const IMPORTANCE: [Pane; 4] = [Pane::Throughput, Pane::Ledger, Pane::Pods, Pane::Log];
    let rank = |pane: Pane| {
        let rank = IMPORTANCE.iter().position(|p| *p == pane);
        (pane != focus, rank)
    };
    needs.sort_by_key(|need| rank(need.pane));
    let mut left = area.height;
    let mut rows: Vec<(Need, u16)> = Vec::new();
    for need in needs {
        if need.least <= left {
            left -= need.least;
            let least = need.least;
            rows.push((need, least));
        } else if rows.is_empty() && left > 0 {
            // Not enough for anything: what has the focus takes it all.
            rows.push((need, left));
            left = 0;
        }
    }
    for (need, has) in &mut rows {
        let more = need.good.saturating_sub(*has).min(left);
        *has += more;
        left -= more;
    }
    let mut shares: u16 = rows.iter().map(|(need, _)| need.share).sum();
    for (need, has) in &mut rows {
        if need.share > 0 {
            let more = (u32::from(left) * u32::from(need.share) / u32::from(shares)) as u16;
            *has += more;
            left -= more;
            shares -= need.share;
        }
    }
    if let Some((_, has)) = rows.first_mut() {
        *has += left;
    }
    rows.sort_by_key(|(need, _)| need.pane);
    let mut y = area.y;
    rows.into_iter()
        .map(|(need, height)| {
            let pane = Rect { y, height, ..area };
            y += height;
            (need.pane, pane)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;
    use crate::core::update::ui::{Dialog, Ui};

    fn heights(width: u16, height: u16, focus: Pane) -> Vec<(Pane, u16)> {
        let mut ui = Ui::new(0);
        ui.focus = focus;
        arrange(Rect::new(0, 1, width, height), &ui, 2, 1)
            .panes
            .into_iter()
            .map(|(pane, area)| (pane, area.height))
            .collect()
    }

    #[test]
    fn a_small_screen_shows_the_whole_story() {
        let panes = heights(80, 22, Pane::Throughput);
        assert_eq!(panes.len(), 4);
        assert_eq!(panes.iter().map(|(_, height)| height).sum::<u16>(), 22);
        assert!(panes[1].1 >= 8, "{panes:?}");
    }

    #[test]
    fn the_pane_with_the_focus_is_always_there() {
        for height in 1..12 {
            for pane in Pane::ALL {
                let panes = heights(40, height, pane);
                assert!(panes.iter().any(|(p, _)| *p == pane), "{height}: {panes:?}");
            }
        }
    }

    #[test]
    fn panes_cover_the_screen_without_overlapping() {
        for width in [1, 80, 120, 160, 240] {
            for height in 1..60 {
                let body = Rect::new(0, 1, width, height);
                let panes = arrange(body, &Ui::new(0), 3, 9).panes;
                let cells: u32 = panes.iter().map(|(_, area)| area.area()).sum();
                assert!(cells <= body.area());
                for (i, (_, a)) in panes.iter().enumerate() {
                    assert_eq!(a.intersection(body), *a);
                    assert!(panes[i + 1..].iter().all(|(_, b)| !a.intersects(*b)));
                }
            }
        }
    }

    #[test]
    fn a_click_selects_and_the_wheel_scrolls() {
        let area = Rect::new(0, 1, 80, 5);
        let layout = Layout {
            panes: vec![PaneArea {
                pane: Pane::Pods,
                area,
                rows: Rect::new(0, 2, 80, 4),
            }],
            buttons: vec![(Rect::new(0, 9, 5, 1), Action::Help)],
            ..Layout::default()
        };
        let event = |kind, column, row| MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        let left = MouseEventKind::Down(MouseButton::Left);
        assert_eq!(
            layout.action_at(event(left, 3, 4)),
            Some(Action::Select(Pane::Pods, 2))
        );
        assert_eq!(
            layout.action_at(event(left, 3, 1)),
            Some(Action::Focus(Pane::Pods))
        );
        assert_eq!(layout.action_at(event(left, 2, 9)), Some(Action::Help));
        assert_eq!(
            layout.action_at(event(MouseEventKind::ScrollDown, 3, 4)),
            Some(Action::Scroll(Pane::Pods, 3))
        );
        assert_eq!(layout.action_at(event(MouseEventKind::Moved, 3, 4)), None);

        let over = Layout {
            dialog: Some(Rect::new(10, 2, 20, 3)),
            ..layout
        };
        assert_eq!(over.action_at(event(left, 3, 4)), Some(Action::Back));
        assert_eq!(over.action_at(event(left, 12, 3)), None);
        let mut ui = Ui::new(0);
        ui.dialog = Some(Dialog::OwnLog);
        over.store(&mut ui);
        assert_eq!(ui.rows[Pane::Pods as usize], 4);
    }
}
