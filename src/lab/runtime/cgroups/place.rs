//! Where on this machine the lab may make control groups.
//!
//! Version 2 is one tree with all controllers; version 1 is a tree for each. A
//! machine may have both, and a controller is in one of them. In version 2 a
//! group that hands its controllers on may have no process of its own, so the
//! lab moves itself into a leaf first; it cannot if others are there with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What would give an ordinary user groups of his own.
const HOW: &str = "start the lab with `systemd-run --user --scope -p Delegate=yes`";

/// Which kind of tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// A tree for each controller.
    One,
    /// One tree for all.
    Two,
}

/// A group below which the containers' own are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub version: Version,
    pub base: PathBuf,
    /// The group whose only process was the lab, and the leaf it has moved to.
    moved: Option<(PathBuf, PathBuf)>,
}

impl Place {
    #[cfg(test)]
    pub fn at(version: Version, base: &Path) -> Self {
        Self {
            version,
            base: base.to_owned(),
            moved: None,
        }
    }

    /// Removes it and all in it, and moves the lab back to where it was.
    pub fn give_back(&self) {
        clear(&self.base);
        if let Some((own, leaf)) = &self.moved {
            for controller in [MEMORY, CPU] {
                let _ = fs::write(own.join(CONTROL), format!("-{controller}"));
            }
            let _ = fs::write(own.join(PROCESSES), std::process::id().to_string());
            remove(leaf);
        }
    }
}

const MEMORY: &str = "memory";
const CPU: &str = "cpu";
const PROCESSES: &str = "cgroup.procs";
const CONTROL: &str = "cgroup.subtree_control";

/// Where groups could be made: a version and the group that the lab is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    name: String,
    memory: Result<(Version, PathBuf), String>,
    cpu: Result<(Version, PathBuf), String>,
}

impl Found {
    /// The groups that [`make`](Self::make) may come to make.
    pub fn bases(&self) -> impl Iterator<Item = PathBuf> {
        let own = [&self.memory, &self.cpu].into_iter().flatten();
        own.map(|(_, own)| own.join(&self.name))
    }

    /// Makes the lab's groups: for memory and for processor time.
    pub fn make(self) -> (Result<Place, String>, Result<Place, String>) {
        let own = [&self.memory, &self.cpu].into_iter().flatten();
        let two = own
            .filter(|(version, _)| *version == Version::Two)
            .map(|(_, own)| own.clone())
            .next();
        let two = two.map(|own| hand_on(&own, &self.name));
        let place = |found: Result<(Version, PathBuf), String>, controller: &str| {
            let (version, own) = found?;
            match (version, &two) {
                (Version::Two, Some(made)) => {
                    let place = made.clone()?;
                    let given = read(&place.base.join("cgroup.controllers"));
                    if given.split_whitespace().any(|it| it == controller) {
                        Ok(place)
                    } else {
                        Err(format!(
                            "the {controller} controller is not handed on to it"
                        ))
                    }
                }
                _ => {
                    let base = own.join(&self.name);
                    make(&base)?;
                    Ok(Place {
                        version,
                        base,
                        moved: None,
                    })
                }
            }
        };
        (place(self.memory, MEMORY), place(self.cpu, CPU))
    }
}

/// Looks where groups could be made by this name.
pub(super) fn find(name: &str) -> Found {
    let mounts = read(Path::new("/proc/self/mountinfo"));
    let own = read(Path::new("/proc/self/cgroup"));
    let controller = |name: &str| locate(&mounts, &own, name);
    Found {
        name: name.to_owned(),
        memory: controller(MEMORY),
        cpu: controller(CPU),
    }
}

/// The group that this process is in, in the tree that has a controller.
fn locate(mounts: &str, own: &str, controller: &str) -> Result<(Version, PathBuf), String> {
    for (version, mark) in [(Version::Two, ""), (Version::One, controller)] {
        let line = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let marks = fields.next()?;
            let path = fields.next()?;
            marks.split(',').any(|it| it == mark).then_some(path)
        });
        let mount = mounts
            .lines()
            .find_map(|line| mounted(line, version, controller));
        let (Some(path), Some((root, point))) = (line, mount) else {
            continue;
        };
        // A container may see its own part of the tree only.
        let Ok(inside) = Path::new(path).strip_prefix(&root) else {
            continue;
        };
        let own = Path::new(&point).join(inside);
        if version == Version::Two {
            let given = read(&own.join("cgroup.controllers"));
            if !given.split_whitespace().any(|it| it == controller) {
                continue;
            }
        }
        return Ok((version, own));
    }
    Err(format!(
        "no control group with the {controller} controller is given to it; {HOW}"
    ))
}

/// Root and place of a mount, if it is a tree that may have the controller.
fn mounted(line: &str, version: Version, controller: &str) -> Option<(String, String)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (filesystem, options) = (kind.next()?, kind.nth(1)?);
    let fits = match version {
        Version::Two => filesystem == "cgroup2",
        Version::One => {
            filesystem == "cgroup" && options.split(',').any(|option| option == controller)
        }
    };
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    fits.then(|| (root.to_owned(), point.to_owned()))
}

/// Brings the controllers of the lab's own group of version 2 into a new one.
fn hand_on(own: &Path, name: &str) -> Result<Place, String> {
    let base = own.join(name);
    make(&base)?;
    let mut place = Place {
        version: Version::Two,
        base,
        moved: None,
    };
    let made = give_controllers(own, name, &mut place);
    if let Err(why) = made {
        place.give_back();
        return Err(why);
    }
    for controller in [MEMORY, CPU] {
        // What was not given is not there to be found.
        let _ = fs::write(place.base.join(CONTROL), format!("+{controller}"));
    }
    Ok(place)
}

fn give_controllers(own: &Path, name: &str, place: &mut Place) -> Result<(), String> {
    let given = |controller: &str| {
        let on = read(&own.join(CONTROL));
        on.split_whitespace().any(|it| it == controller)
    };
    if given(MEMORY) && given(CPU) {
        return Ok(());
    }
    // Only the root of all has no type, and may have processes as well.
    let is_root = !own.join("cgroup.type").exists();
    if !is_root && !given(MEMORY) {
        let inside = read(&own.join(PROCESSES));
        let lab = std::process::id().to_string();
        if inside.lines().any(|it| it != lab) {
            return Err(format!(
                "other processes are in the lab's control group {}; {HOW}",
                own.display()
            ));
        }
        let leaf = own.join(format!("{name}-self"));
        make(&leaf)?;
        place.moved = Some((own.to_owned(), leaf.clone()));
        fs::write(leaf.join(PROCESSES), lab).map_err(|error| refused(&leaf, &error))?;
    }
    let on = fs::write(own.join(CONTROL), format!("+{MEMORY}"));
    on.map_err(|error| refused(own, &error))?;
    // Without it there is no limit of processor time, which is said then.
    let _ = fs::write(own.join(CONTROL), format!("+{CPU}"));
    Ok(())
}

fn make(directory: &Path) -> Result<(), String> {
    fs::create_dir(directory).map_err(|error| refused(directory, &error))
}

fn refused(path: &Path, error: &io::Error) -> String {
    format!(
        "cannot make a control group in {}: {error}; {HOW}",
        path.display()
    )
}

/// Removes a group with the groups in it.
pub(super) fn clear(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    remove(base);
}

/// Whether a group is gone. One with processes in it stays.
pub(super) fn remove(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "36 32 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        37 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn the_labs_own_group_is_found_in_either_tree() {
        let own = "12:memory:/user/a\n3:cpu,cpuacct:/\n0::/unused\n";
        let memory = PathBuf::from("/sys/fs/cgroup/memory/user/a");
        assert_eq!(locate(ONE, own, MEMORY), Ok((Version::One, memory)));
        let cpu = PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/");
        assert_eq!(locate(ONE, own, CPU), Ok((Version::One, cpu)));
        // A machine with both: the one that has the controller.
        let tree = tempfile::tempdir().unwrap();
        let point = tree.path().display();
        let both = format!("{ONE}38 32 0:30 /outer {point} rw - cgroup2 cgroup2 rw\n");
        let inner = "12:memory:/user/a\n0::/outer/mine\n";
        assert_eq!(locate(&both, inner, MEMORY).unwrap().0, Version::One);
        fs::create_dir(tree.path().join("mine")).unwrap();
        let controllers = tree.path().join("mine/cgroup.controllers");
        fs::write(controllers, "cpu memory pids\n").unwrap();
        let mine = tree.path().join("mine");
        assert_eq!(locate(&both, inner, MEMORY), Ok((Version::Two, mine)));
        // Outside of what a container sees, and nothing at all.
        let outside = locate(&both, "0::/elsewhere\n", MEMORY);
        assert!(outside.unwrap_err().contains("memory controller"));
        assert!(locate("", "", MEMORY).is_err());
    }

    #[test]
    fn a_group_with_others_in_it_is_left_as_it_is() {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("cgroup.type"), "domain\n").unwrap();
        fs::write(own.path().join(CONTROL), "").unwrap();
        fs::write(own.path().join(PROCESSES), "1\n2\n").unwrap();
        let why = hand_on(own.path(), "lab").unwrap_err();
        assert!(why.starts_with("other processes are in"), "{why}");
        assert!(!own.path().join("lab").exists());
    }

    #[test]
    fn a_lab_alone_in_its_group_makes_room_for_others() {
        let own = tempfile::tempdir().unwrap();
        let lab = std::process::id().to_string();
        fs::write(own.path().join("cgroup.type"), "domain\n").unwrap();
        fs::write(own.path().join(CONTROL), "").unwrap();
        fs::write(own.path().join(PROCESSES), format!("{lab}\n")).unwrap();
        let place = hand_on(own.path(), "lab").unwrap();
        let leaf = own.path().join("lab-self");
        assert_eq!(read(&leaf.join(PROCESSES)), lab);
        assert_eq!(read(&own.path().join(CONTROL)), "+cpu");
        assert_eq!(read(&place.base.join(CONTROL)), "+cpu");
        // A place is not ours where the kernel gave it no controller.
        let found = Found {
            name: "other".into(),
            memory: Ok((Version::Two, own.path().to_owned())),
            cpu: Err("no".into()),
        };
        fs::write(own.path().join(CONTROL), "memory cpu").unwrap();
        let (memory, cpu) = found.make();
        assert!(memory.unwrap_err().contains("not handed on"));
        assert_eq!(cpu.unwrap_err(), "no");
    }
}
