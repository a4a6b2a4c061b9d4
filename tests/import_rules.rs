//! Who may import whom: the rules that keep the house's rooms apart.
//!
//! They are read off the source: every path that begins with `crate`, `super`,
//! `aks_tui` or `std` is resolved to the room it leads to, also inside nested
//! groups (`use crate::{adapters::{…}, core}`) and through `super::super`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules of std that core has no business in: it has no clock and does no I/O.
const FORBIDDEN_IN_CORE: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::io",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// The crates that core may use: its data has a written form, manifests are data,
/// and what a person types is matched against text. All of them are pure functions.
const PURE_CRATES: [&str; 4] = ["serde", "serde_json", "regex", "nucleo_matcher"];

/// Whether a file of the module `from` may name the module `to` of this crate.
fn may(from: &[String], to: &[String]) -> bool {
    let room = |path: &[String]| path.first().map_or("", String::as_str).to_owned();
    let (from_room, to_room) = (room(from), room(to));
    // Of the adapters, only the sink is for all of them.
    let own_or_sink = || {
        to.get(1)
            .is_none_or(|inner| inner == "sink" || from.get(1) == Some(inner))
    };
    match (from_room.as_str(), to_room.as_str()) {
        ("adapters", "adapters") => own_or_sink(),
        (from, to) if from == to => true,
        ("core" | "secret" | "sys", _) => false,
        ("ui" | "report", to) => to == "core",
        ("adapters", to) => matches!(to, "core" | "secret"),
        ("immortal" | "lab", to) => to == "sys",
        // Only what starts them knows that they are in the same binary.
        ("app" | "config", to) => !matches!(to, "immortal" | "lab"),
        ("commands" | "cli" | "main" | "", _) => true,
        (_, to) => matches!(to, "core" | "secret"),
    }
}

/// The rules that a file breaks, a sentence each.
fn broken_rules(file: &str, source: &str) -> Vec<String> {
    let module = module_of(file);
    let mut broken = Vec::new();
    for path in paths(&module, source) {
        let text = path.join("::");
        if let Some(inner) = path.strip_prefix(&["crate".to_owned()]) {
            if inner.is_empty() || inner[0] == "*" {
                broken.push(format!("{file} names the whole crate: name a room of it"));
            } else if !may(&module, inner) {
                broken.push(format!("{file} may not name {text}"));
            }
        } else if module.first().is_some_and(|room| room == "core") {
            let forbidden = |name: &&str| text == *name || text.starts_with(&format!("{name}::"));
            let glob = text == "std::time::*" || text == "std::*";
            if FORBIDDEN_IN_CORE.iter().any(forbidden) || glob {
                broken.push(format!("{file} may not name {text}: core does no I/O"));
            }
        }
    }
    broken
}

/// The module that a file of `src/` holds.
fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.len() > 1 && module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    if module == ["lib"] {
        module.clear();
    }
    module
}

/// Every path of interest in `source`: those of this crate begin with `crate`.
fn paths(module: &[String], source: &str) -> BTreeSet<Vec<String>> {
    let tokens = tokens(source);
    let mut found = BTreeSet::new();
    // The inline modules that are open, each with the depth of its brace.
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                if at >= 2 && tokens[at - 2] == "mod" {
                    inline.push((depth, tokens[at - 1].clone()));
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(opened, _)| *opened == depth);
            }
            start @ ("crate" | "super" | "aks_tui" | "std")
                if at < 2 || tokens[at - 1] != "::" || !continues(&tokens[at - 2]) =>
            {
                // `pub(crate)` and `pub(super)` name nobody.
                let visibility = at > 0
                    && tokens[at - 1] == "("
                    && tokens.get(at + 1).is_some_and(|next| next == ")");
                // A field or a local of that name is none either.
                let path = tokens.get(at + 1).is_some_and(|next| next == "::");
                let whole = at > 0 && tokens[at - 1] == "use";
                if !visibility && (path || (whole && start != "std")) {
                    let mut here = module.to_vec();
                    here.extend(inline.iter().map(|(_, name)| name.clone()));
                    let mut leaves = Vec::new();
                    leaves_of(&tokens, at, &mut Vec::new(), &mut leaves);
                    found.extend(leaves.into_iter().map(|leaf| resolve(&here, leaf)));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The full paths of the tree that begins at `at`. Returns where it ends.
fn leaves_of(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    leaves: &mut Vec<Vec<String>>,
) -> usize {
    let from = prefix.len();
    while let Some(token) = tokens.get(at) {
        if token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token != "}") {
                at = leaves_of(tokens, at, prefix, leaves);
                if tokens.get(at).is_some_and(|token| token == "as") {
                    at += 2;
                }
                if tokens.get(at).is_some_and(|token| token == ",") {
                    at += 1;
                } else {
                    break;
                }
            }
            prefix.truncate(from);
            return at + 1;
        }
        if !is_name(token) && token != "*" {
            break;
        }
        prefix.push(token.clone());
        at += 1;
        if tokens.get(at).is_some_and(|token| token == "::") {
            at += 1;
        } else {
            break;
        }
    }
    leaves.push(prefix.clone());
    prefix.truncate(from);
    at
}

/// A path as seen from the root of the crate, or of std.
fn resolve(here: &[String], path: Vec<String>) -> Vec<String> {
    let path: Vec<String> = path.into_iter().filter(|name| name != "self").collect();
    let supers = path.iter().take_while(|name| *name == "super").count();
    let root = vec!["crate".to_owned()];
    if supers > 0 {
        let base = &here[..here.len().saturating_sub(supers)];
        [&root, base, &path[supers..]].concat()
    } else if path[0] == "aks_tui" {
        [&root, &path[1..]].concat()
    } else {
        path
    }
}

/// Whether a path goes on after this token; `use ::std` begins one.
fn continues(token: &str) -> bool {
    token == ">" || (is_name(token) && token != "use")
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The words and signs of a source text, without comments and literals.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = if rest.starts_with(&['/', '/']) {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if rest.starts_with(&['/', '*']) {
            length_of_comment(rest)
        } else if let Some(length) = length_of_raw_string(rest) {
            length
        } else if rest[0] == '"' {
            length_of_quoted(rest, '"')
        } else if rest[0] == '\'' && (rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'')) {
            length_of_quoted(rest, '\'')
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            let name: String = rest
                .iter()
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .collect();
            let length = name.chars().count();
            tokens.push(name);
            length
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".into());
            2
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            1
        };
        at += length;
    }
    tokens
}

/// Comments nest.
fn length_of_comment(chars: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < chars.len() {
        if chars[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if chars[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, `br#"…"#`
fn length_of_raw_string(chars: &[char]) -> Option<usize> {
    let text = chars.strip_prefix(&['b']).unwrap_or(chars);
    let text = text.strip_prefix(&['r'])?;
    let hashes = text.iter().take_while(|c| **c == '#').count();
    let body = text[hashes..].strip_prefix(&['"'])?;
    let end: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let length = body.windows(end.len()).position(|window| window == end)?;
    Some(chars.len() - body.len() + length + end.len())
}

fn length_of_quoted(chars: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// All files of `src/`, by their path in it.
fn sources() -> Vec<(String, String)> {
    fn visit(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&root, &mut files);
    files.sort();
    let named = files.into_iter().map(|path| {
        let name: Vec<_> = path.strip_prefix(&root).unwrap().iter().collect();
        let name: Vec<_> = name.iter().map(|part| part.to_str().unwrap()).collect();
        (name.join("/"), fs::read_to_string(&path).unwrap())
    });
    named.collect()
}

#[test]
fn the_rooms_are_kept_apart() {
    let sources = sources();
    assert!(sources.len() > 20, "the source was not found");
    let broken: Vec<_> = sources
        .iter()
        .flat_map(|(file, source)| broken_rules(file, source))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_file_grows_past_what_a_reader_can_hold() {
    let long: Vec<_> = sources()
        .iter()
        .map(|(file, source)| {
            let code = source
                .split("\n#[cfg(test)]\nmod ")
                .next()
                .unwrap_or(source);
            (code.lines().count(), file.clone())
        })
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(
        long.is_empty(),
        "over 600 lines without its tests: {long:?}"
    );
}

#[test]
fn the_core_knows_no_crate_that_acts() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.unwrap();
    let dependencies: BTreeSet<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .take_while(|line| *line != "[dev-dependencies]")
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .filter(|name| !PURE_CRATES.contains(&name.as_str()))
        .collect();
    assert!(dependencies.contains("tokio"), "the manifest was not read");
    for (file, source) in sources() {
        if !file.starts_with("core/") {
            continue;
        }
        let tokens = tokens(&source);
        for (at, pair) in tokens.windows(2).enumerate() {
            let outermost = at == 0 || tokens[at - 1] != "::";
            assert!(
                pair[1] != "::" || !outermost || !dependencies.contains(&pair[0]),
                "core is pure, and {file} names {}",
                pair[0]
            );
        }
    }
}

#[test]
fn a_forbidden_import_is_found_in_whatever_dress() {
    for (file, source) in [
        ("core/model/mod.rs", "use crate::adapters::sink::Sink;"),
        (
            "core/model/mod.rs",
            "use crate::{core::time, adapters::{sink::Sink, journal}};",
        ),
        ("core/model/mod.rs", "use {std::fmt, crate::ui::theme};"),
        ("core/model/mod.rs", "fn f() { crate::app::quit(); }"),
        ("core/model/mod.rs", "use super::super::ui::theme;"),
        ("core/model/pods.rs", "use super::super::super::ui::theme;"),
        ("core/time.rs", "mod tests { use super::super::super::ui; }"),
        ("core/time.rs", "use crate as all;"),
        ("core/time.rs", "use crate::*;"),
        ("core/time.rs", "use ::aks_tui::ui::theme;"),
        (
            "core/time.rs",
            "macro_rules! m { () => { $crate::ui::x() } }",
        ),
        ("core/time.rs", "let s = r#\"}\"#; use crate::ui;"),
        ("core/time.rs", "let q = '\"'; use crate::ui;"),
        ("core/time.rs", "let q = '\\''; use crate::ui;"),
        ("core/time.rs", "/* /* */ */ use crate::ui;"),
        ("core/time.rs", "use std::{fmt, fs};"),
        ("core/time.rs", "use std::{fmt, time::{Duration, Instant}};"),
        ("core/time.rs", "let now = std::time::SystemTime::now();"),
        ("core/time.rs", "use std::time::*;"),
        ("core/time.rs", "std::thread::sleep(wait);"),
        ("core/time.rs", "use ::std::net::TcpStream;"),
        ("ui/view/mod.rs", "use crate::adapters::journal::RunInfo;"),
        ("report/mod.rs", "use crate::ui::theme;"),
        (
            "adapters/cluster/mod.rs",
            "use crate::adapters::journal::Journal;",
        ),
        ("adapters/cluster/mod.rs", "use super::journal::Journal;"),
        ("adapters/cluster/mod.rs", "use crate::app::Wires;"),
        ("immortal/mod.rs", "use crate::core::time::Time;"),
        ("lab/api/mod.rs", "use crate::immortal::Page;"),
        ("app/mod.rs", "use crate::lab::Store;"),
    ] {
        assert!(!broken_rules(file, source).is_empty(), "{file}: {source}");
    }
}

#[test]
fn a_permitted_import_is_left_alone() {
    for (file, source) in [
        (
            "core/model/mod.rs",
            "use super::{event::Event, time::Time};",
        ),
        ("core/model/mod.rs", "use crate::core::{self, event};"),
        ("core/time.rs", "use std::{fmt, time::Duration};"),
        ("core/time.rs", "// use crate::ui;"),
        ("core/time.rs", "/// [`crate::ui`] /* */\nstruct S;"),
        ("core/time.rs", "let text = \"crate::ui \\\" crate::ui\";"),
        ("core/time.rs", "let text = r#\"use crate::ui; \" \"#;"),
        (
            "core/time.rs",
            "pub(crate) fn f<'a>(x: &'a str, c: char) {}",
        ),
        ("core/time.rs", "pub(super) fn f() { self.std = 1; }"),
        ("core/time.rs", "mod tests { use super::*; }"),
        (
            "core/a/b.rs",
            "mod tests { mod deep { use super::super::x; } } use super::super::time;",
        ),
        ("ui/mod.rs", "use crate::{core::model::Model, ui::theme};"),
        (
            "adapters/cluster/pods.rs",
            "use crate::{adapters::sink::Sink, core, secret};",
        ),
        (
            "adapters/cluster/pods.rs",
            "use super::super::sink::Sink; use super::logs;",
        ),
        ("lab/api/mod.rs", "use crate::{lab::store::Store, sys};"),
        ("commands/demo.rs", "use crate::{app, lab, immortal};"),
        ("main.rs", "aks_tui::cli::main()"),
    ] {
        assert_eq!(broken_rules(file, source), Vec::<String>::new(), "{source}");
    }
}
