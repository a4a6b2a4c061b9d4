//! Log pages: the unit that is checksummed, written and made durable.
//!
//! Everything that arrives while a page is on its way to the disk is gathered
//! into the next one, so pages grow with the latency of the device and nobody
//! needs a timer (group commit). A page is a header and a list of records; its
//! checksum covers the header too, so a page cannot be taken for another one of
//! the same length, from an older log or at another place.

use std::io::BufRead as _;

use super::codec::Fields;

/// Bytes of a page before its records.
pub const HEADER: usize = 48;
/// First three bytes of every page of any version; the version follows as a digit.
const FAMILY: &[u8; 3] = b"akP";
/// The version of the layout that is written here.
pub const VERSION: u8 = b'1';
/// First four bytes of every page.
const MAGIC: u32 = u32::from_le_bytes([FAMILY[0], FAMILY[1], FAMILY[2], VERSION]);
/// Bytes of a record before its calls.
const RECORD_HEADER: usize = 19;
/// No page is longer: the largest call, plus what one turn of the receive
/// window can gather beside it from many links.
pub const MAX_BODY: u32 = 1 << 30;

/// Where the calls of a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A peer, by the index of its link.
    Peer(u16),
    /// The instance itself: a call that one of its handlers made.
    Own,
    /// The world: a signal, a clock. Logged so that replay sees the same world.
    Impulse,
}

/// One entry of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A run of calls, to be executed in order.
    Calls {
        /// Who called.
        origin: Origin,
        /// Sequence number of the first call on its link.
        first: u64,
        /// How many calls.
        count: u32,
        /// The calls, as the codec lays them out.
        run: &'a [u8],
    },
    /// A peer has made our calls durable up to and including `seq`: replay drops
    /// them from what it retains, as the first execution did.
    Acknowledged {
        /// The link.
        link: u16,
        /// The last durable call.
        seq: u64,
    },
    /// A link whose peer was unknown got its name.
    Attached {
        /// The link.
        link: u16,
        /// The peer's instance name.
        name: &'a str,
    },
}

const KIND_PEER: u8 = 1;
const KIND_OWN: u8 = 2;
const KIND_IMPULSE: u8 = 3;
const KIND_ACKNOWLEDGED: u8 = 4;
const KIND_ATTACHED: u8 = 5;

/// When and where a page was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the log file the page was written to.
    pub log: u64,
    /// Number of the page, counted without gaps over all logs of the instance.
    pub seq: u64,
    /// The execution that wrote it.
    pub epoch: u64,
    /// When it was sealed: nanoseconds since 1970, never going backwards. Handlers
    /// read this clock, so replay reads the same.
    pub time: u64,
    /// Chance for the handlers of this page, logged for the same reason.
    pub seed: u32,
}

/// What a page says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the records in bytes.
    pub body: u32,
    /// When and where.
    pub stamp: Stamp,
    crc: u32,
}

/// Why bytes are no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// They end before the page does.
    Short,
    /// They do not begin as a page does.
    Magic,
    /// A byte of header or body is not the one that was written.
    Checksum,
}

impl Header {
    /// Reads a header; the checksum can only be judged with the body.
    pub fn decode(bytes: &[u8]) -> Result<Self, Invalid> {
        let bytes = bytes.get(..HEADER).ok_or(Invalid::Short)?;
        let mut fields = Fields(bytes);
        let mut read = || {
            let magic = fields.u32()?;
            let crc = fields.u32()?;
            let body = fields.u32()?;
            let seed = fields.u32()?;
            let header = Self {
                crc,
                body,
                stamp: Stamp {
                    seed,
                    log: fields.u64()?,
                    seq: fields.u64()?,
                    epoch: fields.u64()?,
                    time: fields.u64()?,
                },
            };
            Some((magic, header))
        };
        match read() {
            Some((MAGIC, header)) if header.body <= MAX_BODY => Ok(header),
            Some(_) => Err(Invalid::Magic),
            None => Err(Invalid::Short),
        }
    }
}

/// The version that the page at the front of `bytes` was written in, if that is
/// another one than is written here. A page of this version whose digit alone was
/// damaged still has its checksum, and is no page of another one.
pub fn other_version(bytes: &[u8]) -> Option<char> {
    let digit = *bytes.strip_prefix(FAMILY)?.first()?;
    if digit == VERSION || !digit.is_ascii_alphanumeric() {
        return None;
    }
    let mut as_ours = bytes.to_vec();
    as_ours[FAMILY.len()] = VERSION;
    decode(&as_ours).is_err().then_some(char::from(digit))
}

/// Judges the page at the front of `bytes`: its header and its records.
pub fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), Invalid> {
    let header = Header::decode(bytes)?;
    let page = bytes
        .get(..HEADER + header.body as usize)
        .ok_or(Invalid::Short)?;
    if crc32fast::hash(&page[8..]) == header.crc {
        Ok((header, &page[HEADER..]))
    } else {
        Err(Invalid::Checksum)
    }
}

/// Where the next thing that could be a page begins at or after `from`.
pub fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let magic = MAGIC.to_le_bytes();
    let mut rest = bytes.get(from..)?;
    loop {
        // Jumps from one first byte to the next, fast in any build: a page cut short
        // can be long.
        rest.skip_until(magic[0]).ok()?;
        let at = bytes.len() - rest.len();
        if rest.starts_with(&magic[1..]) {
            return Some(at - 1);
        }
        if rest.is_empty() {
            return None;
        }
    }
}

/// The records of a page body, in order. Ends early at bytes that are no record,
/// which a page with a right checksum does not have.
pub fn records(body: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut fields = Fields(body);
    std::iter::from_fn(move || {
        let kind = fields.u8()?;
        let link = fields.u16()?;
        let first = fields.u64()?;
        let count = fields.u32()?;
        let length = fields.u32()?;
        let run = fields.bytes(length as usize)?;
        let origin = match kind {
            KIND_PEER => Origin::Peer(link),
            KIND_OWN => Origin::Own,
            KIND_IMPULSE => Origin::Impulse,
            KIND_ACKNOWLEDGED => return Some(Record::Acknowledged { link, seq: first }),
            KIND_ATTACHED => {
                let name = std::str::from_utf8(run).ok()?;
                return Some(Record::Attached { link, name });
            }
            _ => return None,
        };
        Some(Record::Calls {
            origin,
            first,
            count,
            run,
        })
    })
}

/// A page that is being gathered, then sealed, then written as it lies.
#[derive(Debug)]
pub struct Page {
    bytes: Vec<u8>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            bytes: vec![0; HEADER],
        }
    }
}

impl Page {
    /// Whether nothing has been put in.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    /// Makes the page empty again, keeping its memory unless that was an
    /// exceptionally large page.
    pub fn clear(&mut self) {
        const KEEP: usize = 4 << 20;
        self.bytes.truncate(HEADER);
        self.bytes.shrink_to(KEEP);
    }

    /// Appends a record.
    pub fn put(&mut self, record: Record<'_>) {
        let (kind, link, first, count, run) = match record {
            Record::Calls {
                origin,
                first,
                count,
                run,
            } => match origin {
                Origin::Peer(link) => (KIND_PEER, link, first, count, run),
                Origin::Own => (KIND_OWN, 0, first, count, run),
                Origin::Impulse => (KIND_IMPULSE, 0, first, count, run),
            },
            Record::Acknowledged { link, seq } => (KIND_ACKNOWLEDGED, link, seq, 0, &[][..]),
            Record::Attached { link, name } => (KIND_ATTACHED, link, 0, 0, name.as_bytes()),
        };
        self.bytes.reserve(RECORD_HEADER + run.len());
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&link.to_le_bytes());
        self.bytes.extend_from_slice(&first.to_le_bytes());
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.bytes
            .extend_from_slice(&(run.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(run);
    }

    /// Fills in the header and answers the bytes to write.
    pub fn seal(&mut self, stamp: &Stamp) -> &[u8] {
        let body = (self.bytes.len() - HEADER) as u32;
        self.bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        self.bytes[8..12].copy_from_slice(&body.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&stamp.seed.to_le_bytes());
        let Stamp {
            log,
            seq,
            epoch,
            time,
            ..
        } = *stamp;
        for (at, value) in [(16, log), (24, seq), (32, epoch), (40, time)] {
            self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32fast::hash(&self.bytes[8..]);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }

    /// The records of a sealed page.
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: Stamp = Stamp {
        log: 1,
        seq: 2,
        epoch: 3,
        time: 4,
        seed: 5,
    };

    fn sample() -> Page {
        let mut page = Page::default();
        page.put(Record::Attached {
            link: 3,
            name: "perftestclient",
        });
        page.put(Record::Calls {
            origin: Origin::Peer(3),
            first: 17,
            count: 2,
            run: b"two calls",
        });
        page.put(Record::Acknowledged { link: 3, seq: 12 });
        page
    }

    #[test]
    fn a_page_comes_back_record_by_record() {
        let mut page = sample();
        let bytes = page.seal(&STAMP).to_vec();
        let (header, body) = decode(&bytes).unwrap();
        assert_eq!(header.stamp, STAMP);
        let all: Vec<_> = records(body).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[1],
            Record::Calls {
                origin: Origin::Peer(3),
                first: 17,
                count: 2,
                run: b"two calls"
            }
        );
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut page = sample();
        let bytes = page.seal(&STAMP).to_vec();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_cut_is_short() {
        let mut page = sample();
        let bytes = page.seal(&STAMP).to_vec();
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).err(), Some(Invalid::Short));
        }
    }

    #[test]
    fn another_version_is_told_from_a_damaged_digit() {
        let mut page = sample();
        let mut bytes = page.seal(&STAMP).to_vec();
        assert_eq!(other_version(&bytes), None);
        bytes[3] = b'2';
        assert_eq!(other_version(&bytes), None, "only the digit is wrong");
        bytes[20] ^= 1;
        assert_eq!(other_version(&bytes), Some('2'));
        assert_eq!(other_version(b"akP2"), Some('2'));
        assert_eq!(other_version(b"akP"), None);
    }

    proptest! {
        #[test]
        fn any_records_come_back(runs in prop::collection::vec((0u8..3, any::<u16>(), any::<u64>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20), seq: u64) {
            let mut page = Page::default();
            let made: Vec<_> = runs.iter().map(|(kind, link, first, count, run)| Record::Calls {
                origin: match kind { 0 => Origin::Peer(*link), 1 => Origin::Own, _ => Origin::Impulse },
                first: *first,
                count: *count,
                run,
            }).collect();
            for record in &made {
                page.put(*record);
            }
            let stamp = Stamp { seq, ..STAMP };
            let bytes = page.seal(&stamp).to_vec();
            let (header, body) = decode(&bytes).unwrap();
            prop_assert_eq!(header.stamp, stamp);
            prop_assert_eq!(records(body).collect::<Vec<_>>(), made);
        }

        #[test]
        fn junk_is_never_a_page(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).is_err());
            let _ = records(&bytes).count();
        }
    }
}
