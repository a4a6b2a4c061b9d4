//! The directories that stand in for a user's, and the environment that leads
//! a program there and nowhere else.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Directories that vanish with this value.
pub struct Folders {
    dir: TempDir,
}

impl Folders {
    /// Empty ones, under a name that begins so.
    pub fn new(prefix: &str) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir()?;
        for part in ["state", "config", "home", "tmp"] {
            fs::create_dir(dir.path().join(part))?;
        }
        Ok(Self { dir })
    }

    /// A place in them.
    pub fn path(&self, part: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(part)
    }

    /// What a program finds in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let of = |part: &str| self.path(part).display().to_string();
        vec![
            ("AKS_TUI_STATE".into(), of("state")),
            ("AKS_TUI_CONFIG".into(), of("config")),
            ("HOME".into(), of("home")),
            ("TMPDIR".into(), of("tmp")),
            ("PATH".into(), env::var("PATH").unwrap_or_default()),
            ("TERM".into(), "xterm-256color".into()),
            ("COLORTERM".into(), "truecolor".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ]
    }
}
