//! Checkpoints: the whole state of an instance at the end of a page.
//!
//! Beside the application's own state that is, for each link, how far it got in
//! both directions and the calls that the peer has not yet made durable: replay
//! starts after them and could not make them again. A checkpoint is written
//! beside the one before, synchronised, and only then given its name.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::crash;
use super::directory::Directory;
use super::error::Error;
use super::fingerprint::Fingerprint;
use super::link::Chunk;

/// How every checkpoint of any version begins; the version follows as a digit.
const FAMILY: &[u8; 7] = b"akCheck";
/// The version of the layout that is written here.
const VERSION: u8 = b'1';

/// The state of an instance between two pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Generation: the log of this number follows.
    pub number: u64,
    /// The execution that took it.
    pub epoch: u64,
    /// Sequence number of the first page that is not part of it.
    pub next_page: u64,
    /// The logged clock, nanoseconds since 1970.
    pub time: u64,
    /// What the application saved.
    pub app: Vec<u8>,
    /// Next sequence number of a call of the instance to itself.
    pub next_own: u64,
    /// Calls to itself that are made but not executed: sequence number, then the
    /// call as the codec lays it out.
    pub own: Vec<(u64, Vec<u8>)>,
    /// The links, in the order of their indexes.
    pub links: Vec<LinkSnapshot>,
}

impl Snapshot {
    /// The fingerprint of the state, as [`state`] defines it.
    pub fn state(&self) -> u64 {
        let links = self.links.iter().map(|link| (link.next_in, link.next_out));
        state(&self.app, self.next_own, &self.own, links)
    }
}

/// The fingerprint of a state between two pages: the application's own, the calls of
/// the instance to itself, and of each link the next call in and out. What peers have
/// confirmed depends on the moment, and is left out.
pub fn state(
    app: &[u8],
    next_own: u64,
    own: &[(u64, Vec<u8>)],
    links: impl Iterator<Item = (u64, u64)>,
) -> u64 {
    let mut hash = Fingerprint::default();
    hash.bytes(app);
    hash.number(next_own);
    for (seq, call) in own {
        hash.number(*seq);
        hash.bytes(call);
    }
    for (next_in, next_out) in links {
        hash.number(next_in);
        hash.number(next_out);
    }
    hash.finish()
}

/// The state of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// The peer, once it is known.
    pub peer: Option<String>,
    /// Next call expected from the peer.
    pub next_in: u64,
    /// Next call to be made to the peer.
    pub next_out: u64,
    /// Last call that the peer has made durable.
    pub acknowledged: u64,
    /// Calls made and not known to be durable at the peer.
    pub retained: Vec<Arc<Chunk>>,
}

/// Writes a checkpoint durably and publishes it, then removes generations that
/// are no longer needed.
pub fn publish(directory: &Directory, instance: &str, snapshot: &Snapshot) -> Result<(), Error> {
    let unfinished = directory.unfinished_path(snapshot.number, "");
    write(directory, instance, snapshot, &unfinished)?;
    directory.prune()
}

/// Writes a checkpoint in the place of the execution that acts, which may be writing
/// the same one and removes old generations itself.
pub fn relieve(directory: &Directory, instance: &str, snapshot: &Snapshot) -> Result<(), Error> {
    let unfinished = directory.unfinished_path(snapshot.number, ".relief");
    write(directory, instance, snapshot, &unfinished)
}

fn write(
    directory: &Directory,
    instance: &str,
    snapshot: &Snapshot,
    unfinished: &Path,
) -> Result<(), Error> {
    let finished = directory.checkpoint_path(snapshot.number);
    File::create(unfinished)
        .and_then(|mut file| {
            if crash::due(crash::CHECKPOINT_HALF) {
                let _ = file.write_all(FAMILY);
                crash::die();
            }
            let mut out = Summing {
                out: BufWriter::with_capacity(1 << 16, file),
                crc: crc32fast::Hasher::new(),
            };
            encode(&mut out, instance, snapshot)?;
            let Summing { mut out, crc } = out;
            out.write_all(&crc.finalize().to_le_bytes())?;
            let file = out.into_inner()?;
            crash::point(crash::CHECKPOINT_WRITTEN);
            file.sync_all()
        })
        .map_err(Error::disk("write", unfinished))?;
    crash::point(crash::CHECKPOINT_SAFE);
    fs::rename(unfinished, &finished).map_err(Error::disk("publish", &finished))?;
    crash::point(crash::CHECKPOINT_NAMED);
    directory.sync()?;
    crash::point(crash::CHECKPOINT_PUBLISHED);
    Ok(())
}

/// Reads the newest checkpoint that is whole; `None` in a directory without any.
/// `passed` is told of each newer one that is damaged, with the reason.
pub fn newest(
    directory: &Directory,
    instance: &str,
    mut passed: impl FnMut(&Path, &str),
) -> Result<Option<Snapshot>, Error> {
    let numbers = directory.checkpoints()?;
    for &number in numbers.iter().rev() {
        match read(directory, instance, number)? {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(reason) => passed(&directory.checkpoint_path(number), reason),
        }
    }
    if numbers.is_empty() {
        return Ok(None);
    }
    Err(Error::NoCheckpoint {
        path: directory.path().to_owned(),
        reason: format!("{} found, all damaged", numbers.len()),
    })
}

/// Reads one checkpoint. The inner error says how it is damaged.
pub fn read(
    directory: &Directory,
    instance: &str,
    number: u64,
) -> Result<Result<Snapshot, &'static str>, Error> {
    let path = directory.checkpoint_path(number);
    let file = File::open(&path).map_err(Error::disk("read", &path))?;
    let length = file.metadata().map_err(Error::disk("read", &path))?.len();
    let input = BufReader::with_capacity(1 << 16, file);
    match decode(input, length, instance, number) {
        Ok(snapshot) => Ok(Ok(snapshot)),
        Err(Unusable::Damaged(reason)) => Ok(Err(reason)),
        Err(Unusable::Version(found)) => Err(Error::Version {
            path,
            found,
            known: char::from(VERSION),
        }),
    }
}

const CUT: &str = "it is damaged or cut short";

/// Why bytes are no checkpoint to start from.
#[derive(Debug)]
enum Unusable {
    Damaged(&'static str),
    /// They are one of another version.
    Version(char),
}

impl From<&'static str> for Unusable {
    fn from(reason: &'static str) -> Self {
        Self::Damaged(reason)
    }
}

struct Summing<W> {
    out: W,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn encode(out: &mut impl Write, instance: &str, snapshot: &Snapshot) -> io::Result<()> {
    let mut head = FAMILY.to_vec();
    head.push(VERSION);
    put_text(&mut head, instance);
    for value in [
        snapshot.number,
        snapshot.epoch,
        snapshot.next_page,
        snapshot.time,
        snapshot.next_own,
        snapshot.own.len() as u64,
        snapshot.links.len() as u64,
        snapshot.app.len() as u64,
    ] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(&snapshot.app);
    for (seq, call) in &snapshot.own {
        head.extend_from_slice(&seq.to_le_bytes());
        head.extend_from_slice(&(call.len() as u64).to_le_bytes());
        head.extend_from_slice(call);
    }
    out.write_all(&head)?;
    for link in &snapshot.links {
        let mut head = u64::from(link.peer.is_some()).to_le_bytes().to_vec();
        put_text(&mut head, link.peer.as_deref().unwrap_or_default());
        for value in [
            link.next_in,
            link.next_out,
            link.acknowledged,
            link.retained.len() as u64,
        ] {
            head.extend_from_slice(&value.to_le_bytes());
        }
        out.write_all(&head)?;
        for chunk in &link.retained {
            for value in [
                chunk.first,
                u64::from(chunk.count),
                chunk.payload,
                chunk.run.len() as u64,
            ] {
                out.write_all(&value.to_le_bytes())?;
            }
            out.write_all(&chunk.run)?;
        }
    }
    Ok(())
}

/// A checkpoint being read: nothing of it may be used before its checksum is judged.
struct Source<R> {
    input: R,
    crc: crc32fast::Hasher,
    /// Bytes before the checksum.
    left: u64,
}

impl<R: Read> Source<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        self.input.read_exact(bytes).ok()?;
        self.crc.update(bytes);
        self.left -= bytes.len() as u64;
        Some(())
    }

    fn bytes(&mut self, length: u64) -> Option<Vec<u8>> {
        // A damaged length must not ask for more memory than the file is long.
        if length > self.left {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        if self.left < 8 {
            return None;
        }
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u64()?;
        String::from_utf8(self.bytes(length)?).ok()
    }
}

fn decode(
    input: impl Read,
    length: u64,
    instance: &str,
    number: u64,
) -> Result<Snapshot, Unusable> {
    let mut source = Source {
        input,
        crc: crc32fast::Hasher::new(),
        left: length.checked_sub(4).ok_or(CUT)?,
    };
    let begin = source.bytes(FAMILY.len() as u64 + 1).ok_or(CUT)?;
    let Some(&[version]) = begin.strip_prefix(FAMILY) else {
        return Err("it does not begin as a checkpoint does".into());
    };
    if version != VERSION && version.is_ascii_alphanumeric() {
        // One of ours whose digit alone was damaged would still have its checksum.
        source.crc.reset();
        source.crc.update(FAMILY);
        source.crc.update(&[VERSION]);
        return match decode_rest(&mut source) {
            Ok(_) => Err("its version is damaged".into()),
            Err(_) => Err(Unusable::Version(char::from(version))),
        };
    }
    let (name, snapshot) = decode_rest(&mut source)?;
    if name != instance {
        return Err("it belongs to another instance".into());
    }
    if snapshot.number != number {
        return Err("it is another generation than its name says".into());
    }
    Ok(snapshot)
}

/// What follows the beginning, judged by its checksum.
fn decode_rest(source: &mut Source<impl Read>) -> Result<(String, Snapshot), &'static str> {
    let decoded = decode_body(source).ok_or(CUT)?;
    let mut crc = [0; 4];
    source.input.read_exact(&mut crc).map_err(|_| CUT)?;
    let sum = std::mem::take(&mut source.crc).finalize();
    if source.left > 0 || sum != u32::from_le_bytes(crc) {
        return Err("its checksum does not match");
    }
    Ok(decoded)
}

fn decode_body(source: &mut Source<impl Read>) -> Option<(String, Snapshot)> {
    let name = source.text()?;
    let mut snapshot = Snapshot {
        number: source.u64()?,
        epoch: source.u64()?,
        next_page: source.u64()?,
        time: source.u64()?,
        next_own: source.u64()?,
        ..Snapshot::default()
    };
    let own = source.u64()?;
    let links = source.u64()?;
    let app = source.u64()?;
    snapshot.app = source.bytes(app)?;
    for _ in 0..own {
        let seq = source.u64()?;
        let length = source.u64()?;
        snapshot.own.push((seq, source.bytes(length)?));
    }
    for _ in 0..links {
        snapshot.links.push(decode_link(source)?);
    }
    Some((name, snapshot))
}

fn decode_link(source: &mut Source<impl Read>) -> Option<LinkSnapshot> {
    let known = source.u64()? == 1;
    let name = source.text()?;
    let mut link = LinkSnapshot {
        peer: known.then_some(name),
        next_in: source.u64()?,
        next_out: source.u64()?,
        acknowledged: source.u64()?,
        retained: Vec::new(),
    };
    for _ in 0..source.u64()? {
        let first = source.u64()?;
        let count = u32::try_from(source.u64()?).ok()?;
        let payload = source.u64()?;
        let length = source.u64()?;
        link.retained.push(Arc::new(Chunk {
            first,
            count,
            payload,
            run: source.bytes(length)?,
        }));
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::super::directory::Durability;
    use super::*;

    fn sample(number: u64) -> Snapshot {
        Snapshot {
            number,
            epoch: 3,
            next_page: 40 + number,
            time: 5,
            app: b"state".to_vec(),
            next_own: 9,
            own: vec![(8, b"\x00\x01".to_vec())],
            links: vec![
                LinkSnapshot {
                    peer: Some("server".into()),
                    next_in: 11,
                    next_out: 22,
                    acknowledged: 19,
                    retained: vec![Arc::new(Chunk {
                        first: 20,
                        count: 2,
                        payload: 4,
                        run: b"abcdefgh".to_vec(),
                    })],
                },
                LinkSnapshot::default(),
            ],
        }
    }

    fn directory() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path(), "a", Durability::Os, |_| {}).unwrap();
        (root, directory)
    }

    #[test]
    fn the_newest_one_comes_back_and_two_stay() {
        let (_root, directory) = directory();
        assert_eq!(newest(&directory, "a", |_, _| {}).unwrap(), None);
        for number in 1..=4 {
            publish(&directory, "a", &sample(number)).unwrap();
        }
        let read = newest(&directory, "a", |_, reason| panic!("{reason}")).unwrap();
        assert_eq!(read, Some(sample(4)));
        assert_eq!(directory.checkpoints().unwrap(), [3, 4]);
    }

    #[test]
    fn a_damaged_one_is_passed_over_for_the_one_before() {
        let (_root, directory) = directory();
        publish(&directory, "a", &sample(1)).unwrap();
        publish(&directory, "a", &sample(2)).unwrap();
        let path = directory.checkpoint_path(2);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let mut told = 0;
            let read = newest(&directory, "a", |_, _| told += 1).unwrap();
            assert_eq!((read, told), (Some(sample(1)), 1), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            let read = newest(&directory, "a", |_, _| {}).unwrap();
            assert_eq!(read, Some(sample(1)), "cut at {at}");
        }
        fs::write(directory.checkpoint_path(1), "junk").unwrap();
        fs::write(&path, "junk").unwrap();
        assert!(matches!(
            newest(&directory, "a", |_, _| {}),
            Err(Error::NoCheckpoint { .. })
        ));
    }

    #[test]
    fn one_of_another_version_is_refused_not_passed_over() {
        let (_root, directory) = directory();
        publish(&directory, "a", &sample(1)).unwrap();
        let path = directory.checkpoint_path(2);
        fs::write(&path, b"akCheck2 and what nobody here can read").unwrap();
        let error = newest(&directory, "a", |_, _| {}).unwrap_err().to_string();
        let said = format!(
            "{} was written in format 2, this program reads 1",
            path.display()
        );
        assert!(error.starts_with(&said), "{error}");
    }

    #[test]
    fn an_unfinished_one_does_not_count() {
        let (root, directory) = directory();
        publish(&directory, "a", &sample(1)).unwrap();
        fs::write(directory.unfinished_path(2, ""), "half").unwrap();
        let read = newest(&directory, "a", |_, _| panic!("not a checkpoint")).unwrap();
        assert_eq!(read, Some(sample(1)));
        drop(directory);
        let again = Directory::open(root.path(), "a", Durability::Os, |_| {}).unwrap();
        assert!(!again.unfinished_path(2, "").exists());
    }
}
