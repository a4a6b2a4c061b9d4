//! Limits of containers, kept by the kernel's control groups.
//!
//! A container that has a limit gets a group of its own below the group that
//! the lab itself is in, so that whatever bounds the lab bounds its containers
//! too. The program enters it between *fork* and *exec*, and so does every
//! command beside it; the init stays outside and lives to tell of an
//! out-of-memory kill. What the machine permits is found out by doing it once.
//!
//! Groups outlive their makers. So the lab writes down where they are before it
//! makes any, and the next one on the same state directory removes them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::sys;

mod place;

use place::{Place, Version};

/// How often, and how long apart, a group that is still busy is tried again: the
/// kernel counts a process out a moment after it was waited for.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// The period that a share of a processor is given out in, in microseconds; the
/// real kubelet's.
const PERIOD: u64 = 100_000;

/// The least share in a period that the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1000;

/// What a container may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes. Whoever takes more is killed.
    pub memory: Option<u64>,
    /// Processor time, in thousandths of a processor. Whoever wants more waits.
    pub cpu: Option<u64>,
}

impl Limits {
    fn none(self) -> bool {
        self == Self::default()
    }
}

/// Which limits are kept, and why others are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    /// Limits of memory.
    pub memory: Result<(), String>,
    /// Limits of processor time.
    pub cpu: Result<(), String>,
}

impl Enforced {
    /// What keeps these limits from being kept; none when they are.
    pub fn obstacle(&self, limits: Limits) -> Option<String> {
        let of = |asked: Option<u64>, name: &str, kept: &Result<(), String>| {
            let why = kept.as_ref().err().filter(|_| asked.is_some())?;
            Some(format!("limits of {name} are not enforced here: {why}"))
        };
        let memory = of(limits.memory, "memory", &self.memory);
        memory.or_else(|| of(limits.cpu, "cpu", &self.cpu))
    }
}

impl std::fmt::Display for Enforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.memory, &self.cpu) {
            (Ok(()), Ok(())) => f.write_str("memory, cpu"),
            (Ok(()), Err(why)) => write!(f, "memory (not cpu: {why})"),
            (Err(why), Ok(())) => write!(f, "cpu (not memory: {why})"),
            (Err(why), Err(_)) => write!(f, "none: {why}"),
        }
    }
}

/// The control groups of one lab.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// Where groups of each controller are made; one place twice in version 2.
    memory: Result<Place, String>,
    cpu: Result<Place, String>,
    /// The file that says where they are.
    ledger: PathBuf,
}

impl Cgroups {
    /// Removes what an earlier lab has left and finds out what this machine
    /// permits, unless nothing is `wanted`. `state` is the runtime's directory.
    ///
    /// # Errors
    /// When the ledger in it cannot be written.
    pub fn open(state: &Path, wanted: bool) -> io::Result<Self> {
        let ledger = state.join("cgroups");
        let before = fs::read_to_string(&ledger).unwrap_or_default();
        for base in before.lines().map(Path::new) {
            place::clear(base);
        }
        let refuse = || Err("the lab was started with --no-limits".to_owned());
        let mut cgroups = Self {
            memory: refuse(),
            cpu: refuse(),
            ledger,
        };
        if wanted {
            let name = format!("aks-tui-lab-{:016x}", fastrand::u64(..));
            let found = place::find(&name);
            let bases: Vec<String> = found.bases().map(|it| it.display().to_string()).collect();
            fs::write(&cgroups.ledger, bases.join("\n"))?;
            (cgroups.memory, cgroups.cpu) = found.make();
            cgroups.prove();
        }
        Ok(cgroups)
    }

    /// Runs a shell that does nothing in a group of each kind: only that tells
    /// whether the kernel lets one in.
    fn prove(&mut self) {
        let probe = |limits: Limits| -> Result<(), String> {
            let group = self
                .make("probe", limits)
                .map_err(|error| error.to_string())?;
            let Some(group) = group else { return Ok(()) };
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "exit 0"]).stdin(Stdio::null());
            let ran = group.doors().map(|doors| {
                sys::enter_groups(&mut shell, Arc::new(doors));
                shell.status()
            });
            group.remove_now();
            match ran {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(format!("a shell in a control group ended with {status}")),
                Ok(Err(error)) | Err(error) => Err(format!("enter a control group: {error}")),
            }
        };
        let memory = probe(Limits {
            memory: Some(64 << 20),
            cpu: None,
        });
        let cpu = probe(Limits {
            memory: None,
            cpu: Some(1000),
        });
        if let (Ok(_), Err(why)) = (&self.memory, memory) {
            self.memory = Err(why);
        }
        if let (Ok(_), Err(why)) = (&self.cpu, cpu) {
            self.cpu = Err(why);
        }
    }

    /// Which limits are kept.
    pub fn enforced(&self) -> Enforced {
        let of = |place: &Result<Place, String>| place.as_ref().map(|_| ()).map_err(Clone::clone);
        Enforced {
            memory: of(&self.memory),
            cpu: of(&self.cpu),
        }
    }

    /// Makes the group of a container; none when it needs none, or none of what
    /// it needs is permitted.
    ///
    /// # Errors
    /// The kernel's, with the file that it was about.
    pub fn make(&self, id: &str, limits: Limits) -> io::Result<Option<Group>> {
        if limits.none() {
            return Ok(None);
        }
        let mut group = Group::default();
        let made = self.fill(&mut group, id, limits);
        if let Err(error) = made {
            group.remove_now();
            return Err(error);
        }
        Ok((!group.directories.is_empty()).then_some(group))
    }

    fn fill(&self, group: &mut Group, id: &str, limits: Limits) -> io::Result<()> {
        if let (Some(bytes), Ok(place)) = (limits.memory, &self.memory) {
            let directory = group.enter(place, id)?;
            match place.version {
                Version::One => {
                    write(&directory, "memory.limit_in_bytes", bytes)?;
                    // Not there without swap accounting.
                    let _ = write(&directory, "memory.memsw.limit_in_bytes", bytes);
                }
                Version::Two => {
                    write(&directory, "memory.max", bytes)?;
                    let _ = write(&directory, "memory.swap.max", 0);
                    // As the real kubelet: a container dies as a whole.
                    let _ = write(&directory, "memory.oom.group", 1);
                }
            }
            group.memory = Some((place.version, directory));
        }
        if let (Some(millicores), Ok(place)) = (limits.cpu, &self.cpu) {
            let directory = group.enter(place, id)?;
            let quota = (millicores * PERIOD / 1000).max(LEAST_QUOTA);
            match place.version {
                Version::One => {
                    write(&directory, "cpu.cfs_period_us", PERIOD)?;
                    write(&directory, "cpu.cfs_quota_us", quota)?;
                }
                Version::Two => write(&directory, "cpu.max", format!("{quota} {PERIOD}"))?,
            }
        }
        Ok(())
    }

    /// Removes all groups; whatever was in them must have ended.
    pub fn close(&self) {
        for place in [&self.memory, &self.cpu].into_iter().flatten() {
            place.give_back();
        }
        // It says only where to look.
        let _ = fs::remove_file(&self.ledger);
    }
}

/// The control groups of one container.
#[derive(Debug, Default)]
pub(super) struct Group {
    directories: Vec<PathBuf>,
    memory: Option<(Version, PathBuf)>,
}

impl Group {
    fn enter(&mut self, place: &Place, id: &str) -> io::Result<PathBuf> {
        let directory = place.base.join(id);
        if !self.directories.contains(&directory) {
            fs::create_dir(&directory).map_err(|error| about(&directory, &error))?;
            self.directories.push(directory.clone());
        }
        Ok(directory)
    }

    /// What a process writes to in order to be in it. The kernel asks whether
    /// whoever *opened* them may.
    pub fn doors(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |directory: &PathBuf| {
            let path = directory.join("cgroup.procs");
            let door = OpenOptions::new().write(true).open(&path);
            door.map(OwnedFd::from)
                .map_err(|error| about(&path, &error))
        };
        self.directories.iter().map(open).collect()
    }

    /// Whether the kernel has killed one in it because memory was short.
    pub fn out_of_memory(&self) -> bool {
        let Some((version, directory)) = &self.memory else {
            return false;
        };
        let file = match version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        field(&read(directory, file), "oom_kill").is_some_and(|kills| kills > 0)
    }

    /// Memory that is held, without what can be read again from files when it
    /// is needed, in bytes: what clusters call the working set.
    pub fn memory(&self) -> Option<u64> {
        let (version, directory) = self.memory.as_ref()?;
        let (usage, cold) = match version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => ("memory.current", "inactive_file"),
        };
        let usage: u64 = read(directory, usage).trim().parse().ok()?;
        let cold = field(&read(directory, "memory.stat"), cold).unwrap_or(0);
        Some(usage.saturating_sub(cold))
    }

    /// Removes it as soon as nobody is in it.
    pub async fn remove(&self) {
        for _ in 0..TRIES {
            if self.remove_now() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::warn!(
            "a control group stays until the lab ends: {:?}",
            self.directories
        );
    }

    /// Whether it is gone.
    fn remove_now(&self) -> bool {
        let stay = self.directories.iter().filter(|it| !place::remove(it));
        stay.count() == 0
    }
}

fn write(directory: &Path, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let path = directory.join(file);
    fs::write(&path, value.to_string()).map_err(|error| about(&path, &error))
}

fn read(directory: &Path, file: &str) -> String {
    let path = directory.join(file);
    let text = File::open(path).and_then(io::read_to_string);
    text.unwrap_or_default()
}

/// A number that follows a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(key, _)| *key == name)?;
    value.trim().parse().ok()
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_says_which_limits_it_keeps_and_why_not_the_others() {
        let kept = |memory, cpu| Enforced { memory, cpu };
        let no = || Err("no".to_owned());
        assert_eq!(kept(Ok(()), Ok(())).to_string(), "memory, cpu");
        assert_eq!(kept(Ok(()), no()).to_string(), "memory (not cpu: no)");
        assert_eq!(kept(no(), Ok(())).to_string(), "cpu (not memory: no)");
        assert_eq!(kept(no(), no()).to_string(), "none: no");
        let asked = |memory, cpu| Limits { memory, cpu };
        let half = kept(Ok(()), no());
        assert_eq!(half.obstacle(asked(Some(1), None)), None);
        assert_eq!(
            half.obstacle(asked(Some(1), Some(1))).unwrap(),
            "limits of cpu are not enforced here: no"
        );
        assert_eq!(kept(no(), no()).obstacle(Limits::default()), None);
    }

    #[test]
    fn a_lab_that_wants_no_limits_makes_no_groups() {
        let state = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::open(state.path(), false).unwrap();
        assert!(cgroups.enforced().to_string().starts_with("none: "));
        let limits = Limits {
            memory: Some(1 << 20),
            cpu: Some(100),
        };
        assert!(cgroups.make("x", limits).unwrap().is_none());
        cgroups.close();
    }

    #[test]
    fn limits_are_written_in_the_words_of_either_version() {
        let base = tempfile::tempdir().unwrap();
        let limits = Limits {
            memory: Some(1 << 20),
            cpu: Some(250),
        };
        for (version, files) in [
            (
                Version::One,
                &[
                    ("memory.limit_in_bytes", "1048576"),
                    ("cpu.cfs_quota_us", "25000"),
                    ("cpu.cfs_period_us", "100000"),
                ][..],
            ),
            (
                Version::Two,
                &[
                    ("memory.max", "1048576"),
                    ("memory.oom.group", "1"),
                    ("cpu.max", "25000 100000"),
                ][..],
            ),
        ] {
            let place = Place::at(version, base.path());
            let cgroups = Cgroups {
                memory: Ok(place.clone()),
                cpu: Ok(place),
                ledger: base.path().join("ledger"),
            };
            let name = format!("{version:?}");
            let group = cgroups.make(&name, limits).unwrap().unwrap();
            for (file, text) in files {
                assert_eq!(read(&base.path().join(&name), file), *text, "{file}");
            }
            assert!(!group.out_of_memory());
            let (events, usage, stat) = match version {
                Version::One => (
                    "memory.oom_control",
                    "memory.usage_in_bytes",
                    "total_inactive_file 4096\n",
                ),
                Version::Two => ("memory.events", "memory.current", "inactive_file 4096\n"),
            };
            let directory = base.path().join(&name);
            fs::write(directory.join(events), "oom 3\noom_kill 1\n").unwrap();
            fs::write(directory.join(usage), "10000\n").unwrap();
            fs::write(directory.join("memory.stat"), stat).unwrap();
            assert!(group.out_of_memory());
            assert_eq!(group.memory(), Some(10000 - 4096));
        }
    }
}
