//! `aks-tui.yaml`, found, read and held against its rules.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use super::{
    config_dir, fields,
    place::{Located, Node, Place, place},
};
use crate::{
    core::azure::{check, settings::Settings},
    ui::config::{ConfigError, nearest},
};

/// The file's name.
pub const NAME: &str = "aks-tui.yaml";

/// The file that is meant: `given`, else the one in this directory, else the one
/// in the configuration directory.
pub fn find(given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let here = PathBuf::from(NAME);
    let own = config_dir().map(|dir| dir.join(NAME));
    [Some(here), own]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            ConfigError::whole(
                NAME,
                "there is no such file here or in the configuration directory: \
                 `aks-tui init` writes one, `--config FILE` names another",
            )
        })
}

/// Reads and checks the file at `path`.
pub fn load(path: &Path) -> Result<Settings, Vec<ConfigError>> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let what = if error.kind() == io::ErrorKind::NotFound {
            "there is no such file; `aks-tui init` writes one".to_owned()
        } else {
            format!("cannot be read: {error}")
        };
        vec![ConfigError::whole(&file, what)]
    })?;
    parse(&file, &text)
}

/// What `text` says; every mistake in it with its place.
pub fn parse(file: &str, text: &str) -> Result<Settings, Vec<ConfigError>> {
    let error = |place: Option<Place>, what: String| ConfigError {
        file: file.to_owned(),
        place,
        what,
    };
    let from_yaml = |found: &serde_saphyr::Error| {
        let at = found
            .location()
            .map(|at| (at.line() as usize, at.column() as usize));
        let mut what = found.without_snippet().to_string();
        // The place stands in front already.
        if let Some((line, column)) = at {
            for tail in [
                format!(" at line {line}, column {column}"),
                format!("error: line {line} column {column}: "),
            ] {
                what = what.replace(&tail, "");
            }
        }
        error(
            at,
            what.lines().next().unwrap_or_default().trim().to_owned(),
        )
    };
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Err(vec![error(None, "nothing stands in it".to_owned())]);
    }
    let tree: Located = serde_saphyr::from_str(text).map_err(|found| vec![from_yaml(&found)])?;
    let mut mistakes = Vec::new();
    unknown_keys(&tree, "", &mut |at, what| {
        mistakes.push(error(Some(at), what));
    });
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let settings: Settings =
        serde_saphyr::from_str(text).map_err(|found| vec![from_yaml(&found)])?;
    let problems: Vec<_> = check::problems(&settings)
        .into_iter()
        .map(|problem| {
            error(
                Some(Node::find(&tree, &problem.path)),
                format!("{}: {}", problem.path, problem.what),
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Says of every key that the table does not know which one may be meant.
fn unknown_keys(at: &Located, path: &str, say: &mut impl FnMut(Place, String)) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match &at.value {
        Node::Leaf => {}
        Node::List(elements) => {
            for (index, element) in elements.iter().enumerate() {
                unknown_keys(element, &join(&index.to_string()), say);
            }
        }
        Node::Map(_)
            if fields::at(path).is_some_and(|field| matches!(field.kind, fields::Kind::Map)) => {}
        Node::Map(entries) => {
            for (name, value) in entries {
                let own = join(&name.value);
                if fields::at(&own).is_some() {
                    unknown_keys(value, &own, say);
                    continue;
                }
                let hint = nearest(&name.value, fields::below(path).map(fields::Field::key))
                    .map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
                let whose = if path.is_empty() {
                    "this file".to_owned()
                } else {
                    format!("`{path}`")
                };
                say(
                    place(name),
                    format!("`{}` is no key of {whose}{hint}", name.value),
                );
            }
        }
    }
}

/// The settings that a command works with: the file's, with what the environment
/// says where the file is silent.
pub fn effective(mut settings: Settings) -> Settings {
    let or_env = |value: &mut String, variable: &str| {
        if value.is_empty() {
            *value = env::var(variable).unwrap_or_default();
        }
    };
    or_env(&mut settings.azure.subscription, "AZURE_SUBSCRIPTION_ID");
    or_env(&mut settings.azure.tenant, "AZURE_TENANT_ID");
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "\
azure:
  subscription: 00000000-1111-2222-3333-444444444444
  resource_group: xyz-group
  tags: {team: resiliency}
cluster:
  name: xyz-cluster
storage:
  account: xyzstorage
  shares:
    - name: logs-a
    - name: logs-b
      quota_gib: 10
registry:
  name: xyzcontainerreg
";

    fn mistakes(text: &str) -> Vec<String> {
        parse("aks-tui.yaml", text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings = parse("aks-tui.yaml", FINE).unwrap();
        assert_eq!(settings.cluster.nodes, 2);
        assert_eq!(settings.storage.shares[0].quota_gib, 80);
        assert_eq!(settings.storage.shares[1].quota_gib, 10);
        assert_eq!(settings.azure.tags["team"], "resiliency");
    }

    #[test]
    fn a_misspelt_key_is_pointed_at() {
        let text = FINE.replace("  account: xyzstorage", "  acount: xyzstorage");
        assert_eq!(
            mistakes(&text),
            ["aks-tui.yaml:8:3: `acount` is no key of `storage`; the nearest is `account`"]
        );
        let text = format!("{FINE}clutser: {{nodes: 3}}\n");
        assert_eq!(
            mistakes(&text),
            ["aks-tui.yaml:15:1: `clutser` is no key of this file; the nearest is `cluster`"]
        );
        let text = FINE.replace("quota_gib", "quota");
        assert!(
            mistakes(&text)[0]
                .starts_with("aks-tui.yaml:12:7: `quota` is no key of `storage.shares.1`")
        );
    }

    #[test]
    fn a_bad_name_is_pointed_at() {
        let text = FINE
            .replace("xyzstorage", "xyz-storage")
            .replace("logs-b", "logs--b");
        let found = mistakes(&text);
        assert!(
            found[0].starts_with("aks-tui.yaml:8:12: storage.account: `xyz-storage` is not"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("aks-tui.yaml:11:13: storage.shares.1.name: `logs--b`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_name_is_pointed_at_where_it_would_stand() {
        let text = FINE.replace("  name: xyz-cluster", "  nodes: 3");
        let found = mistakes(&text);
        assert_eq!(
            found,
            ["aks-tui.yaml:5:1: cluster.name: the name of a cluster is missing"]
        );
    }

    #[test]
    fn a_wrong_type_and_broken_yaml_are_pointed_at() {
        let text = FINE.replace("  name: xyz-cluster", "  name: xyz-cluster\n  nodes: many");
        let found = mistakes(&text);
        assert!(found[0].starts_with("aks-tui.yaml:7:10: "), "{found:?}");
        let found = mistakes("azure: [\n");
        assert!(found[0].starts_with("aks-tui.yaml:"), "{found:?}");
        assert_eq!(
            mistakes("# nothing\n"),
            ["aks-tui.yaml: nothing stands in it"]
        );
    }
}
