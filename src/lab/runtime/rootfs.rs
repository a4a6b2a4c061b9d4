//! The small root a container lives in, in the namespace mode.
//!
//! It is made of four things: the host's programs and libraries, read-only; a
//! generated `/etc`; `/proc` and `/dev` of its own; and the volumes. There is
//! no `/home`, `/root`, `/run` or `/var` of the host in it, and the rest of the
//! root is memory that goes when the container goes.
//!
//! The container's user looks like root, but it is the lab's user under another
//! name, without one capability left and unable to gain any. So what is mounted
//! read-only stays read-only, what is covered stays covered, and the kernel's
//! settings in `/proc/sys` cannot be written even when the lab runs as root. It
//! has no file open and no key of whoever started the lab.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, mount_move, mount_remount, move_mount, unmount,
};
use rustix::process::{DumpableBehavior, pivot_root, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use serde::{Deserialize, Serialize};

/// Where the program's names are found in a container.
pub(super) const PROGRAMS: &str = "/opt/aks-tui/bin";

/// Where `pidof`, `ps` and `kill` are found when the host has none.
pub(super) const APPLETS: &str = "/opt/aks-tui/applets";

/// The host's programs and libraries.
const SYSTEM: [&str; 9] = [
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    // Where distributions without a /usr keep everything.
    "nix/store",
    "gnu/store",
];

/// Pieces of the host's `/etc` that its programs need to start.
const SYSTEM_ETC: [&str; 3] = ["etc/ld.so.cache", "etc/alternatives", "etc/terminfo"];

/// Below the default limit of 32768 process ids in a namespace.
const FIRST_PROCESS_ID: std::ops::Range<u32> = 100..30_000;

/// Devices without state that could tell anything of the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What the kernel shows of the whole machine's memory, keys and devices.
const COVERED_FILES: [&str; 12] = [
    "kcore",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "pagetypeinfo",
    "sched_debug",
    "slabinfo",
    "timer_list",
    "vmallocinfo",
];

const COVERED_DIRECTORIES: [&str; 3] = ["acpi", "asound", "scsi"];

/// A root to build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Root {
    /// An empty directory of the host to build it on.
    pub staging: PathBuf,
    /// The executable of this program.
    pub executable: PathBuf,
    /// Names under which the executable is found in [`PROGRAMS`].
    pub links: Vec<String>,
    /// The container's host name.
    pub hostname: String,
    /// A file of the host that becomes `/etc/hosts`.
    pub hosts: Option<PathBuf>,
    /// What is in `/etc/resolv.conf`; none is what is in the host's.
    pub resolver: Option<String>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// Nothing can be written but to volumes and to `/dev/shm`.
    pub read_only: bool,
}

/// A volume: a directory or file of the host at a place in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Directory of the host that the source cannot leave, whatever links a
    /// container has put into it.
    pub base: PathBuf,
    /// Which of the container's trees stands in for `base`.
    pub tree: Option<usize>,
    /// The source, relative to `base`.
    pub inside: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// The container cannot write to it.
    pub read_only: bool,
}

/// What step of building failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(super) struct RootError {
    step: String,
    source: io::Error,
}

trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, RootError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, RootError> {
        self.map_err(|error| RootError {
            step: step(),
            source: error.into(),
        })
    }
}

impl Root {
    /// Builds the root and moves the calling process, which must be alone in
    /// new namespaces, into it. There is no way back. `trees` are the detached
    /// mounts of its bounded volumes.
    pub fn enter(&self, trees: &[OwnedFd]) -> Result<(), RootError> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).step(|| "make mounts private".into())?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(
            "tmpfs",
            &self.staging,
            "tmpfs",
            flags,
            c"mode=755,size=256m",
        )
        .step(|| format!("mount memory on {}", self.staging.display()))?;
        let mut read_only = self.system()?;
        read_only.extend(self.programs()?);
        self.etc()?;
        read_only.extend(SYSTEM_ETC.iter().map(|name| Path::new("/").join(name)));
        self.devices()?;
        self.proc()?;
        self.stage_volumes(trees)?;
        self.pivot()?;
        make_read_only(&read_only)?;
        if self.read_only {
            share_memory()?;
        }
        self.place_volumes()?;
        if self.read_only {
            close_root()?;
        }
        rustix::system::sethostname(self.hostname.as_bytes())
            .step(|| format!("set the host name {}", self.hostname))?;
        Ok(())
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.staging.join(path)
    }

    fn directory(&self, path: &str, mode: u32) -> Result<PathBuf, RootError> {
        let path = self.at(path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&path)
            .step(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    fn file(&self, path: &str, content: &str) -> Result<PathBuf, RootError> {
        let path = self.at(path);
        fs::write(&path, content).step(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    fn system(&self) -> Result<Vec<PathBuf>, RootError> {
        let mut bound = Vec::new();
        for name in SYSTEM {
            let host = Path::new("/").join(name);
            let Ok(found) = fs::symlink_metadata(&host) else {
                continue;
            };
            if found.is_symlink() {
                let to = fs::read_link(&host).step(|| format!("read {}", host.display()))?;
                symlink(&to, self.at(name)).step(|| format!("link /{name}"))?;
            } else {
                let target = self.directory(name, 0o755)?;
                mount_bind_recursive(&host, &target).step(|| format!("bind /{name}"))?;
                bound.push(host);
            }
        }
        Ok(bound)
    }

    fn programs(&self) -> Result<[PathBuf; 1], RootError> {
        let directory = self.directory(&PROGRAMS[1..], 0o755)?;
        let executable = directory.join("aks-tui");
        fs::write(&executable, "").step(|| "make the program's place".into())?;
        mount_bind(&self.executable, &executable)
            .step(|| format!("bind {}", self.executable.display()))?;
        // The executable itself is there under its own name already.
        for name in self.links.iter().filter(|name| *name != "aks-tui") {
            symlink("aks-tui", directory.join(name)).step(|| format!("link {name}"))?;
        }
        let applets = self.directory(&APPLETS[1..], 0o755)?;
        for name in super::applets::NAMES {
            symlink("../bin/aks-tui", applets.join(name)).step(|| format!("link {name}"))?;
        }
        Ok([Path::new(PROGRAMS).join("aks-tui")])
    }

    fn etc(&self) -> Result<(), RootError> {
        self.directory("etc", 0o755)?;
        self.file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        )?;
        self.file("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")?;
        self.file(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        )?;
        self.file("etc/hostname", &format!("{}\n", self.hostname))?;
        let hosts = || fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let resolver = self.resolver.clone().unwrap_or_else(hosts);
        self.file("etc/resolv.conf", &resolver)?;
        let hosts = self.file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n")?;
        if let Some(host) = &self.hosts {
            mount_bind(host, &hosts).step(|| format!("bind {}", host.display()))?;
        }
        for name in SYSTEM_ETC {
            let host = Path::new("/").join(name);
            let target = self.at(name);
            match fs::metadata(&host) {
                Ok(found) if found.is_dir() => drop(self.directory(name, 0o755)?),
                Ok(_) => drop(self.file(name, "")?),
                Err(_) => continue,
            }
            mount_bind_recursive(&host, &target).step(|| format!("bind /{name}"))?;
        }
        for (name, mode) in [("root", 0o700), ("run", 0o755), ("var/tmp", 0o1777)] {
            self.directory(name, mode)?;
        }
        // What a shell's prompt looks like in a container.
        self.file("root/.bashrc", "PS1='\\u@\\h:\\w\\$ '\n")?;
        let tmp = self.directory("tmp", 0o755)?;
        set_mode(&tmp, 0o1777)
    }

    fn devices(&self) -> Result<(), RootError> {
        let dev = self.directory("dev", 0o755)?;
        for name in DEVICES {
            let host = Path::new("/dev").join(name);
            let target = dev.join(name);
            fs::write(&target, "").step(|| format!("make /dev/{name}"))?;
            mount_bind(&host, &target).step(|| format!("bind /dev/{name}"))?;
        }
        let pts = self.directory("dev/pts", 0o755)?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let options = c"newinstance,ptmxmode=0666,mode=0620";
        mount("devpts", &pts, "devpts", flags, options).step(|| "mount terminals".into())?;
        let shared = self.directory("dev/shm", 0o755)?;
        set_mode(&shared, 0o1777)?;
        for (to, name) in [
            ("pts/ptmx", "ptmx"),
            ("/proc/self/fd", "fd"),
            ("/proc/self/fd/0", "stdin"),
            ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
        ] {
            symlink(to, dev.join(name)).step(|| format!("link /dev/{name}"))?;
        }
        Ok(())
    }

    fn proc(&self) -> Result<(), RootError> {
        let proc = self.directory("proc", 0o555)?;
        let closed = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let flags = closed | MountFlags::RDONLY;
        mount("proc", &proc, "proc", closed, None).step(|| "mount /proc".into())?;
        // Each execution's process ids begin somewhere else, as on a machine that
        // runs for a while: a restarted program is told from its predecessor.
        // Where the kernel does not let it be set, they begin at 2.
        let before = fastrand::u32(FIRST_PROCESS_ID).to_string();
        let _ = fs::write(proc.join("sys/kernel/ns_last_pid"), before);
        mount_remount(&proc, flags, c"").step(|| "close /proc".into())?;
        for name in COVERED_FILES.map(|name| proc.join(name)) {
            if name.exists() {
                mount_bind("/dev/null", &name).step(|| format!("cover {}", name.display()))?;
            }
        }
        for name in COVERED_DIRECTORIES.map(|name| proc.join(name)) {
            if name.exists() {
                mount("tmpfs", &name, "tmpfs", flags, c"size=4k")
                    .step(|| format!("cover {}", name.display()))?;
            }
        }
        Ok(())
    }

    /// Brings the volumes' sources into the new root while the host's paths can
    /// still be seen. Their places are made later, when no link in a path can
    /// lead out of the new root any more.
    fn stage_volumes(&self, trees: &[OwnedFd]) -> Result<(), RootError> {
        let places = self.place_trees(trees)?;
        for (index, volume) in self.mounts.iter().enumerate() {
            let step = || {
                let source = volume.base.join(&volume.inside);
                format!("mount {} on {}", source.display(), volume.target.display())
            };
            let place = volume.tree.and_then(|tree| places.get(tree));
            let base = openat2(
                CWD,
                place.unwrap_or(&volume.base),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::empty(),
            )
            .step(step)?;
            let source = open_inside(&base, &volume.inside).step(step)?;
            let kind = FileType::from_raw_mode(fstat(&source).step(step)?.st_mode);
            let name = format!(".volumes/{index}");
            let staged = if kind == FileType::Directory {
                self.directory(&name, 0o755)?
            } else {
                self.directory(".volumes", 0o755)?;
                self.file(&name, "")?
            };
            let source = format!("/proc/self/fd/{}", source.as_raw_fd());
            mount_bind_recursive(source, &staged).step(step)?;
        }
        for place in places {
            unmount(&place, UnmountFlags::DETACH).step(|| "let go of a volume".into())?;
        }
        Ok(())
    }

    /// Mounts the trees where volumes can be taken from them.
    fn place_trees(&self, trees: &[OwnedFd]) -> Result<Vec<PathBuf>, RootError> {
        let mut places = Vec::new();
        for (index, tree) in trees.iter().enumerate() {
            let place = self.directory(&format!(".volumes/tree-{index}"), 0o755)?;
            move_mount(
                tree,
                "",
                CWD,
                &place,
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            )
            .step(|| "mount a bounded volume".into())?;
            places.push(place);
        }
        Ok(places)
    }

    fn pivot(&self) -> Result<(), RootError> {
        let step = || "move into the new root".to_owned();
        std::env::set_current_dir(&self.staging).step(step)?;
        // The old root ends up stacked on the new one, and is taken off it.
        pivot_root(".", ".").step(step)?;
        unmount(".", UnmountFlags::DETACH).step(step)?;
        std::env::set_current_dir("/").step(step)
    }

    fn place_volumes(&self) -> Result<(), RootError> {
        // A volume inside another one's place must come after it.
        let mut order: Vec<_> = self.mounts.iter().enumerate().collect();
        order.sort_by_key(|(_, volume)| volume.target.components().count());
        let mut read_only = Vec::new();
        for (index, volume) in order {
            let target = plain(&volume.target);
            let step = || format!("mount a volume on {}", target.display());
            let staged = Path::new("/.volumes").join(index.to_string());
            if fs::metadata(&staged).step(step)?.is_dir() {
                fs::create_dir_all(&target).step(step)?;
            } else {
                fs::create_dir_all(target.parent().unwrap_or(Path::new("/"))).step(step)?;
                let mut file = fs::OpenOptions::new();
                file.create(true).append(true).mode(0o644);
                file.open(&target).step(step)?;
            }
            mount_move(&staged, &target).step(step)?;
            if volume.read_only {
                read_only.push(target);
            }
        }
        // Left alone it would show how many volumes there are, no more.
        let _ = fs::remove_dir_all("/.volumes");
        make_read_only(&read_only)
    }
}

/// Memory that programs share, which a root that is read-only does not have.
fn share_memory() -> Result<(), RootError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = c"mode=1777,size=64m";
    mount("tmpfs", "/dev/shm", "tmpfs", flags, options).step(|| "mount shared memory".into())
}

/// Makes the root itself read-only; what is mounted in it stays as it is.
fn close_root() -> Result<(), RootError> {
    let kept = MountFlags::NOSUID | MountFlags::NODEV;
    let flags = kept | MountFlags::BIND | MountFlags::RDONLY;
    mount_remount("/", flags, c"").step(|| "make the root read-only".into())
}

/// An absolute path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// Opens `path` with `base` as its root: neither `..` nor a link leads out.
pub(super) fn open_inside(base: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = plain(path);
    openat2(
        base,
        path.as_path(),
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn set_mode(path: &Path, mode: u32) -> Result<(), RootError> {
    // Not left to the creation, whose mode the umask cuts.
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
        .step(|| format!("open {} to all", path.display()))
}

/// Makes every mount at or below the given places read-only, keeping its other
/// restrictions: a user namespace may not lift one that it has inherited.
fn make_read_only(places: &[PathBuf]) -> Result<(), RootError> {
    let mut mounts = String::new();
    fs::File::open("/proc/self/mountinfo")
        .and_then(|mut file| file.read_to_string(&mut mounts))
        .step(|| "read the list of mounts".into())?;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(target), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let target = unescape(target);
        if !places.iter().any(|place| target.starts_with(place)) {
            continue;
        }
        let flags = options.split(',').map(flag).collect::<MountFlags>();
        let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(&target, flags, c"")
            .step(|| format!("make {} read-only", target.display()))?;
    }
    Ok(())
}

fn flag(option: &str) -> MountFlags {
    match option {
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    }
}

/// A path as the kernel lists it: blanks and backslashes are octal escapes.
fn unescape(text: &str) -> PathBuf {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Gives up every capability for good, and hides the calling process from
/// others of its user, so that nothing in the container can reach through it.
pub(super) fn renounce() -> Result<(), RootError> {
    let step = || "give up capabilities".to_owned();
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel knows no further ones.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).step(step),
        }
    }
    clear_ambient_capability_set().step(step)?;
    set_no_new_privs(true).step(step)?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, none).step(step)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(step)
}

/// Makes the calling process, alone in a new user namespace, its root.
pub(super) fn become_root(uid: u32, gid: u32) -> io::Result<()> {
    let write = |path: &str, text: String| {
        fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(text.as_bytes())
    };
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("a/./b/", "/a/b"),
            ("/../../etc", "/etc"),
            ("/a/../b", "/b"),
            ("", "/"),
        ] {
            assert_eq!(plain(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn listed_mounts_are_unescaped() {
        for (text, expected) in [
            ("/plain", "/plain"),
            ("/with\\040blank", "/with blank"),
            ("/back\\134slash", "/back\\slash"),
            ("/end\\04", "/end\\04"),
        ] {
            assert_eq!(unescape(text), Path::new(expected), "{text}");
        }
    }

    #[test]
    fn a_volume_cannot_lead_out_of_its_base() {
        let base = tempfile::tempdir().unwrap();
        symlink("/etc", base.path().join("out")).unwrap();
        fs::create_dir(base.path().join("etc")).unwrap();
        fs::write(base.path().join("etc/passwd"), "ours").unwrap();
        let directory = fs::File::open(base.path()).unwrap();
        for path in ["out/passwd", "/out/passwd", "../../etc/passwd"] {
            let opened = open_inside(&directory, Path::new(path)).unwrap();
            let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
            assert_eq!(fs::read_to_string(link).unwrap(), "ours", "{path}");
        }
    }
}
