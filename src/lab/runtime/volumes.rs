//! The host's side of a volume: making what is to be mounted, without being
//! led astray by links that a container has left in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat};

use super::rootfs::open_inside;

/// What a volume's source must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Whatever is there; a directory is made when nothing is.
    Any,
    /// A directory, made when missing.
    DirectoryOrCreate,
    /// A directory that is there.
    Directory,
    /// A file, made empty when missing.
    FileOrCreate,
    /// A file that is there.
    File,
}

/// Makes sure that `path` inside `base` is there and is what it must be.
///
/// # Errors
/// What it is instead, or why it cannot be made.
pub fn prepare_source(base: &Path, path: &Path, kind: SourceKind) -> io::Result<()> {
    fs::create_dir_all(base)?;
    let root = File::open(base)?;
    match kind {
        SourceKind::Any | SourceKind::DirectoryOrCreate => make_directories(&root, path)?,
        SourceKind::FileOrCreate => make_file(&root, path)?,
        SourceKind::Directory | SourceKind::File => {}
    }
    let found = fstat(open_inside(&root, path)?)?;
    let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    match kind {
        SourceKind::DirectoryOrCreate | SourceKind::Directory if !is_directory => {
            Err(io::Error::other("it is not a directory"))
        }
        SourceKind::FileOrCreate | SourceKind::File if is_directory => {
            Err(io::Error::other("it is a directory, not a file"))
        }
        _ => Ok(()),
    }
}

fn make_directories(root: &File, path: &Path) -> io::Result<()> {
    let mut done = std::path::PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        let parent = open_inside(root, &done)?;
        done.push(name);
        if open_inside(root, &done).is_ok() {
            continue;
        }
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn make_file(root: &File, path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it names no file"));
    };
    make_directories(root, parent)?;
    let parent: OwnedFd = open_inside(root, parent)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::from_raw_mode(0o644)) {
        Err(rustix::io::Errno::EXIST) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_made_as_they_must_be() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let prepare = |path: &str, kind| prepare_source(base, Path::new(path), kind);
        assert!(prepare("/a/b", SourceKind::Directory).is_err());
        prepare("/a/b", SourceKind::DirectoryOrCreate).unwrap();
        prepare("/a/b", SourceKind::Directory).unwrap();
        prepare("/a/b", SourceKind::Any).unwrap();
        assert!(prepare("/a/b", SourceKind::File).is_err());
        prepare("/a/c/f", SourceKind::FileOrCreate).unwrap();
        prepare("/a/c/f", SourceKind::FileOrCreate).unwrap();
        prepare("/a/c/f", SourceKind::File).unwrap();
        assert!(prepare("/a/c/f", SourceKind::DirectoryOrCreate).is_err());
        assert!(base.join("a/c/f").is_file());
    }

    #[test]
    fn a_link_leads_nowhere_else() {
        let base = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), base.path().join("out")).unwrap();
        let path = Path::new("/out/made");
        assert!(prepare_source(base.path(), path, SourceKind::DirectoryOrCreate).is_err());
        assert!(prepare_source(base.path(), path, SourceKind::FileOrCreate).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
