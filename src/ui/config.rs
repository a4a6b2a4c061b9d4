//! Files that people write: where they are found, and errors that point into
//! them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// What is wrong with a keymap or theme, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the name of an embedded one.
    pub file: String,
    /// Line and column, both from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// An error about a file as a whole.
    pub fn whole(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            place: None,
            what: what.into(),
        }
    }

    /// What the YAML reader found, as an error that points into `file`.
    pub fn in_yaml(file: &str, error: &serde_yaml::Error) -> Self {
        let place = error.location().map(|at| (at.line(), at.column()));
        let mut what = error.to_string();
        if let Some((line, column)) = place {
            // The place stands in front already.
            let tail = format!(" at line {line} column {column}");
            what = what.replace(&tail, "");
        }
        Self {
            file: file.to_owned(),
            place,
            what,
        }
    }
}

/// The valid name that is nearest to a misspelt one.
pub fn nearest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    valid
        .into_iter()
        .min_by_key(|valid| strsim::damerau_levenshtein(&name, valid))
}

/// "no X is called `name`", with the nearest valid name.
pub fn unknown<'a>(what: &str, name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = nearest(name, valid)
        .map(|nearest| format!("; the nearest is `{nearest}`"))
        .unwrap_or_default();
    format!("no {what} is called `{name}`{nearest}")
}

/// A kind of file that is embedded and may be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What errors call one: `keymap`.
    pub what: &'static str,
    /// The folder under the configuration directory: `keymaps`.
    pub folder: &'static str,
    /// Names and texts of the embedded ones.
    pub embedded: &'static [(&'static str, &'static str)],
}

/// A text, and what to call it in errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name without folder and extension.
    pub name: String,
    /// What errors call it.
    pub file: String,
    /// The text.
    pub text: String,
}

impl Kind {
    /// The file that `name` means: a path if it looks like one, else the user's
    /// `<config>/<folder>/<name>.yaml`, else the embedded one of that name.
    pub fn find(self, name: &str, config: Option<&Path>) -> Result<Source, ConfigError> {
        let path = Path::new(name);
        let is_yaml = |extension: &std::ffi::OsStr| extension == "yaml" || extension == "yml";
        if name.contains(['/', '\\']) || path.extension().is_some_and(is_yaml) {
            return read(path)?.ok_or_else(|| ConfigError::whole(name, "there is no such file"));
        }
        if let Some(source) = self.user_file(name, config)? {
            return Ok(source);
        }
        self.embedded(name).ok_or_else(|| {
            let names = self.names(config);
            ConfigError::whole(
                self.folder,
                unknown(self.what, name, names.iter().map(String::as_str)),
            )
        })
    }

    /// The user's own file of this name, if there is one.
    pub fn user_file(
        self,
        name: &str,
        config: Option<&Path>,
    ) -> Result<Option<Source>, ConfigError> {
        let Some(config) = config else {
            return Ok(None);
        };
        read(&config.join(self.folder).join(format!("{name}.yaml")))
    }

    /// The embedded file of this name.
    pub fn embedded(self, name: &str) -> Option<Source> {
        let (name, text) = self.embedded.iter().find(|(known, _)| *known == name)?;
        Some(Source {
            name: (*name).to_owned(),
            file: format!("{}/{name}.yaml (built in)", self.folder),
            text: (*text).to_owned(),
        })
    }

    /// All names there are: the embedded ones, then the user's own.
    pub fn names(self, config: Option<&Path>) -> Vec<String> {
        let mut names: Vec<_> = self
            .embedded
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let folder = config.map(|config| config.join(self.folder));
        let mut own: Vec<_> = folder
            .and_then(|folder| fs::read_dir(folder).ok())
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .filter(|name| !names.contains(name))
            .collect();
        own.sort_unstable();
        names.extend(own);
        names
    }
}

fn read(path: &Path) -> Result<Option<Source>, ConfigError> {
    let file = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Source {
            name: PathBuf::from(path)
                .file_stem()
                .map_or_else(|| file.clone(), |stem| stem.to_string_lossy().into_owned()),
            file,
            text,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::whole(file, format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_slips() {
        let names = ["midnight", "daylight", "high-contrast"];
        assert_eq!(nearest("midnigth", names), Some("midnight"));
        assert_eq!(nearest("Daylihgt", names), Some("daylight"));
        assert_eq!(nearest("x", []), None);
    }
}
