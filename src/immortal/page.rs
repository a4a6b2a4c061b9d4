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

/// A stretch of a page: whole records, in memory that is kept for other pages.
#[derive(Debug, Default)]
pub struct Piece {
    /// As long as it ever was: bytes behind `length` are left from before, since
    /// clearing them costs as much as what is read over them.
    bytes: Vec<u8>,
    length: usize,
}

impl Piece {
    /// Room behind a run that was read in place, for short records that follow it.
    const SLACK: usize = 256;

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Makes it `more` bytes longer, and answers these.
    fn grow(&mut self, more: usize) -> &mut [u8] {
        let (from, to) = (self.length, self.length + more);
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.length = to;
        &mut self.bytes[from..to]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Forgets what it holds, to be the place where a run of `length` bytes is read.
    pub fn room_for_run(&mut self, length: usize) -> &mut [u8] {
        self.length = 0;
        self.grow(RECORD_HEADER + length + Self::SLACK);
        self.length = RECORD_HEADER + length;
        &mut self.bytes[RECORD_HEADER..self.length]
    }

    /// The run that was read.
    pub fn run(&self) -> &[u8] {
        self.filled().get(RECORD_HEADER..).unwrap_or_default()
    }
}

/// A page that is being gathered, then sealed, then written as it lies. The first
/// piece begins with the header.
#[derive(Debug)]
pub struct Page {
    pieces: Vec<Piece>,
}

impl Default for Page {
    fn default() -> Self {
        let mut first = Piece::default();
        first.grow(HEADER);
        Self {
            pieces: vec![first],
        }
    }
}

impl Page {
    /// Whether nothing has been put in.
    pub fn is_empty(&self) -> bool {
        self.pieces.len() == 1 && self.pieces[0].length == HEADER
    }

    /// Makes the page empty again and gives back its pieces, so that their memory is
    /// used again, unless that is an exceptionally large one.
    pub fn clear(&mut self, spare: &mut Vec<Piece>, most: usize) {
        const KEEP: usize = 512 << 10;
        const KEEP_FIRST: usize = 64 << 10;
        for piece in self.pieces.drain(1..) {
            if spare.len() < most && piece.bytes.len() <= KEEP {
                spare.push(piece);
            }
        }
        let first = &mut self.pieces[0];
        first.length = HEADER;
        if first.bytes.len() > KEEP_FIRST {
            first.bytes.truncate(HEADER);
            first.bytes.shrink_to_fit();
        }
    }

    /// Appends a record.
    pub fn put(&mut self, record: Record<'_>) {
        let (head, run) = encode(record);
        if let Some(piece) = self.pieces.last_mut() {
            piece.put(&head);
            piece.put(run);
        }
    }

    /// Appends the run in `piece`, where it lies, as calls of a peer.
    pub fn put_piece(&mut self, link: u16, first: u64, count: u32, mut piece: Piece) {
        let origin = Origin::Peer(link);
        let run = piece.run();
        let (head, _) = encode(Record::Calls {
            origin,
            first,
            count,
            run,
        });
        piece.bytes[..RECORD_HEADER].copy_from_slice(&head);
        self.pieces.push(piece);
    }

    /// Fills in the header: from now on it can be written.
    pub fn seal(&mut self, stamp: &Stamp) {
        let body = self.parts().map(<[u8]>::len).sum::<usize>() - HEADER;
        let header = &mut self.pieces[0].bytes;
        header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..12].copy_from_slice(&(body as u32).to_le_bytes());
        header[12..16].copy_from_slice(&stamp.seed.to_le_bytes());
        let Stamp {
            log,
            seq,
            epoch,
            time,
            ..
        } = *stamp;
        for (at, value) in [(16, log), (24, seq), (32, epoch), (40, time)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let mut crc = crc32fast::Hasher::new();
        let mut skip = 8;
        for part in self.parts() {
            crc.update(&part[skip..]);
            skip = 0;
        }
        self.pieces[0].bytes[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    }

    /// The bytes of a sealed page, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Piece::filled)
    }

    /// Its records, in order; none is spread over two stretches.
    pub fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = HEADER;
        self.parts()
            .map(move |part| &part[std::mem::take(&mut skip)..])
    }
}

/// What stands in front of a record's run, and the run.
fn encode(record: Record<'_>) -> ([u8; RECORD_HEADER], &[u8]) {
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
    let mut head = [0; RECORD_HEADER];
    head[0] = kind;
    head[1..3].copy_from_slice(&link.to_le_bytes());
    head[3..11].copy_from_slice(&first.to_le_bytes());
    head[11..15].copy_from_slice(&count.to_le_bytes());
    head[15..].copy_from_slice(&(run.len() as u32).to_le_bytes());
    (head, run)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: Stamp = Stamp {
        log: 1,
        seq: 2,
        epoch: 3,
        time: 4,
        seed: 5,
    };

    /// A sealed page as it lies in a file.
    pub fn sealed(mut page: Page, stamp: &Stamp) -> Vec<u8> {
        page.seal(stamp);
        page.parts().collect::<Vec<_>>().concat()
    }

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
        let bytes = sealed(sample(), &STAMP);
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
        let bytes = sealed(sample(), &STAMP);
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
        let bytes = sealed(sample(), &STAMP);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).err(), Some(Invalid::Short));
        }
    }

    #[test]
    fn another_version_is_told_from_a_damaged_digit() {
        let mut bytes = sealed(sample(), &STAMP);
        assert_eq!(other_version(&bytes), None);
        bytes[3] = b'2';
        assert_eq!(other_version(&bytes), None, "only the digit is wrong");
        bytes[20] ^= 1;
        assert_eq!(other_version(&bytes), Some('2'));
        assert_eq!(other_version(b"akP2"), Some('2'));
        assert_eq!(other_version(b"akP"), None);
    }

    #[test]
    fn a_run_that_was_read_in_place_is_a_record_like_any() {
        let read = |run: &[u8]| {
            let mut piece = Piece::default();
            piece.room_for_run(run.len() + 9).fill(0xff);
            piece.room_for_run(run.len()).copy_from_slice(run);
            piece
        };
        let (mut copied, mut placed) = (sample(), sample());
        for (first, run) in [(5, &b"some calls"[..]), (9, b"more")] {
            copied.put(Record::Calls {
                origin: Origin::Peer(2),
                first,
                count: 4,
                run,
            });
            placed.put_piece(2, first, 4, read(run));
            for page in [&mut copied, &mut placed] {
                page.put(Record::Acknowledged { link: 2, seq: 1 });
            }
        }
        let all = |page: &Page| -> Vec<u8> { page.bodies().collect::<Vec<_>>().concat() };
        assert_eq!(all(&copied), all(&placed));
        let each: Vec<_> = placed.bodies().flat_map(records).collect();
        assert_eq!(each, records(&all(&copied)).collect::<Vec<_>>());
        let mut spare = Vec::new();
        placed.clear(&mut spare, 1);
        assert!(placed.is_empty() && spare.len() == 1);
        let again = sealed(placed, &STAMP);
        assert_eq!(again, sealed(Page::default(), &STAMP));
        assert_ne!(again, sealed(copied, &STAMP));
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
            let bytes = sealed(page, &stamp);
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
