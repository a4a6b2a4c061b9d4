//! A directory as a gzipped tar archive, as docker would send it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use color_eyre::eyre::{Result, WrapErr, bail};
use flate2::{Compression, write::GzEncoder};
use regex::Regex;

/// What never goes up: version control and Python's environments.
const NEVER: [&str; 7] = [
    ".git",
    ".gitignore",
    ".bzr",
    ".hg",
    ".hgignore",
    ".svn",
    ".venv",
];

/// A block of the format.
const BLOCK: usize = 512;

/// The largest file that the plain format holds, bytes.
const LARGEST: u64 = 0o77_777_777_777;

/// The archive of `dir`, without what is to be ignored: what the file beside its
/// Dockerfile `file` names (`Dockerfile.dockerignore`), else its `.dockerignore`.
pub fn archive(dir: &Path, file: &str) -> Result<Vec<u8>> {
    let ignored = Ignored::read(dir, file)?;
    let mut files = Vec::new();
    collect(dir, Path::new(""), &ignored, &mut files)?;
    files.sort();
    let mut archive = GzEncoder::new(Vec::new(), Compression::default());
    for file in files {
        add(&mut archive, dir, &file)
            .wrap_err_with(|| format!("cannot pack {}", dir.join(&file).display()))?;
    }
    archive.write_all(&[0; 2 * BLOCK])?;
    Ok(archive.finish()?)
}

fn collect(dir: &Path, below: &Path, ignored: &Ignored, files: &mut Vec<PathBuf>) -> Result<()> {
    let at = dir.join(below);
    for entry in fs::read_dir(&at).wrap_err_with(|| format!("cannot read {}", at.display()))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if NEVER.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // A file in an ignored directory may be taken back by a `!` pattern.
            collect(dir, &path, ignored, files)?;
        } else if !ignored.has(&slashed(&path)) {
            files.push(path);
        }
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

fn add(archive: &mut impl Write, dir: &Path, file: &Path) -> Result<()> {
    let at = dir.join(file);
    let found = fs::symlink_metadata(&at)?;
    let name = slashed(file);
    if found.file_type().is_symlink() {
        let target = fs::read_link(&at)?.to_string_lossy().into_owned();
        archive.write_all(&header(&name, 0o777, 0, b'2', &target)?)?;
        return Ok(());
    }
    if !found.is_file() {
        bail!("it is neither a file nor a link");
    }
    let content = fs::read(&at)?;
    archive.write_all(&header(
        &name,
        mode(&found),
        content.len() as u64,
        b'0',
        "",
    )?)?;
    archive.write_all(&content)?;
    let rest = content.len() % BLOCK;
    if rest > 0 {
        archive.write_all(&vec![0; BLOCK - rest])?;
    }
    Ok(())
}

#[cfg(unix)]
fn mode(found: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0o755
}

/// A header of the ustar format (POSIX.1-1988). Times are 0: the same directory makes
/// the same archive.
fn header(name: &str, mode: u32, size: u64, kind: u8, target: &str) -> Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let (prefix, name) = split(name)?;
    if target.len() > 100 {
        bail!("its target is longer than 100 bytes");
    }
    if size > LARGEST {
        bail!("it is larger than 8 GiB");
    }
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// A name as prefix and rest, as long ones need.
fn split(name: &str) -> Result<(&str, &str)> {
    if name.len() <= 100 {
        return Ok(("", name));
    }
    name.match_indices('/')
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .find(|(prefix, rest)| prefix.len() <= 155 && rest.len() <= 100)
        .ok_or_else(|| color_eyre::eyre::eyre!("its path is too long"))
}

/// The patterns of a `.dockerignore`, in order; the last one that fits decides.
struct Ignored(Vec<(bool, Regex)>);

impl Ignored {
    fn read(dir: &Path, file: &str) -> Result<Self> {
        for name in [format!("{file}.dockerignore"), ".dockerignore".to_owned()] {
            match fs::read_to_string(dir.join(&name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => {
                    return Self::parse(&text.wrap_err_with(|| format!("cannot read {name}"))?);
                }
            }
        }
        Self::parse("")
    }

    fn parse(text: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (ignore, pattern) = line
                .strip_prefix('!')
                .map_or((true, line), |rest| (false, rest));
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            let regex = Regex::new(&format!("^{}(/.*)?$", translate(pattern)))
                .wrap_err_with(|| format!("`{line}` in .dockerignore is no pattern"))?;
            patterns.push((ignore, regex));
        }
        Ok(Self(patterns))
    }

    fn has(&self, path: &str) -> bool {
        self.0
            .iter()
            .rev()
            .find(|(_, pattern)| pattern.is_match(path))
            .is_some_and(|(ignore, _)| *ignore)
    }
}

/// Go's `filepath.Match`, and `**` for any number of directories.
fn translate(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(.*/)?");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = after;
        } else {
            match c {
                '*' => out.push_str("[^/]*"),
                '?' => out.push_str("[^/]"),
                c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn patterns_are_dockers() {
        let ignored =
            Ignored::parse("target\n*.log\n**/cache\n!keep.log\n# comment\n/docs/*.md\n").unwrap();
        for path in ["target/debug/x", "a.log", "deep/er/cache/y", "docs/a.md"] {
            assert!(ignored.has(path), "{path}");
        }
        for path in ["src/target.rs", "deep/a.log", "keep.log", "docs/deep/a.md"] {
            assert!(!ignored.has(path), "{path}");
        }
    }

    #[test]
    fn tar_reads_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let deep = format!("{}/{}", "d".repeat(90), "e".repeat(60));
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        fs::write(dir.path().join(&deep).join("file"), vec![b'x'; 1000]).unwrap();
        fs::write(dir.path().join("no.log"), "no").unwrap();
        fs::write(dir.path().join(".dockerignore"), "*.log\n").unwrap();
        let out = tempfile::tempdir().unwrap();
        let archive = out.path().join("a.tar.gz");
        fs::write(&archive, super::archive(dir.path(), "Dockerfile").unwrap()).unwrap();
        let done = Command::new("tar")
            .arg("xzf")
            .arg(&archive)
            .arg("-C")
            .arg(out.path())
            .status()
            .unwrap();
        assert!(done.success());
        assert_eq!(
            fs::read(out.path().join("Dockerfile")).unwrap(),
            b"FROM scratch\n"
        );
        assert_eq!(
            fs::read(out.path().join(&deep).join("file")).unwrap().len(),
            1000
        );
        assert!(!out.path().join("no.log").exists());
        // What is beside the Dockerfile comes first, as docker has it.
        fs::write(dir.path().join("Dockerfile.dockerignore"), "*\n!no.log\n").unwrap();
        let other = super::archive(dir.path(), "other/Dockerfile").unwrap();
        let own = super::archive(dir.path(), "Dockerfile").unwrap();
        assert!(own.len() < other.len(), "only one file is left");
    }
}
