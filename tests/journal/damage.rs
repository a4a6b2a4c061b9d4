//! Journals that were cut or changed.

use std::path::Path;

use aks_tui::{
    adapters::journal::{
        Error, Reader,
        reader::Item,
        record::{FORMAT, Gap, Written},
    },
    core::{
        event::{Event, Fact, RunStarted},
        time::Time,
    },
};
use proptest::{prelude::*, sample::Index};

use crate::facts::events;

/// The beginning of a run.
fn started() -> Event {
    Event {
        at: Time::ZERO,
        fact: Fact::RunStarted(RunStarted {
            run: "20261122-074512-k3f9".into(),
            wall_ms: 1_795_333_512_000,
            version: "0.1.0".into(),
        }),
    }
}

/// The journal of `events`, and where each of its lines ends.
fn written(events: &[Event]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for (n, event) in events.iter().enumerate() {
        let record = Written {
            v: (n == 0).then_some(FORMAT),
            wall: (n % 7 == 0).then_some(1_795_333_512_000),
            ..Written::from(event)
        };
        record.append_to(&mut bytes).unwrap();
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// What a reader makes of some bytes: the events until the end or the error,
/// and the length of the tail that was dropped.
fn read(bytes: &[u8]) -> (Vec<Event>, Result<u64, Error>) {
    let mut reader = Reader::new(Path::new("run.jsonl"), bytes);
    let mut events = Vec::new();
    for item in &mut reader {
        match item {
            Ok(item) => events.push(item.into_event()),
            Err(error) => return (events, Err(error)),
        }
    }
    (events, Ok(reader.dropped_tail()))
}

fn run() -> impl Strategy<Value = Vec<Event>> {
    events(0..20).prop_map(|mut rest| {
        rest.insert(0, started());
        rest
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_is_what_is_read(run in run()) {
        let (bytes, _) = written(&run);
        let (events, end) = read(&bytes);
        prop_assert_eq!(events, run);
        prop_assert_eq!(end.unwrap(), 0);
    }

    #[test]
    fn a_journal_that_was_cut_anywhere_reads_as_far_as_it_goes(run in run(), at: Index) {
        let (bytes, ends) = written(&run);
        let cut = at.index(bytes.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (events, end) = read(&bytes[..cut]);
        prop_assert_eq!(&events[..], &run[..whole]);
        if whole == 0 {
            prop_assert!(matches!(end, Err(Error::Empty(_))));
        } else {
            prop_assert_eq!(end.unwrap(), (cut - ends[whole - 1]) as u64);
        }
    }

    #[test]
    fn a_changed_byte_is_named_or_confined_to_the_tail(run in run(), at: Index, bit in 0..8_u8) {
        let (mut bytes, ends) = written(&run);
        let changed = at.index(bytes.len());
        bytes[changed] ^= 1 << bit;
        let line = ends.iter().filter(|end| **end <= changed).count();
        let begin = line.checked_sub(1).map_or(0, |before| ends[before]);
        let (events, end) = read(&bytes);
        prop_assert_eq!(&events[..], &run[..line], "what stands before it is read");
        match end {
            Err(Error::Damaged { offset, .. }) => prop_assert_eq!(offset, begin as u64),
            // The last line feed: as if the record had been half written.
            Err(Error::Empty(_)) => prop_assert_eq!((changed, line), (bytes.len() - 1, 0)),
            Ok(dropped) => {
                prop_assert_eq!(changed, bytes.len() - 1);
                prop_assert_eq!(dropped, (bytes.len() - begin) as u64);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let (events, end) = read(&bytes);
        prop_assert!(events.is_empty() && end.is_err());
    }
}

#[test]
fn a_line_that_never_ends_is_not_read_into_memory() {
    let (mut bytes, _) = written(&[started()]);
    let begin = bytes.len() as u64;
    bytes.resize(bytes.len() + (20 << 20), b'x');
    let (events, end) = read(&bytes);
    assert_eq!(events.len(), 1);
    assert!(matches!(end, Err(Error::Damaged { offset, .. }) if offset == begin));
}

#[test]
fn a_gap_is_read_as_trouble() {
    let (mut bytes, _) = written(&[started()]);
    let gap = Gap {
        missed: 3,
        why: "the disk is slow".into(),
    };
    let record = Written {
        gap: Some(&gap),
        ..Written::default()
    };
    record.append_to(&mut bytes).unwrap();
    let mut reader = Reader::new(Path::new("run.jsonl"), &bytes[..]);
    let item = reader.nth(1).unwrap().unwrap();
    assert_eq!(
        item,
        Item::Gap {
            at: Time::ZERO,
            gap
        }
    );
    let text = serde_json::to_string(&item.into_event()).unwrap();
    assert!(
        text.contains("3 facts were not recorded: the disk is slow"),
        "{text}"
    );
}
