//! What a container runs, as far as its command line tells.

use crate::core::workload::Role;

/// What a round moves when nothing says otherwise: PTI's 1 GiB.
const PTI_BYTES_PER_ROUND: u64 = 1 << 30;

/// Whether these words start the program of `role`: one of them is its name, as
/// a path or not, with or without the extension of a .NET assembly.
pub fn runs(words: &[String], role: Role) -> bool {
    tokens(words).any(|token| {
        let name = token.rsplit('/').next().unwrap_or(token);
        name.strip_suffix(".dll").unwrap_or(name) == role.program()
    })
}

/// The bytes that a round moves: `--bytes-per-round V`, else PTI's default.
pub fn bytes_per_round(words: &[String]) -> u64 {
    let mut tokens = tokens(words);
    while let Some(token) = tokens.next() {
        let value = match token.strip_prefix("--bytes-per-round") {
            Some("") => tokens.next(),
            Some(rest) => rest.strip_prefix('='),
            None => continue,
        };
        if let Some(bytes) = value.and_then(size) {
            return bytes;
        }
    }
    PTI_BYTES_PER_ROUND
}

/// Words may hold whole command lines: `sh -c "Job --sp 50001 …"`.
fn tokens(words: &[String]) -> impl Iterator<Item = &str> {
    words
        .iter()
        .flat_map(|word| word.split_whitespace())
        .map(|token| token.trim_matches(['"', '\'', ';']))
}

/// A number of bytes with a binary suffix or none.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_program_is_known_by_its_name_wherever_it_stands() {
        for line in [
            &["Job", "--sp", "50001"][..],
            &["/usr/local/bin/Job"],
            &["runAmbrosiaService.sh", "Job", "--sp", "50001"],
            &["dotnet", "Job.dll"],
            &["sh", "-c", "sleep 1; exec Job --sp 50001"],
        ] {
            assert!(runs(&words(line), Role::Client), "{line:?}");
            assert!(!runs(&words(line), Role::Server), "{line:?}");
        }
        assert!(!runs(&words(&["Jobber"]), Role::Client));
    }

    #[test]
    fn the_size_of_a_round_is_read_in_every_spelling() {
        for (line, bytes) in [
            (&["Job", "--bytes-per-round", "8MiB"][..], 8 << 20),
            (&["Job", "--bytes-per-round=64KiB"], 64 << 10),
            (&["Job", "--bytes-per-round=2GiB"], 2 << 30),
            (&["Job", "--bytes-per-round", "1000"], 1000),
            (&["sh", "-c", "Job --bytes-per-round 1MiB"], 1 << 20),
            (&["Job"], 1 << 30),
            (&["Job", "--bytes-per-round"], 1 << 30),
            (&["Job", "--bytes-per-round", "many"], 1 << 30),
            (&["Job", "--bytes-per-round", "99999999999GiB"], 1 << 30),
        ] {
            assert_eq!(bytes_per_round(&words(line)), bytes, "{line:?}");
        }
    }
}
