//! The command line as people have it in their documents and scripts.
//!
//! The original accepts `-mms 65536`, `--mms 65536`, `-mms=65536`, `/mms=65536` and
//! the long name `--maxMessageSize` alike. All of these become the one spelling
//! `--maxMessageSize=65536` that the argument parser knows.

/// Which program's options are meant: `-n` is not the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The client.
    Job,
    /// The server.
    Server,
}

/// An option: the spellings of its name, the one to use first; whether it takes a
/// value.
type Spelling = (&'static [&'static str], bool);

const COMMON: &[Spelling] = &[
    (&["jobName", "j", "job-name"], true),
    (&["serverName", "s", "server-name"], true),
    (&["sendPort", "sp", "send-port"], true),
    (&["receivePort", "rp", "receive-port"], true),
    (&["autoContinue", "c", "auto-continue"], false),
    (&["log", "l"], true),
    (&["progress"], true),
    (&["stay"], false),
    (&["rate"], true),
    (&["durability"], true),
    (&["log-trigger", "lts"], true),
    (&["verify-payload"], false),
    (&["take-over"], false),
    (&["keep-logs"], false),
    (&["replica", "r", "replicaNum", "replica-num"], true),
    (&["help", "h"], false),
];

const JOB: &[Spelling] = &[
    (&["maxMessageSize", "mms", "max-message-size"], true),
    (&["numOfRounds", "n", "rounds", "num-of-rounds"], true),
    (&["bytes-per-round"], true),
    (&["noDescendingSize", "nds", "no-descending-size"], false),
];

const SERVER: &[Spelling] = &[
    (&["numOfJobs", "n", "jobs", "num-of-jobs"], true),
    (&["notBidirectional", "nbd", "not-bidirectional"], false),
    (&["memoryUsed", "m", "memory-used"], true),
];

/// Rewrites the options of `program`; anything unknown stays as it is, for the
/// parser to name.
pub fn normalise(program: Program, arguments: &[String]) -> Vec<String> {
    let own = match program {
        Program::Job => JOB,
        Program::Server => SERVER,
    };
    let mut out = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some((name, value)) = split(argument) else {
            out.push(argument.clone());
            continue;
        };
        let known = COMMON
            .iter()
            .chain(own)
            .find(|(names, _)| names.contains(&name));
        match (known, value) {
            (None, _) => out.push(argument.clone()),
            (Some((names, _)), Some(value)) => out.push(format!("--{}={value}", names[0])),
            (Some((names, false)), None) => out.push(format!("--{}", names[0])),
            (Some((names, true)), None) => match rest.next() {
                Some(value) => out.push(format!("--{}={value}", names[0])),
                None => out.push(format!("--{}", names[0])),
            },
        }
    }
    out
}

/// An option's name and the value that is glued to it.
fn split(argument: &str) -> Option<(&str, Option<&str>)> {
    let name = ["--", "-", "/"]
        .iter()
        .find_map(|prefix| argument.strip_prefix(prefix))?;
    Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(program: Program, line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        normalise(program, &words).join(" ")
    }

    #[test]
    fn every_spelling_of_the_original_is_one() {
        for spelling in [
            "-mms=5",
            "--mms=5",
            "-mms 5",
            "--mms 5",
            "/mms=5",
            "--maxMessageSize 5",
        ] {
            assert_eq!(
                of(Program::Job, spelling),
                "--maxMessageSize=5",
                "{spelling}"
            );
        }
        assert_eq!(
            of(Program::Job, "--sp 50001 -rp=-1 -j client -n 0 -c"),
            "--sendPort=50001 --receivePort=-1 --jobName=client --numOfRounds=0 --autoContinue"
        );
        assert_eq!(
            of(Program::Server, "-n=4 -nbd --stay -l /a=b"),
            "--numOfJobs=4 --notBidirectional --stay --log=/a=b"
        );
    }

    #[test]
    fn what_is_unknown_or_cut_short_is_left_to_the_parser() {
        assert_eq!(of(Program::Server, "-mms 5 x"), "-mms 5 x");
        assert_eq!(of(Program::Job, "-n"), "--numOfRounds");
    }
}
