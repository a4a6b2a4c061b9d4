//! What only this screen knows: focus, scroll, filters, dialogs, the frozen
//! picture. It is never journaled.

use std::time::Duration;

use super::{
    bed::{BedUi, PowerUi},
    log::LogUi,
    pattern::Pattern,
};
use crate::core::{
    action::{Pane, Scope, Target},
    model::Model,
    time::Time,
    trial::{Fault, TrialId, Victim},
    workload::{Role, order::Order},
};

/// How long a notice stays on the screen.
pub const NOTICE_STAYS: Duration = Duration::from_secs(8);

/// Why nothing can be done while a recording is shown.
pub const REPLAYED: &str = "a replayed run";

/// The state of the screen.
#[derive(Debug, Clone)]
pub struct Ui {
    /// Which view is shown.
    pub place: Place,
    /// The view of Azure.
    pub bed: BedUi,
    /// The pane that keys go to.
    pub focus: Pane,
    /// The focused pane has the whole screen.
    pub zoomed: bool,
    /// What lies over the panes, if anything does.
    pub dialog: Option<Dialog>,
    /// The picture that is shown instead of the present, if it was frozen.
    pub frozen: Option<Box<Model>>,
    /// The list of pods.
    pub pods: ListUi,
    /// The log.
    pub log: LogUi,
    /// The list of trials.
    pub ledger: ListUi,
    /// How much time the curve shows; none is as much as there is.
    pub window: Option<Duration>,
    /// A fault was asked for, and no fact has answered yet.
    pub injecting: Option<TrialId>,
    /// How long a fault that lasts is to do so.
    pub lasts: Duration,
    /// What a deployment from here asks for.
    pub order: Order,
    /// What the last action had to say.
    pub notice: Option<Notice>,
    /// Nothing may be changed, and why: a flag, or a run that is only replayed.
    pub locked: Option<&'static str>,
    /// Rows that each pane has on the screen, as it was drawn last, indexed by
    /// `Pane as usize`.
    pub rows: [u16; 4],
    /// How much of the open dialog its lines take, as it was drawn last.
    pub room: Room,
    /// Where draws of lots come from.
    pub lots: Lots,
}

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Pods, throughput, log, ledger.
    Cockpit,
    /// What there is in Azure.
    Azure,
}

/// How far something scrolls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Lines on the screen at once.
    pub rows: u16,
    /// The furthest first line that leaves no empty rows.
    pub furthest: u16,
}

/// A message to the person at the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When it was said.
    pub at: Time,
    /// What.
    pub text: String,
    /// It says that something was not done.
    pub refusal: bool,
}

/// A list with a cursor and a filter.
#[derive(Debug, Clone, Default)]
pub struct ListUi {
    /// The row that is selected, among those that pass the filter.
    pub cursor: usize,
    /// The first row on the screen.
    pub offset: usize,
    /// The cursor stays on the last row while rows are added.
    pub follow: bool,
    /// What a row must match.
    pub filter: Pattern,
}

/// What lies over the panes.
#[derive(Debug, Clone)]
pub enum Dialog {
    /// The keys that work here.
    Help {
        /// First line shown.
        scroll: u16,
        /// The pane it was opened from.
        from: Pane,
    },
    /// Do anything by name.
    Palette {
        /// What was typed.
        typed: String,
        /// Which of the matches is selected.
        selected: usize,
    },
    /// Choose a fault and its victim.
    Fault(FaultMenu),
    /// Type a filter or a search.
    Prompt {
        /// What the text is for.
        purpose: Purpose,
        /// What was typed.
        typed: String,
        /// What it was before; Esc brings it back.
        before: String,
    },
    /// One pod in full.
    Pod {
        /// Its uid.
        uid: String,
        /// First line shown.
        scroll: u16,
    },
    /// One trial in full.
    Trial {
        /// Which.
        id: TrialId,
        /// First line shown.
        scroll: u16,
    },
    /// Azure.
    Azure(AzureUi),
    /// Whether the cluster is to be stopped or started.
    Power(PowerUi),
    /// Something in full.
    Facts {
        /// What.
        title: String,
        /// Names and values.
        facts: Vec<(String, String)>,
        /// First line shown.
        scroll: u16,
    },
    /// The workload's deployment.
    Deploy(DeployUi),
    /// The cockpit's own log.
    OwnLog,
}

/// The dialog about Azure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureUi {
    /// First line shown.
    pub scroll: u16,
    /// What was typed of the word that confirms, once it was asked for.
    pub typed: Option<String>,
}

/// The dialog about the workload's deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployUi {
    /// First line shown.
    pub scroll: u16,
    /// A run of its own is asked for.
    pub fresh: bool,
    /// Fields of others are taken over.
    pub force: bool,
    /// What was typed of the word that confirms, once it was asked for.
    pub typed: Option<String>,
}

/// What a typed text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Filter this pane's rows.
    Filter(Pane),
    /// Search the log.
    Search,
}

/// The fault menu.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultMenu {
    /// Whom it is aimed at.
    pub target: Target,
    /// Which fault is selected, an index into what is
    /// [offered](super::fault::offered).
    pub selected: usize,
    /// Chosen, but it hits more than what is ours: it must be confirmed.
    pub confirm: Option<Confirm>,
}

/// A question that stands before a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// What is to be done.
    pub fault: Fault,
    /// To whom.
    pub victim: Box<Victim>,
    /// When it was asked.
    pub asked: Time,
    /// What it takes to answer it.
    pub demand: Demand,
    /// What was typed of it.
    pub typed: String,
}

/// What it takes to confirm a fault: the more it hits, the more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// A key.
    Key,
    /// This name, typed.
    Name(String),
    /// It is not known yet what the fault would hit.
    Wait,
}

impl Default for FaultMenu {
    fn default() -> Self {
        Self {
            target: Target::Role(Role::Client),
            selected: 0,
            confirm: None,
        }
    }
}

/// A sequence of lots that its seed determines (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lots(pub u64);

impl Lots {
    /// The next lot.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of the two sides.
    pub const fn role(&mut self) -> Role {
        if self.draw() & 1 == 0 {
            Role::Client
        } else {
            Role::Server
        }
    }
}

impl Ui {
    /// A screen as it is at start; `seed` determines its draws of lots.
    pub fn new(seed: u64) -> Self {
        Self {
            place: Place::Cockpit,
            bed: BedUi::default(),
            focus: Pane::Throughput,
            zoomed: false,
            dialog: None,
            frozen: None,
            pods: ListUi::default(),
            log: LogUi::default(),
            ledger: ListUi {
                follow: true,
                ..ListUi::default()
            },
            window: Some(Duration::from_mins(1)),
            injecting: None,
            lasts: Fault::LASTS,
            order: Order::default(),
            notice: None,
            locked: None,
            rows: [0; 4],
            room: Room::default(),
            lots: Lots(seed),
        }
    }

    /// The picture that is shown: the frozen one, if there is one.
    pub fn shown<'a>(&'a self, live: &'a Model) -> &'a Model {
        self.frozen.as_deref().unwrap_or(live)
    }

    /// Takes in what changed in the model since the last call: must be called
    /// before [`update`](super::update) and before a frame is drawn.
    pub fn sync(&mut self, live: &Model) {
        if self
            .injecting
            .is_some_and(|id| live.ledger.get(id).is_some())
        {
            self.injecting = None;
        }
        if let Some(Dialog::Fault(FaultMenu {
            confirm: Some(confirm),
            ..
        })) = &mut self.dialog
        {
            confirm.demand = super::fault::demand(live, confirm);
        }
        let Self { frozen, log, .. } = self;
        let shown = frozen.as_deref().unwrap_or(live);
        log.sync(&shown.log);
        super::bed::sync(self, live);
        let shown = self.frozen.as_deref().unwrap_or(live);
        // A list whose cursor left the rows on the screen scrolls as far as it
        // must and stays there.
        let height = |pane: Pane| usize::from(self.rows[pane as usize]);
        let pods = super::pods_that_pass(&self.pods.filter, shown).count();
        let trials = shown.ledger.trials().len();
        self.pods.offset = self.pods.window(pods, height(Pane::Pods)).0.start;
        self.ledger.offset = self.ledger.window(trials, height(Pane::Ledger)).0.start;
    }

    /// The scopes in which a key is looked up, innermost first.
    pub fn scopes(&self) -> Vec<Scope> {
        match &self.dialog {
            None if self.place == Place::Azure => vec![Scope::AzureView, Scope::Global],
            None => vec![Scope::Pane(self.focus), Scope::Cockpit, Scope::Global],
            Some(_) if self.is_typing() => vec![Scope::Text],
            Some(Dialog::Fault(_)) => vec![Scope::Fault, Scope::Dialog],
            Some(Dialog::Azure(_)) => vec![Scope::Azure, Scope::Dialog],
            Some(Dialog::Deploy(_)) => vec![Scope::Deploy, Scope::Dialog],
            Some(_) => vec![Scope::Dialog],
        }
    }

    /// Whether printable keys are typed into a text.
    pub const fn is_typing(&self) -> bool {
        matches!(
            self.dialog,
            Some(
                Dialog::Palette { .. }
                    | Dialog::Power(_)
                    | Dialog::Prompt { .. }
                    | Dialog::Azure(AzureUi { typed: Some(_), .. })
                    | Dialog::Deploy(DeployUi { typed: Some(_), .. })
                    | Dialog::Fault(FaultMenu {
                        confirm: Some(Confirm {
                            demand: Demand::Name(_),
                            ..
                        }),
                        ..
                    })
            )
        )
    }

    /// The notice, while it is fresh.
    pub fn fresh_notice(&self, now: Time) -> Option<&Notice> {
        self.notice
            .as_ref()
            .filter(|notice| now.since(notice.at) < NOTICE_STAYS)
    }
}

impl ListUi {
    /// Moves the cursor by `by` rows in a list of `len`.
    pub fn step(&mut self, by: isize, len: usize) {
        self.to(self.cursor.saturating_add_signed(by), len);
    }

    /// Puts the cursor on row `row` of a list of `len`, or on its last.
    pub fn to(&mut self, row: usize, len: usize) {
        self.cursor = row.min(len.saturating_sub(1));
        self.follow = self.cursor + 1 >= len;
    }

    /// The rows of a list of `len` that a window of `height` rows shows, so that
    /// the cursor is among them, and the row of the cursor.
    pub fn window(&self, len: usize, height: usize) -> (std::ops::Range<usize>, usize) {
        let last = len.saturating_sub(1);
        let cursor = if self.follow {
            last
        } else {
            self.cursor.min(last)
        };
        let lowest = cursor.saturating_sub(height.saturating_sub(1));
        let offset = self
            .offset
            .clamp(lowest, cursor.max(lowest))
            .min(len.saturating_sub(height));
        (offset..len.min(offset + height), cursor)
    }
}
