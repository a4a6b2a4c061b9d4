//! One line of a journal: a JSON record, a tab, and the CRC-32 of the JSON as
//! eight lowercase hex digits.
//!
//! JSON escapes tabs and line feeds inside strings, so the last tab of a line
//! is always ours and a record never spans two lines. A record says when and
//! what, and now and then a little more:
//!
//! ```text
//! {"v":[1,0],"wall":1795333512000,"at":0,"fact":{"run_started":{…}}} ⇥ 5a0f…
//! {"at":1520391,"fact":{"progress":{…}}} ⇥ 91c2…
//! {"at":9120033,"gap":{"missed":12,"why":"the disk is slow"}} ⇥ 00ab…
//! {"at":60120033,"fact":"run_ended","digest":{…}} ⇥ 7e31…
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::{
    event::{ClusterInfo, Event, Fact},
    model::ledger::Summary,
    time::Time,
};

/// The format that is written: major and minor number. A reader refuses a newer
/// major, and skips what it does not know of a newer minor.
pub const FORMAT: [u16; 2] = [1, 0];

/// The tab and the eight digits at the end of a line.
const SEAL: usize = 9;

/// Facts are missing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many.
    pub missed: u64,
    /// Why they were not recorded, in words for the screen.
    pub why: String,
}

/// What a finished run comes to, so that listing runs reads no whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digest {
    /// Where it ran.
    pub cluster: Option<ClusterInfo>,
    /// What its trials came to.
    pub summary: Summary,
}

/// A record as it is written.
#[derive(Debug, Default, Serialize)]
pub struct Written<'a> {
    /// The format from here on: on the first record a cockpit writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<[u16; 2]>,
    /// The wall clock at this moment, ms since 1970, now and then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<i64>,
    /// When it happened.
    pub at: Time,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact: Option<&'a Fact>,
    /// What is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<&'a Gap>,
    /// What it all came to: with the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a Digest>,
}

impl<'a> From<&'a Event> for Written<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            at: event.at,
            fact: Some(&event.fact),
            ..Self::default()
        }
    }
}

impl Written<'_> {
    /// Appends the record as one line, its line feed included.
    pub fn append_to(&self, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let from = bytes.len();
        if let Err(error) = serde_json::to_writer(&mut *bytes, self) {
            bytes.truncate(from);
            return Err(error);
        }
        let crc = crc32fast::hash(&bytes[from..]);
        bytes.extend_from_slice(format!("\t{crc:08x}\n").as_bytes());
        Ok(())
    }
}

/// A record as it was read. The fact is read last, because a newer minor format
/// may know facts that this program does not.
#[derive(Debug, Deserialize)]
pub struct Raw<'a> {
    /// The format from here on.
    #[serde(default)]
    pub v: Option<[u16; 2]>,
    /// The wall clock, ms since 1970.
    #[serde(default)]
    pub wall: Option<i64>,
    /// When it happened.
    #[serde(default)]
    pub at: Time,
    /// What happened, unread.
    #[serde(default, borrow)]
    pub fact: Option<&'a RawValue>,
    /// What is missing.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// What it all came to.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// The format that a record announces: all that can be read of a newer major.
#[derive(Debug, Default, Deserialize)]
struct Announced {
    #[serde(default)]
    v: Option<[u16; 2]>,
}

/// The JSON of a line (without its line feed) whose checksum holds, or what is
/// wrong with it.
pub fn unseal(line: &[u8]) -> Result<&str, String> {
    let body = line.len().checked_sub(SEAL).filter(|at| line[*at] == b'\t');
    let Some(body) = body else {
        return Err("the line has no checksum at its end".into());
    };
    let (json, seal) = line.split_at(body);
    let crc = crc32fast::hash(json);
    if seal[1..] != *format!("{crc:08x}").as_bytes() {
        return Err(format!(
            "its checksum says {}, its bytes give {crc:08x}",
            String::from_utf8_lossy(&seal[1..]).escape_debug()
        ));
    }
    std::str::from_utf8(json).map_err(|error| error.to_string())
}

/// The format that a record announces, if it does.
pub fn announced(json: &str) -> Option<[u16; 2]> {
    serde_json::from_str::<Announced>(json)
        .unwrap_or_default()
        .v
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fact: Fact) -> Vec<u8> {
        let mut bytes = Vec::new();
        let event = Event { at: Time(7), fact };
        Written::from(&event).append_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_line_is_json_a_tab_and_a_checksum() {
        let line = line(Fact::RunEnded);
        let text = std::str::from_utf8(&line).unwrap();
        let (json, seal) = text.split_once('\t').unwrap();
        assert_eq!(json, r#"{"at":7,"fact":"run_ended"}"#);
        assert_eq!(seal, format!("{:08x}\n", crc32fast::hash(json.as_bytes())));
        assert_eq!(unseal(&line[..line.len() - 1]), Ok(json));
    }

    #[test]
    fn a_tab_inside_a_text_is_not_mistaken_for_ours() {
        let line = line(Fact::PodGone {
            uid: "a\tb\nc".into(),
        });
        for ours in [b'\t', b'\n'] {
            assert_eq!(line.split(|byte| *byte == ours).count(), 2);
        }
        assert!(unseal(&line[..line.len() - 1]).is_ok());
    }

    #[test]
    fn a_checksum_in_capitals_is_not_ours() {
        let fits = |n: u64| {
            let line = line(Fact::PodGone { uid: n.to_string() });
            let upper = line.to_ascii_uppercase();
            let at = line.len() - SEAL;
            (line[at..] != upper[at..]).then(|| [&line[..at], &upper[at..]].concat())
        };
        let line = (0..).find_map(fits).unwrap();
        assert!(unseal(&line[..line.len() - 1]).is_err());
    }
}
