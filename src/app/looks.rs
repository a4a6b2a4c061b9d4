//! How the screen looks and obeys, as the command line and the user's files
//! say.

use crate::ui::{
    keymap::Keymap,
    theme::{ColorDepth, Theme},
    view::View,
};
use crate::{cli::LooksArgs, config};

/// How the screen looks and obeys.
pub struct Looks {
    /// Draws.
    pub view: View,
    /// What keys mean.
    pub keymap: Keymap,
    /// Frames a second that data may cause.
    pub fps: u16,
}

impl Looks {
    /// Loads theme and keymap.
    ///
    /// # Errors
    /// A name is not known or a file is wrong; the error says where and what.
    pub fn load(args: &LooksArgs) -> color_eyre::Result<Self> {
        let dir = config::config_dir();
        let keymap = Keymap::load(args.keymap.as_deref(), dir.as_deref())?;
        let theme = Theme::load(
            args.theme.as_deref(),
            dir.as_deref(),
            ColorDepth::detect(|name| std::env::var(name).ok()),
        )?;
        Ok(Self {
            view: View::new(theme, &keymap, args.ascii),
            keymap,
            fps: args.fps,
        })
    }
}
