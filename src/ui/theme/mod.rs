//! What a meaning looks like.
//!
//! Panes ask for meanings (`good`, `client`, `replayed`), never for colours. A
//! theme file gives each meaning a style; what a user's file leaves out comes
//! from the theme that it `extends`. Loading converts every colour to what the
//! terminal can show, and colour never carries a meaning alone, so that a
//! terminal without any still tells everything.

mod colour;
mod file;

use std::path::Path;

use ratatui::style::{Color, Modifier, Style};

pub use self::colour::ColorDepth;
use super::config::{ConfigError, Kind};

/// The themes that are built in, and where users keep their own.
pub const KIND: Kind = Kind {
    what: "theme",
    folder: "themes",
    embedded: &[
        ("midnight", include_str!("../../../themes/midnight.yaml")),
        ("daylight", include_str!("../../../themes/daylight.yaml")),
        (
            "high-contrast",
            include_str!("../../../themes/high-contrast.yaml"),
        ),
        ("ansi16", include_str!("../../../themes/ansi16.yaml")),
    ],
};

/// The theme that is used where nothing says otherwise.
pub const DEFAULT: &str = "midnight";

/// The theme for terminals whose sixteen colours are the user's own choice.
pub const PLAIN: &str = "ansi16";

/// How many message sizes have a colour of their own: 64 KiB down to 16 bytes.
pub const SIZES: usize = 13;

macro_rules! slots {
    ($($(#[doc = $doc:literal])+ $slot:ident,)+) => {
        /// A style for every meaning.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Theme {
            /// Its name, as `--theme` takes it.
            pub name: String,
            /// What it is like, in a few words.
            pub about: String,
            $($(#[doc = $doc])+ pub $slot: Style,)+
            /// The curve at each message size, the largest first.
            pub sizes: [Style; SIZES],
            /// The area under the curve at each message size.
            pub areas: [Style; SIZES],
        }

        /// The name of every slot and what it is for.
        pub const SLOTS: &[(&str, &str)] = &[
            $((stringify!($slot), concat!($($doc),+)),)+
            ("sizes", " The curve at each message size, the largest first: 13 styles."),
        ];

        impl Theme {
            /// A theme without any style.
            fn blank(name: &str) -> Self {
                Self {
                    name: name.to_owned(),
                    about: String::new(),
                    $($slot: Style::new(),)+
                    sizes: [Style::new(); SIZES],
                    areas: [Style::new(); SIZES],
                }
            }

            /// The style of a slot by its name.
            fn slot(&mut self, name: &str) -> Option<&mut Style> {
                match name {
                    $(stringify!($slot) => Some(&mut self.$slot),)+
                    _ => None,
                }
            }

            /// Every style there is, with whether it stands back.
            fn styles(&mut self) -> impl Iterator<Item = (&'static str, &mut Style)> {
                [$((stringify!($slot), &mut self.$slot),)+]
                    .into_iter()
                    .chain(self.sizes.iter_mut().map(|style| ("sizes", style)))
                    .chain(self.areas.iter_mut().map(|style| ("areas", style)))
            }
        }
    };
}

slots! {
    /// The whole screen: plain text on its background.
    screen,
    /// What is there if one looks for it: units, labels, hints.
    muted,
    /// What is hardly there: rules, the frames of panes without the focus.
    faint,
    /// The frame of the pane that has the focus.
    focus,
    /// The title of a pane.
    title,
    /// The title of the pane that has the focus.
    title_focus,
    /// What matters most: the figure of now, a name.
    strong,
    /// A key that works here.
    key,
    /// The row under the cursor.
    selected,
    /// The header line.
    header,
    /// The footer line.
    footer,
    /// A dialog over the panes.
    dialog,
    /// The frame of a dialog.
    dialog_frame,
    /// Well: ready, survived, live.
    good,
    /// Odd, not broken: starting, held back, stale.
    warn,
    /// Broken: down, lost, refused.
    bad,
    /// A badge that must not be overlooked: stale, frozen, read-only.
    badge,
    /// The client and what it says.
    client,
    /// The server and what it says.
    server,
    /// The axes of the curve and their labels.
    axis,
    /// A round that ended: an exact measurement on the curve.
    round,
    /// The moment of a fault on the curve.
    fault,
    /// The moment of a recovery on the curve.
    recovered,
    /// Time in which nothing is known, on the axis of the curve.
    gap,
    /// A phase of a recovery: until the death was seen.
    detect,
    /// A phase of a recovery: held back by the node.
    backoff,
    /// A phase of a recovery: until a new execution ran.
    restart,
    /// A phase of a recovery: until it was ready.
    ready,
    /// A phase of a recovery: until new work was done.
    recover,
    /// A log line with a round's throughput.
    log_round,
    /// A log line that moves the story on: recovered, total, done.
    log_milestone,
    /// A log line of a broken promise.
    log_alarm,
    /// A log line that repeats what was printed before a kill.
    log_replayed,
    /// Where one execution ends and the next begins, in the log.
    log_seam,
    /// The node's time before a log line.
    log_time,
    /// What a search found.
    found,
}

/// Slots that stand back even where there is no colour to say so.
const BACKGROUND: [&str; 7] = [
    "muted",
    "faint",
    "axis",
    "areas",
    "log_replayed",
    "log_time",
    "footer",
];

impl Theme {
    /// The theme called `name`, or the one in the file at that path, for a
    /// terminal with these colours. Without a name: the one that suits the
    /// terminal.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong there: an unknown slot,
    /// colour or theme (with the nearest valid one).
    pub fn load(
        name: Option<&str>,
        config: Option<&Path>,
        depth: ColorDepth,
    ) -> Result<Self, ConfigError> {
        let name = name.unwrap_or(match depth {
            ColorDepth::Ansi16 => PLAIN,
            _ => DEFAULT,
        });
        let mut theme = file::read(&KIND.find(name, config)?, config)?;
        theme.shade();
        theme.convert(depth);
        Ok(theme)
    }

    /// The theme as a file that [`Theme::load`] reads: every slot with what it
    /// is for.
    pub fn to_yaml(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("about: {:?}\n", self.about);
        let mut copy = self.clone();
        for (slot, about) in SLOTS {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n#{}", about.replace("  ", " "));
            if let Some(style) = copy.slot(slot) {
                let _ = writeln!(text, "{slot}: {:?}", colour::write(*style));
            }
        }
        text.push_str("sizes:\n");
        for style in &self.sizes {
            let _ = writeln!(text, "  - {:?}", colour::write(*style));
        }
        text
    }

    /// The style of a curve at the message size with this index, counted from
    /// the largest; sizes beyond the last begin again.
    pub const fn size(&self, index: usize) -> Style {
        self.sizes[index % SIZES]
    }

    /// The style of the area under [`Theme::size`].
    pub const fn area(&self, index: usize) -> Style {
        self.areas[index % SIZES]
    }

    /// The area under the curve is the curve's colour, nearer to the screen's.
    fn shade(&mut self) {
        let ground = self.screen.bg;
        for (area, line) in self.areas.iter_mut().zip(&self.sizes) {
            *area = match (line.fg, ground) {
                (Some(Color::Rgb(r, g, b)), Some(Color::Rgb(r0, g0, b0))) => {
                    let mix =
                        |near: u8, far: u8| ((u16::from(near) * 2 + u16::from(far) * 3) / 5) as u8;
                    Style::new().fg(Color::Rgb(mix(r, r0), mix(g, g0), mix(b, b0)))
                }
                _ => line
                    .remove_modifier(Modifier::BOLD)
                    .add_modifier(Modifier::DIM),
            };
        }
    }

    fn convert(&mut self, depth: ColorDepth) {
        for (slot, style) in self.styles() {
            *style = colour::convert(*style, depth);
            if depth == ColorDepth::None {
                if BACKGROUND.contains(&slot) {
                    *style = style.add_modifier(Modifier::DIM);
                }
                if matches!(slot, "bad" | "fault" | "log_alarm" | "strong" | "key") {
                    *style = style.add_modifier(Modifier::BOLD);
                }
            }
        }
        if depth == ColorDepth::None {
            // Its ground is all of the screen: reversed, it would shout.
            for plain in [
                &mut self.screen,
                &mut self.header,
                &mut self.footer,
                &mut self.dialog,
            ] {
                *plain = plain.remove_modifier(Modifier::REVERSED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn user(text: &str) -> Result<Theme, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        fs::write(&file, text).unwrap();
        Theme::load(file.to_str(), None, ColorDepth::True).map_err(|error| {
            let shown = error.to_string();
            shown.split_once("mine.yaml").unwrap().1.to_owned()
        })
    }

    #[test]
    fn every_embedded_theme_fills_every_slot() {
        for (name, _) in KIND.embedded {
            let mut theme = Theme::load(Some(name), None, ColorDepth::True).unwrap();
            assert_eq!(theme.name, *name);
            assert!(!theme.about.is_empty(), "{name}");
            for (slot, style) in theme.styles() {
                assert_ne!(*style, Style::new(), "{name}: {slot}");
            }
        }
    }

    #[test]
    fn a_theme_that_is_written_is_read_back() {
        for (name, _) in KIND.embedded {
            let mut theme = Theme::load(Some(name), None, ColorDepth::True).unwrap();
            let read = user(&theme.to_yaml()).unwrap();
            theme.name.clone_from(&read.name);
            assert_eq!(read, theme);
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        for (name, _) in KIND.embedded {
            let mut theme = Theme::load(Some(name), None, ColorDepth::None).unwrap();
            for (slot, style) in theme.styles() {
                assert_eq!((style.fg, style.bg), (None, None), "{name}: {slot}");
            }
            assert!(theme.selected.add_modifier.contains(Modifier::REVERSED));
        }
    }

    #[test]
    fn each_depth_keeps_to_its_colours() {
        for (depth, fits) in [
            (
                ColorDepth::Ansi16,
                (|c| !matches!(c, Color::Rgb(..) | Color::Indexed(_))) as fn(Color) -> bool,
            ),
            (ColorDepth::Ansi256, |c| !matches!(c, Color::Rgb(..))),
        ] {
            for (name, _) in KIND.embedded {
                let mut theme = Theme::load(Some(name), None, depth).unwrap();
                for (slot, style) in theme.styles() {
                    let colours = [style.fg, style.bg];
                    assert!(
                        colours.into_iter().flatten().all(fits),
                        "{name}: {slot} at {depth:?}: {style:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_users_theme_changes_what_it_names() {
        let theme = user("extends: daylight\ngood: \"bold #00ff00 on 17\"\n").unwrap();
        let daylight = Theme::load(Some("daylight"), None, ColorDepth::True).unwrap();
        assert_eq!(
            theme.good,
            Style::new()
                .fg(Color::Rgb(0, 255, 0))
                .bg(Color::Indexed(17))
                .add_modifier(Modifier::BOLD)
        );
        assert_eq!(theme.screen, daylight.screen);
        assert_eq!(theme.name, "mine");
    }

    #[test]
    fn mistakes_are_answered_with_the_place_and_the_nearest_name() {
        let error = |text| user(text).unwrap_err();
        assert_eq!(
            error("about: mine\ngod: red\n"),
            ":2:1: no slot is called `god`; the nearest is `good`"
        );
        assert_eq!(
            error("good: bold gren\n"),
            ":1:7: good: no colour or modifier is called `gren`; the nearest is `green`"
        );
        assert_eq!(
            error("good: '#12345'\n"),
            ":1:7: good: `#12345` is no colour: write # and six hexadecimal digits"
        );
        assert_eq!(
            error("extends: midnigth\n"),
            ":1:10: extends: no theme is called `midnigth`; the nearest is `midnight`"
        );
        assert_eq!(
            error("good: red\ngood: blue\n"),
            ":2:1: `good` is listed twice"
        );
        assert_eq!(
            error("about: x\ngood: bold #00ff00\n"),
            ":2:12: put the style in quotes: YAML reads `#00ff00` as a comment"
        );
        assert_eq!(
            error("sizes: [red]\n"),
            ":1:8: sizes: `sizes` needs 13 styles, one a message size; these are 1"
        );
    }
}
