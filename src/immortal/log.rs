//! Log files: pages one after the other.
//!
//! A process that dies while it writes leaves a page cut short at the end of the
//! last log; nobody has seen an effect of that page, so it is cut off and
//! forgotten. Anything else that does not read back is damage and is reported
//! with file and place: what followed it may have been promised to others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::crash;
use super::directory::{Directory, Durability};
use super::error::Error;
use super::gather;
use super::page::{self, Header, Invalid, Page, Stamp};

/// The log that is being written.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
    /// Number of this log.
    pub number: u64,
    /// Bytes written so far.
    pub length: u64,
    durability: Durability,
}

impl LogWriter {
    /// Begins the log of a new generation.
    pub fn create(directory: &Directory, number: u64) -> Result<Self, Error> {
        let path = directory.log_path(number);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::disk("create", &path))?;
        crash::point(crash::LOG_CREATED);
        if directory.durability == Durability::Fsync
            && let Err(error) = directory.sync()
        {
            // It may be begun again.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            file,
            path,
            number,
            length: 0,
            durability: directory.durability,
        })
    }

    /// Appends a sealed page; when this returns, the page is safe. After an error
    /// the log is as it was before, as far as the disk allows.
    pub fn append(&mut self, page: &Page) -> Result<(), Error> {
        let written = self.write(page);
        if written.is_err() {
            // What stays all the same is a torn tail.
            let _ = self.file.set_len(self.length);
        }
        written
    }

    // Errors are made where they happen: their paths would be allocated for each page.
    fn write(&mut self, page: &Page) -> Result<(), Error> {
        if crash::due(crash::PAGE_HALF) {
            let whole = page.parts().collect::<Vec<_>>().concat();
            let _ = self.file.write_all(&whole[..whole.len() / 2]);
            crash::die();
        }
        gather::write_all(&mut self.file, page.parts())
            .map_err(|source| Error::disk("write", &self.path)(source))?;
        crash::point(crash::PAGE_WRITTEN);
        if self.durability == Durability::Fsync {
            self.file
                .sync_data()
                .map_err(|source| Error::disk("synchronise", &self.path)(source))?;
        }
        crash::point(crash::PAGE_SAFE);
        self.length += page.parts().map(<[u8]>::len).sum::<usize>() as u64;
        Ok(())
    }
}

/// What reading the logs came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Pages that were read.
    pub pages: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Bytes of a half-written page that were cut off the end.
    pub torn: u64,
}

/// What to make of the end of the newest log.
pub enum End<'a> {
    /// It was being written by an execution that is dead: a half-written page is cut
    /// off.
    Cut,
    /// It is only looked at: a half-written page is passed over.
    Leave,
    /// It may still be growing: this waits a moment and answers whether it may go on
    /// growing. Once it answers `false`, the end is cut.
    Follow(&'a mut dyn FnMut() -> Result<bool, Error>),
}

/// Reads every page of the logs `from` and later, in order, and hands each to
/// `each`; `next_page` is the sequence number that the first one must have.
pub fn replay<'a>(
    directory: &'a Directory,
    from: u64,
    next_page: u64,
    end: End<'a>,
    each: impl FnMut(&Stamp, &[u8]) -> Result<(), Error>,
) -> Result<Replayed, Error> {
    if !directory.logs()?.contains(&from) {
        return Err(Error::MissingLog {
            path: directory.log_path(from),
        });
    }
    let mut replay = Replay {
        directory,
        end,
        each,
        next_page,
        replayed: Replayed::default(),
    };
    let mut next = Some(from);
    while let Some(number) = next {
        next = replay.log(number)?;
    }
    Ok(replay.replayed)
}

struct Replay<'a, F> {
    directory: &'a Directory,
    end: End<'a>,
    each: F,
    next_page: u64,
    replayed: Replayed,
}

impl<F: FnMut(&Stamp, &[u8]) -> Result<(), Error>> Replay<'_, F> {
    /// Reads one log to its end; answers the one after it.
    fn log(&mut self, number: u64) -> Result<Option<u64>, Error> {
        let path = self.directory.log_path(number);
        let failed = || Error::disk("read", &path);
        let mut reader = PageReader::open(&path).map_err(failed())?;
        // Nothing is added to a log once a later one was begun.
        let mut complete = false;
        loop {
            let offset = reader.offset;
            let unread = match reader.next().map_err(failed())? {
                Some(Ok((header, body))) => {
                    self.page(number, offset, &header.stamp, body)?;
                    continue;
                }
                Some(Err(invalid)) => Some(invalid),
                None => None,
            };
            let later = self.directory.logs()?.into_iter().find(|&n| n > number);
            match (&mut self.end, later) {
                (_, Some(_)) if complete => return self.ended(number, offset, unread, later),
                (_, Some(_)) => complete = true,
                (End::Follow(wait), None) => {
                    if !wait()? {
                        self.end = End::Cut;
                    }
                }
                (_, None) => return self.ended(number, offset, unread, None),
            }
            reader.back_to(offset).map_err(failed())?;
        }
    }

    fn page(&mut self, log: u64, at: u64, stamp: &Stamp, body: &[u8]) -> Result<(), Error> {
        if (stamp.log, stamp.seq) != (log, self.next_page) {
            return Err(Error::CorruptLog {
                path: self.directory.log_path(log),
                offset: at,
                reason: format!(
                    "page {} of log {} lies where page {} of log {log} belongs",
                    stamp.seq, stamp.log, self.next_page
                ),
            });
        }
        (self.each)(stamp, body)?;
        self.next_page += 1;
        self.replayed.pages += 1;
        self.replayed.bytes += (page::HEADER + body.len()) as u64;
        Ok(())
    }

    /// A log has no more pages; judges what lies behind the last one.
    fn ended(
        &mut self,
        number: u64,
        offset: u64,
        unread: Option<Invalid>,
        later: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let Some(invalid) = unread else {
            return Ok(later);
        };
        let path = self.directory.log_path(number);
        let rest = read_from(&path, offset).map_err(Error::disk("read", &path))?;
        let rest = &rest[..];
        if let Some(found) = page::other_version(rest) {
            let known = char::from(page::VERSION);
            return Err(Error::Version { path, found, known });
        }
        let follows = page_follows(rest, |stamp| {
            stamp.log == number && stamp.seq >= self.next_page
        });
        if later.is_some() || follows {
            let reason = describe(invalid).to_owned();
            return Err(Error::CorruptLog {
                path,
                offset,
                reason,
            });
        }
        self.replayed.torn = rest.len() as u64;
        if !matches!(self.end, End::Leave) {
            cut(self.directory, number, offset)?;
        }
        Ok(None)
    }
}

/// The end of a file, from `offset` on.
fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a log page by page, into the same memory.
struct PageReader {
    file: BufReader<File>,
    left: u64,
    /// Where the next page begins.
    offset: u64,
    /// As long as the longest page so far.
    page: Vec<u8>,
}

type Judged<'a> = Result<(Header, &'a [u8]), Invalid>;

impl PageReader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            left: file.metadata()?.len(),
            file: BufReader::with_capacity(page::HEADER, file),
            offset: 0,
            page: Vec::new(),
        })
    }

    /// Looks again at what begins at `offset`: it may have grown.
    fn back_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.left = self.file.get_ref().metadata()?.len().saturating_sub(offset);
        self.offset = offset;
        Ok(())
    }

    /// The next page; `None` at the end of the file.
    fn next(&mut self) -> io::Result<Option<Judged<'_>>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.left < page::HEADER as u64 {
            return Ok(Some(Err(Invalid::Short)));
        }
        let mut head = [0; page::HEADER];
        self.file.read_exact(&mut head)?;
        let length = match Header::decode(&head) {
            Ok(header) => page::HEADER + header.body as usize,
            Err(invalid) => return Ok(Some(Err(invalid))),
        };
        if self.left < length as u64 {
            return Ok(Some(Err(Invalid::Short)));
        }
        if self.page.len() < length {
            self.page.resize(length, 0);
        }
        let page = &mut self.page[..length];
        page[..page::HEADER].copy_from_slice(&head);
        self.file.read_exact(&mut page[page::HEADER..])?;
        self.left -= length as u64;
        self.offset += length as u64;
        Ok(Some(page::decode(page)))
    }
}

fn describe(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Short => "the page is cut short, yet other pages follow",
        Invalid::Magic => "no page begins here",
        Invalid::Checksum => "the checksum of the page does not match",
    }
}

/// Whether a page that `belongs` here lies anywhere behind the unreadable one at the
/// front. If so the end was not reached: a damaged length must not hide what follows.
/// A page inside a payload belongs elsewhere.
fn page_follows(bytes: &[u8], belongs: impl Fn(&Stamp) -> bool) -> bool {
    let mut from = 1;
    while let Some(at) = page::find_magic(bytes, from) {
        if page::decode(&bytes[at..]).is_ok_and(|(header, _)| belongs(&header.stamp)) {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Cuts a log at `length`, durably: the next log is only begun after this, so that
/// later recoveries find every log but the last one whole.
fn cut(directory: &Directory, number: u64, length: u64) -> Result<(), Error> {
    let path = directory.log_path(number);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| {
            file.set_len(length)?;
            match directory.durability {
                Durability::Fsync => file.sync_all(),
                Durability::Os => Ok(()),
            }
        })
        .map_err(Error::disk("cut", &path))
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::sealed;
    use super::super::page::{Origin, Page, Record};
    use super::*;

    /// A directory with two logs of two pages each; answers the second's offset of
    /// its second page and its length.
    fn logs() -> (tempfile::TempDir, Directory, usize, usize) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path(), "a", Durability::Os, |_| {}).unwrap();
        let (mut seq, mut second, mut length) = (0, 0, 0);
        for number in 1..=2 {
            let mut log = LogWriter::create(&directory, number).unwrap();
            for _ in 0..2 {
                seq += 1;
                second = log.length as usize;
                let mut page = Page::default();
                page.put(Record::Calls {
                    origin: Origin::Own,
                    first: seq,
                    count: 1,
                    run: &[7; 100],
                });
                page.seal(&stamp(number, seq));
                log.append(&page).unwrap();
                length = log.length as usize;
            }
        }
        (root, directory, second, length)
    }

    fn read(directory: &Directory) -> Result<(Vec<u64>, Replayed), Error> {
        let mut seen = Vec::new();
        let replayed = replay(directory, 1, 1, End::Cut, |stamp, _| {
            seen.push(stamp.seq);
            Ok(())
        })?;
        Ok((seen, replayed))
    }

    fn stamp(log: u64, seq: u64) -> Stamp {
        Stamp {
            log,
            seq,
            ..Stamp::default()
        }
    }

    #[test]
    fn whole_logs_read_back() {
        let (_root, directory, ..) = logs();
        let (seen, replayed) = read(&directory).unwrap();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert_eq!((replayed.pages, replayed.torn), (4, 0));
    }

    #[test]
    fn a_page_cut_at_any_byte_is_forgotten() {
        let (_root, directory, second, length) = logs();
        let path = directory.log_path(2);
        let whole = fs::read(&path).unwrap();
        for end in second..length {
            fs::write(&path, &whole[..end]).unwrap();
            let (seen, replayed) = read(&directory).unwrap();
            assert_eq!(seen, [1, 2, 3], "cut at {end}");
            assert_eq!(replayed.torn as usize, end - second);
            assert_eq!(fs::metadata(&path).unwrap().len() as usize, second);
        }
    }

    #[test]
    fn damage_before_the_end_names_file_and_offset() {
        let (_root, directory, ..) = logs();
        let path = directory.log_path(2);
        let whole = fs::read(&path).unwrap();
        // Every byte of the first page, its length field included.
        for at in 0..page::HEADER + 119 {
            let mut bad = whole.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            let error = read(&directory).unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, Error::CorruptLog { offset: 0, .. }),
                "byte {at}: {text}"
            );
            assert!(text.contains("log-0000000002 at byte 0"), "{text}");
        }
    }

    #[test]
    fn damage_to_the_last_page_of_an_older_log_is_an_error_whatever_the_byte() {
        let (_root, directory, second, length) = logs();
        let path = directory.log_path(1);
        let whole = fs::read(&path).unwrap();
        for at in second..length {
            for bit in [0, 6] {
                let mut bad = whole.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                let error = read(&directory).unwrap_err();
                let Error::CorruptLog { offset, .. } = error else {
                    panic!("byte {at}: {error}");
                };
                assert_eq!(offset as usize, second, "byte {at}");
            }
        }
    }

    #[test]
    fn damage_to_the_very_last_page_looks_like_a_write_that_was_cut_short() {
        let (_root, directory, second, length) = logs();
        let path = directory.log_path(2);
        let whole = fs::read(&path).unwrap();
        for at in second..length {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let (seen, replayed) = read(&directory).unwrap();
            assert_eq!((seen.len(), replayed.torn as usize), (3, length - second));
            assert_eq!(fs::metadata(&path).unwrap().len() as usize, second);
        }
    }

    #[test]
    fn damage_at_the_end_of_an_older_log_is_no_torn_tail() {
        let (_root, directory, second, length) = logs();
        let path = directory.log_path(1);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..length - 1]).unwrap();
        let error = read(&directory).unwrap_err().to_string();
        assert!(
            error.contains(&format!("log-0000000001 at byte {second}")),
            "{error}"
        );
    }

    #[test]
    fn a_missing_log_is_an_error() {
        let (_root, directory, ..) = logs();
        let mut log = LogWriter::create(&directory, 3).unwrap();
        let mut page = Page::default();
        page.seal(&stamp(3, 5));
        log.append(&page).unwrap();
        fs::remove_file(directory.log_path(2)).unwrap();
        let error = read(&directory).unwrap_err().to_string();
        assert!(error.contains("log-0000000003 at byte 0"), "{error}");
        fs::remove_file(directory.log_path(1)).unwrap();
        assert!(matches!(
            read(&directory).unwrap_err(),
            Error::MissingLog { .. }
        ));
    }

    #[test]
    fn who_only_looks_leaves_the_half_written_page() {
        let (_root, directory, _, length) = logs();
        let path = directory.log_path(2);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..length - 1]).unwrap();
        let replayed = replay(&directory, 1, 1, End::Leave, |_, _| Ok(())).unwrap();
        assert_eq!(replayed.pages, 3);
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, length - 1);
    }

    #[test]
    fn a_page_inside_a_payload_is_not_one_that_follows() {
        let (_root, directory, ..) = logs();
        let stranger = fs::read(directory.log_path(1)).unwrap();
        let mut page = Page::default();
        page.put(Record::Calls {
            origin: Origin::Own,
            first: 5,
            count: 1,
            run: &stranger,
        });
        let whole = sealed(page, &stamp(3, 5));
        fs::write(directory.log_path(3), &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&directory).unwrap().0, [1, 2, 3, 4]);
    }

    #[test]
    fn a_log_of_another_version_says_which() {
        let (_root, directory, ..) = logs();
        let path = directory.log_path(1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] = b'2';
        bytes[4] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = read(&directory).unwrap_err().to_string();
        let said = format!("{} was written in format 2", path.display());
        assert!(error.starts_with(&said), "{error}");
    }

    /// Whoever follows a log sees each page as it comes, goes on to the next log, and
    /// cuts the half page at the end only when told that nobody writes any more.
    #[test]
    fn a_growing_log_is_followed_to_its_end() {
        let (_root, directory, _, length) = logs();
        let path = directory.log_path(2);
        let whole = fs::read(&path).unwrap();
        let third = sealed(Page::default(), &stamp(3, 5));
        let mut step = 0;
        let mut seen = Vec::new();
        fs::write(&path, &whole[..length - 50]).unwrap();
        let mut grow = || {
            step += 1;
            match step {
                1 => fs::write(&path, &whole[..length - 1]).unwrap(),
                2 => fs::write(&path, &whole).unwrap(),
                3 => fs::write(directory.log_path(3), &third[..7]).unwrap(),
                4 => fs::write(directory.log_path(3), [&third[..], &third[..9]].concat()).unwrap(),
                _ => return Ok(false),
            }
            Ok(true)
        };
        let replayed = replay(&directory, 1, 1, End::Follow(&mut grow), |stamp, _| {
            seen.push(stamp.seq);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        assert_eq!(replayed.torn, 9);
        assert_eq!(fs::read(directory.log_path(3)).unwrap(), third);
    }
}
