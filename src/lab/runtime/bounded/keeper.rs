//! The two processes behind bounded volumes: the keeper, in whose namespaces
//! they are mounted, and the hand, which mounts them there for one lab.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, StatVfs, flock, open, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    mount_remount, open_tree, unmount,
};
use rustix::process::{
    DumpableBehavior, Signal, getgid, getuid, pivot_root, set_dumpable_behavior,
    set_parent_process_death_signal,
};
use serde::{Deserialize, Serialize};

use crate::lab::runtime::{rootfs, wire};
use crate::sys;

/// How long volumes outlive a lab that nobody starts again.
const LINGER: Duration = Duration::from_mins(10);

/// How often a keeper without a lab looks whether there is one again.
const LOOK: Duration = Duration::from_secs(1);

/// What a volume may not bring into a container.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// What a keeper is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// A file that the lab holds locked as long as it lives.
    pub lock: PathBuf,
    /// An empty directory, to become the keeper's root.
    pub root: PathBuf,
}

/// What a hand is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// Mount a volume of that many bytes, unless it is there; one that is smaller
    /// grows.
    Place { name: String, size: u64 },
    /// Unmount whatever is at or below a name.
    Remove { name: String },
}

/// What has become of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Done {
    /// The volume is there. With it come a tree to mount and the volume itself,
    /// to be measured.
    Placed {
        /// It was not there before.
        fresh: bool,
    },
    /// Done.
    Well,
    /// Not done, and why.
    Failed(String),
}

/// Keeps volumes, as a process of its own. Its standard input is the lab, until
/// it is ready.
pub(in crate::lab::runtime) fn keep() -> u8 {
    let lab = rustix::stdio::stdin();
    let Ok(Some((plan, _))) = wire::receive::<Plan>(lab) else {
        return 1;
    };
    let lock = match settle(&plan) {
        Ok(lock) => lock,
        Err(why) => {
            // If the lab is gone, nobody is left to be told.
            let _ = wire::send(lab, &Done::Failed(why), &[]);
            return 1;
        }
    };
    if wire::send(lab, &Done::Well, &[]).is_err() {
        return 1;
    }
    // The hand that comes after it finds no use for this one's socket.
    let _ = rustix::stdio::dup2_stdin(&lock);
    stay(&lock);
    0
}

/// Moves into namespaces of its own, with an empty root that lies in memory:
/// nothing of the machine is held by it, but the lock.
fn settle(plan: &Plan) -> Result<File, String> {
    let step = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
    let lock = File::open(&plan.lock).map_err(step("open the lab's lock"))?;
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    sys::enter_new_mounts().map_err(step("make a mount namespace"))?;
    rootfs::become_root(uid, gid).map_err(step("become root in a mount namespace"))?;
    // The next lab finds it through /proc.
    set_dumpable_behavior(DumpableBehavior::Dumpable)
        .map_err(|error| step("be open to the lab")(error.into()))?;
    let root = || -> io::Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        mount("tmpfs", &plan.root, "tmpfs", FLAGS, c"mode=700,size=1m")?;
        std::env::set_current_dir(&plan.root)?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")
    };
    root().map_err(step("make a root in memory"))?;
    Ok(lock)
}

/// Stays until its lab has been dead for [`LINGER`], or the lab's state is gone.
fn stay(lock: &File) {
    let mut alone_since = Instant::now();
    loop {
        if lock.metadata().is_ok_and(|lock| lock.nlink() == 0) {
            return;
        }
        match flock(lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                // The next lab must not wait for it.
                let _ = flock(lock, FlockOperation::Unlock);
                if alone_since.elapsed() >= LINGER {
                    return;
                }
            }
            Err(_) => alone_since = Instant::now(),
        }
        std::thread::sleep(LOOK);
    }
}

/// Mounts volumes in a keeper's namespaces, as a process of its own, until the
/// lab is gone. Its standard input is the lab.
pub(in crate::lab::runtime) fn serve() -> u8 {
    let lab = rustix::stdio::stdin();
    let Ok(Some((wire::Join, keys))) = wire::receive::<wire::Join>(lab) else {
        return 1;
    };
    let joined = match keys.as_slice() {
        [user, mounts] => sys::join_mounts(user.as_fd(), mounts.as_fd()),
        _ => Err(io::Error::other("its keys are missing")),
    };
    // Joining has cleared it.
    let joined = joined
        .and_then(|()| Ok(set_parent_process_death_signal(Some(Signal::KILL))?))
        .and_then(|()| std::env::set_current_dir("/"));
    if let Err(error) = joined {
        let why = format!("join the keeper of volumes: {error}");
        let _ = wire::send(lab, &Done::Failed(why), &[]);
        return 1;
    }
    if wire::send(lab, &Done::Well, &[]).is_err() {
        return 1;
    }
    while let Ok(Some((task, _))) = wire::receive::<Task>(lab) {
        let (done, handles) = match carry_out(&task) {
            Ok(done) => done,
            Err(error) => (Done::Failed(error.to_string()), Vec::new()),
        };
        let handles: Vec<_> = handles.iter().map(AsFd::as_fd).collect();
        if wire::send(lab, &done, &handles).is_err() {
            return 1;
        }
    }
    0
}

fn carry_out(task: &Task) -> io::Result<(Done, Vec<OwnedFd>)> {
    match task {
        Task::Place { name, size } => {
            let path = Path::new("/").join(name);
            let fresh = place(&path, *size)?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, &path, flags)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let volume = open(&path, flags, Mode::empty())?;
            Ok((Done::Placed { fresh }, vec![tree, volume]))
        }
        Task::Remove { name } => {
            remove(&Path::new("/").join(name))?;
            Ok((Done::Well, Vec::new()))
        }
    }
}

/// Whether the volume had to be made.
fn place(path: &Path, size: u64) -> io::Result<bool> {
    fs::create_dir_all(path)?;
    let options = |more: &str| CString::new(format!("size={size}{more}"));
    if !is_mounted(path)? {
        let options = options(",mode=777")?;
        mount("tmpfs", path, "tmpfs", FLAGS, options.as_c_str())?;
        return Ok(true);
    }
    if capacity(&statvfs(path)?) < size {
        mount_remount(path, FLAGS, options("")?.as_c_str())?;
    }
    Ok(false)
}

fn is_mounted(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}

fn capacity(volume: &StatVfs) -> u64 {
    volume.f_blocks * volume.f_frsize
}

/// Unmounts a volume, or those below a directory. Containers that have it
/// mounted keep theirs.
fn remove(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if is_mounted(path)? {
        unmount(path, UnmountFlags::DETACH)?;
    } else {
        for entry in fs::read_dir(path)? {
            remove(&entry?.path())?;
        }
    }
    fs::remove_dir(path)
}
