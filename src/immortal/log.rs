//! Log files: pages one after the other.
//!
//! A process that dies while it writes leaves a page cut short at the end of the
//! last log; nobody has seen an effect of that page, so it is cut off and
//! forgotten. Anything else that does not read back is damage and is reported
//! with file and place: what followed it may have been promised to others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::directory::{Directory, Durability};
use super::error::Error;
use super::page::{self, Header, Invalid};

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
        if directory.durability == Durability::Fsync {
            directory.sync()?;
        }
        Ok(Self {
            file,
            path,
            number,
            length: 0,
            durability: directory.durability,
        })
    }

    /// Appends a sealed page; when this returns, the page is safe.
    pub fn append(&mut self, page: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(page)
            .map_err(Error::disk("write", &self.path))?;
        if self.durability == Durability::Fsync {
            self.file
                .sync_data()
                .map_err(Error::disk("synchronise", &self.path))?;
        }
        self.length += page.len() as u64;
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

/// Reads every page of the logs `from` and later, in order, and hands each to
/// `each`; `next_page` is the sequence number that the first one must have. Cuts
/// a half-written page off the end of the last log.
pub fn replay(
    directory: &Directory,
    from: u64,
    mut next_page: u64,
    mut each: impl FnMut(&Header, &[u8]) -> Result<(), Error>,
) -> Result<Replayed, Error> {
    let numbers: Vec<u64> = directory
        .logs()?
        .into_iter()
        .filter(|&n| n >= from)
        .collect();
    if numbers.first() != Some(&from) {
        return Err(Error::MissingLog {
            path: directory.log_path(from),
        });
    }
    let mut replayed = Replayed::default();
    for &number in &numbers {
        let path = directory.log_path(number);
        let mut reader = PageReader::open(&path).map_err(Error::disk("read", &path))?;
        loop {
            let offset = reader.offset;
            let corrupt = |reason: String| Error::CorruptLog {
                path: path.clone(),
                offset,
                reason,
            };
            let (header, body) = match reader.next().map_err(Error::disk("read", &path))? {
                None => break,
                Some(Ok(page)) => page,
                Some(Err(invalid)) => {
                    let bytes = fs::read(&path).map_err(Error::disk("read", &path))?;
                    let last = Some(&number) == numbers.last();
                    if !last || page_follows(&bytes, offset as usize) {
                        return Err(corrupt(describe(invalid).to_owned()));
                    }
                    replayed.torn = bytes.len() as u64 - offset;
                    cut(directory, number, offset)?;
                    break;
                }
            };
            if header.log != number || header.seq != next_page {
                return Err(corrupt(format!(
                    "page {} of log {} lies where page {next_page} of log {number} belongs",
                    header.seq, header.log
                )));
            }
            each(&header, body)?;
            next_page += 1;
            replayed.pages += 1;
            replayed.bytes += (page::HEADER + body.len()) as u64;
        }
    }
    Ok(replayed)
}

/// Reads a log page by page, into the same memory.
struct PageReader {
    file: BufReader<File>,
    left: u64,
    /// Where the next page begins.
    offset: u64,
    page: Vec<u8>,
}

type Judged<'a> = Result<(Header, &'a [u8]), Invalid>;

impl PageReader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            left: file.metadata()?.len(),
            file: BufReader::with_capacity(1 << 16, file),
            offset: 0,
            page: Vec::new(),
        })
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
        self.page.resize(length, 0);
        self.page[..page::HEADER].copy_from_slice(&head);
        self.file.read_exact(&mut self.page[page::HEADER..])?;
        self.left -= length as u64;
        self.offset += length as u64;
        Ok(Some(page::decode(&self.page)))
    }
}

fn describe(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Short => "the page is cut short, yet other pages follow",
        Invalid::Magic => "no page begins here",
        Invalid::Checksum => "the checksum of the page does not match",
    }
}

/// Whether a readable page lies anywhere after the unreadable one at `offset`. If
/// so the end was not reached: a damaged length must not hide what follows.
fn page_follows(bytes: &[u8], offset: usize) -> bool {
    let mut from = offset + 1;
    while let Some(at) = page::find_magic(bytes, from) {
        if page::decode(&bytes[at..]).is_ok() {
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
                log.append(page.seal(number, seq, 1, seq)).unwrap();
                length = log.length as usize;
            }
        }
        (root, directory, second, length)
    }

    fn read(directory: &Directory) -> Result<(Vec<u64>, Replayed), Error> {
        let mut seen = Vec::new();
        let replayed = replay(directory, 1, 1, |header, _| {
            seen.push(header.seq);
            Ok(())
        })?;
        Ok((seen, replayed))
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
        log.append(Page::default().seal(3, 5, 1, 5)).unwrap();
        fs::remove_file(directory.log_path(2)).unwrap();
        let error = read(&directory).unwrap_err().to_string();
        assert!(error.contains("log-0000000003 at byte 0"), "{error}");
        fs::remove_file(directory.log_path(1)).unwrap();
        assert!(matches!(
            read(&directory).unwrap_err(),
            Error::MissingLog { .. }
        ));
    }
}
