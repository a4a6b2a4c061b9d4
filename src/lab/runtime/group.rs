//! Commands in the group mode, where nothing shuts a process in.
//!
//! A pod that shares the host's processes and files must not be given a shell.
//! So the lab executes nothing here: it understands the few commands that a
//! fault needs, does them itself over the pod's own processes, and refuses
//! anything else with exit code 126, *cannot execute*, and the reason.

use super::applets::{Applet, Word};

/// What a refused command is told, after what was wrong with it.
const WHY: &str = "this pod is isolated by process groups only, where exec accepts just \
     `kill`, `pidof`, `ps` and `sh -c 'kill [-SIGNAL] $(pidof NAME)'`; \
     start the lab with --isolation namespaces, where the kernel allows it, for a shell";

/// Characters of a plain word: nothing that a shell would act on.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./:+@%,=".contains(character)
}

/// What separates words. A newline separates commands, and one is the limit.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// Understands a command, given as program and arguments.
///
/// # Errors
/// The reason for a refusal, in one line.
pub(super) fn understand(argv: &[String]) -> Result<Applet, String> {
    let line = match shell_script(argv) {
        Some(script) => words(script),
        None => Ok(argv.iter().cloned().map(Word::Plain).collect()),
    };
    line.and_then(|line| Applet::parse(&line))
        .map_err(|wrong| format!("{wrong}: {WHY}"))
}

/// The script of `sh -c SCRIPT`, under a shell's usual names.
fn shell_script(argv: &[String]) -> Option<&str> {
    let [shell, flag, script, ..] = argv else {
        return None;
    };
    let name = shell.rsplit('/').next()?;
    (["sh", "bash", "dash", "ash"].contains(&name) && flag == "-c").then_some(script)
}

/// Splits one simple command into words. The only substitution is `pidof`.
fn words(script: &str) -> Result<Vec<Word>, String> {
    let mut rest = script.trim();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = word(quoted)?;
            let after = after
                .strip_prefix('"')
                .ok_or_else(|| format!("{rest}: a quote that does not end"))?;
            (word, after)
        } else {
            word(rest)?
        };
        if !after.is_empty() && !after.starts_with(is_blank) {
            return Err(format!("{after}: not understood"));
        }
        words.push(word);
        rest = after.trim_start_matches(is_blank);
    }
    Ok(words)
}

fn word(text: &str) -> Result<(Word, &str), String> {
    for (open, close) in [("$(", ')'), ("`", '`')] {
        if let Some(inner) = text.strip_prefix(open) {
            let (inner, after) = inner
                .split_once(close)
                .ok_or_else(|| format!("{text}: a substitution that does not end"))?;
            return Ok((Word::PidsOf(names(inner)?), after));
        }
    }
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    if end == 0 {
        return Err(format!("{text}: not understood"));
    }
    Ok((Word::Plain(text[..end].to_owned()), &text[end..]))
}

fn names(substitution: &str) -> Result<Vec<String>, String> {
    let line: Vec<_> = substitution
        .split_whitespace()
        .map(|word| Word::Plain(word.to_owned()))
        .collect();
    if !substitution.chars().all(|c| is_plain(c) || is_blank(c)) {
        return Err(format!("{substitution}: not understood"));
    }
    match Applet::parse(&line)? {
        Applet::Pidof {
            names,
            single: false,
        } => Ok(names),
        _ => Err(format!(
            "{substitution}: only `pidof NAME` can be substituted"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::applets::Target;
    use super::*;
    use proptest::prelude::*;
    use rustix::process::Signal;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_faults_own_commands_are_understood() {
        for (script, signal) in [
            ("kill -9 $(pidof Job)", Signal::KILL),
            ("kill $(pidof Job)", Signal::TERM),
            ("  kill -KILL \"$(pidof Job)\" ", Signal::KILL),
            ("kill -s KILL `pidof Job`", Signal::KILL),
            ("kill -USR1 $( pidof /bin/Job )", Signal::USR1),
        ] {
            let applet = understand(&argv(&["sh", "-c", script])).unwrap();
            let Applet::Kill {
                signal: found,
                targets,
            } = applet
            else {
                panic!("{script}");
            };
            assert_eq!(found, Some(signal), "{script}");
            let [Target::Named(name)] = targets.as_slice() else {
                panic!("{script}: {targets:?}");
            };
            assert!(name.ends_with("Job"), "{script}");
        }
        for line in [
            argv(&["kill", "-9", "12"]),
            argv(&["pidof", "Job"]),
            argv(&["ps", "aux"]),
            argv(&["/bin/bash", "-c", "pidof Job"]),
            argv(&["/bin/sh", "-c", "ps -ef"]),
        ] {
            assert!(understand(&line).is_ok(), "{line:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for script in [
            "",
            "ls",
            "cat /etc/passwd",
            "kill -9 $(cat /tmp/pid)",
            "kill -9 $(pidof Job); ls",
            "kill -9 $(pidof Job) && ls",
            "kill -9 $(pidof Job | head)",
            "kill -9 $(pidof $(ls))",
            "kill -9 $HOME",
            "kill 5 > /tmp/x",
            "pidof Job\nls",
            "kill $(pidof Job\nls)",
            "kill `ls`",
            "kill \"$(pidof Job)",
            "kill $(pidof Job",
            "kill -9 -1",
            "kill $(pidof -s Job)",
            "kill 'x'",
        ] {
            let refused = understand(&argv(&["sh", "-c", script])).unwrap_err();
            assert!(refused.contains("process groups"), "{script}: {refused}");
        }
        for line in [
            argv(&[]),
            argv(&["sh"]),
            argv(&["bash"]),
            argv(&["ls", "-l"]),
            argv(&["sh", "-x", "-c", "ps"]),
            argv(&["env", "kill", "1"]),
        ] {
            assert!(understand(&line).is_err(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_script_is_understood_as_more_than_it_says(script in "[a-z$()`\"; |&<>0-9\n -]{0,40}") {
            if let Ok(applet) = understand(&argv(&["sh", "-c", &script])) {
                let dangerous = script.trim().contains([';', '|', '&', '<', '>', '\n']);
                prop_assert!(!dangerous, "{script}: {applet:?}");
            }
        }
    }
}
