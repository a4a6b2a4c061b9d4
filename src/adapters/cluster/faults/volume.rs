//! A full disk: the volume that the victim writes its data to, filled with its
//! container's own shell.
//!
//! Only a volume is filled that has an end of its own: a file system that is
//! mounted as a whole, and is neither the container's root nor the node's disk,
//! so that nobody else runs out of room. The file that fills it has no name: it
//! was removed while it was open, and so it is gone with the process that holds
//! it, however that ends. That process ends by itself some seconds after the
//! cockpit was to end it.

use std::time::Duration;

use super::{
    super::{
        access::Session,
        exec::{self, NoOutput, Output, Place},
        failure::Kind,
    },
    ASK, Hand, Order, Outcome,
    process::{GRACE, complaint},
};
use crate::{
    adapters::sink::Closed,
    core::{
        around::Volume,
        event::Fact,
        trial::{Fault, Victim},
        workload::Role,
    },
};

/// How long filling may take before nothing more is said of it.
const FILL: Duration = Duration::from_secs(60);

/// The most that is filled, bytes: more takes too long, and of what is memory
/// the node has to give it.
const MOST: u64 = 64 << 30;
const MOST_MEMORY: u64 = 2 << 30;

/// What is mounted in a container, and which files the program has open.
const LOOK: &str = "cat /proc/self/mountinfo; for p in $(pidof \"$1\"); do \
     for f in /proc/$p/fd/*; do readlink \"$f\"; done; done; exit 0";

/// Fills the volume `$1`, and keeps it full for `$2` seconds: what others free in
/// it is taken, too. Says what is free when it is full.
const FILLER: &str = "f=$1/.aks-tui-fill-$$; exec 3>>\"$f\" || exit 3; rm -f \"$f\"; \
     now() { date +%s; }; end=$(($(now) + $2)); \
     a=$(df -Pk \"$1\" | { read h; read d s u a r; echo $a; }); \
     fallocate -l \"${a}k\" /proc/self/fd/3 2>/dev/null; \
     take() { while [ $(now) -lt $end ] && dd if=/dev/zero bs=1048576 count=64 >&3 2>/dev/null; \
     do :; done; }; take; \
     (while [ $(now) -lt $end ]; do sleep 1 3>&-; take; done) </dev/null >/dev/null 2>&1 & \
     exec 3>&-; df -Pk \"$1\"";

/// Ends every filler of the container, and fails as long as there is one. It
/// does not find itself.
const MAKE_ROOM: &str = "find() { for p in /proc/[0-9]*; do \
     case \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" in *aks-tui-fil[l]*) echo ${p#/proc/};; esac; \
     done; }; for i in 1 2 3 4 5 6 7 8 9 10; do p=$(find); [ -z \"$p\" ] && exit 0; \
     kill -9 $p 2>/dev/null; done; exit 1";

/// The name that the filler goes by.
const NAME: &str = "aks-tui-fill";

impl Hand {
    /// Looks for the data volumes of these, and tells of each.
    pub(super) async fn look_for_volumes(&self, victims: Vec<Victim>) -> Result<(), Closed> {
        for mut victim in victims {
            self.aim(&mut victim);
            let found = match self.context.access.session().await {
                Ok(session) => find(&session, Place::of(&victim), victim.role).await,
                Err(failure) => Err(format!("its volumes cannot be looked at: {}", failure.why)),
            };
            let fact = Fact::DataVolume {
                uid: victim.pod_uid,
                why_not: found.as_ref().err().cloned(),
                volume: found.ok(),
            };
            self.context.sink.send(fact).await?;
        }
        Ok(())
    }

    /// Fills the victim's data volume.
    pub(super) async fn fill(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        self.name_process(&session, &mut order.victim).await;
        let found = find(&session, Place::of(&order.victim), order.victim.role).await;
        let volume = match found {
            Ok(volume) => volume,
            Err(why) => return Ok(Err(format!("pod `{}`: {why}", order.victim.pod))),
        };
        let path = volume.path;
        order.victim.volume = Some(path.clone());
        let (trial, victim) = (order.trial, order.victim.clone());
        let limit = order.lasts.unwrap_or(Fault::LASTS) + GRACE;
        let seconds = limit.as_secs().max(1).to_string();
        self.announce(order).await?;
        let command = ["sh", "-c", FILLER, NAME, &path, &seconds];
        match exec::run(&session, Place::of(&victim), &command, FILL).await {
            Ok(Output {
                code: 0, stdout, ..
            }) => match free(&stdout) {
                Some((size, free)) if free <= size / 100 => {
                    let full = Fact::VolumeFull { trial };
                    self.context.sink.send(full).await.map(Ok)
                }
                _ => Ok(Err(format!("{path} could not be filled: it has room left"))),
            },
            Ok(Output { code, stderr, .. }) => {
                Ok(Err(complaint(&format!("fill {path}"), code, &stderr)))
            }
            // It may be full by now; the heal is sent in any case.
            Err(NoOutput::Unanswered) => Ok(Ok(())),
            Err(NoOutput::Refused(failure)) => Ok(Err(failure.why)),
        }
    }

    /// Ends what fills the victim's volume. What is gone fills nothing.
    pub(super) async fn make_room(&self, victim: &Victim) -> Outcome {
        let session = self.armed().await?;
        let mut victim = victim.clone();
        self.aim(&mut victim);
        let command = ["sh", "-c", MAKE_ROOM];
        match exec::run(&session, Place::of(&victim), &command, ASK).await {
            Ok(Output { code: 0, .. }) => Ok(()),
            Ok(Output { code, stderr, .. }) => Err(complaint("make room", code, &stderr)),
            Err(NoOutput::Unanswered) => Err("no answer came".to_owned()),
            Err(NoOutput::Refused(failure)) if failure.kind == Kind::NotFound => Ok(()),
            Err(NoOutput::Refused(failure)) => Err(failure.why),
        }
    }
}

/// The volume that a role's program writes its data to, or why there is none that
/// can be filled.
async fn find(session: &Session, place: Place<'_>, role: Role) -> Result<Volume, String> {
    let look = ["sh", "-c", LOOK, "look", role.program()];
    let seen = ask(session, place, &look).await?;
    let (path, memory) = choose(&seen)?;
    let df = ask(session, place, &["df", "-Pk", &path]).await?;
    let (size, free) =
        free(&df).ok_or_else(|| format!("nobody says how large its volume {path} is"))?;
    let most = if memory { MOST_MEMORY } else { MOST };
    if free > most {
        let gibibytes = free >> 30;
        return Err(format!(
            "{gibibytes} GiB are free in its volume {path}: too much to fill"
        ));
    }
    Ok(Volume { path, size, free })
}

async fn ask(session: &Session, place: Place<'_>, command: &[&str]) -> Result<String, String> {
    let asked = |why: String| format!("its volumes cannot be looked at: {why}");
    match exec::run(session, place, command, ASK).await {
        Ok(Output {
            code: 0, stdout, ..
        }) => Ok(stdout),
        Ok(Output { code, stderr, .. }) => Err(asked(complaint(command[0], code, &stderr))),
        Err(NoOutput::Refused(failure)) => Err(asked(failure.why)),
        Err(NoOutput::Unanswered) => Err(asked("no answer came".to_owned())),
    }
}

/// One line of `/proc/self/mountinfo`.
struct Mounted<'a> {
    device: &'a str,
    root: &'a str,
    target: &'a str,
    options: &'a str,
    kind: &'a str,
    super_options: &'a str,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let mut system = system.split(' ');
        Some(Self {
            device: mount.next()?,
            root: mount.next()?,
            target: mount.next()?,
            options: mount.next()?,
            kind: system.next()?,
            super_options: system.nth(1).unwrap_or_default(),
        })
    }

    fn is_below(&self, directory: &str) -> bool {
        let rest = self.target.strip_prefix(directory);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether it may be a volume that has an end.
    fn may_be_filled(&self) -> bool {
        let system = [
            "/dev",
            "/etc",
            "/proc",
            "/sys",
            "/run/secrets",
            "/var/run/secrets",
        ];
        // What the kernel makes up has no room to fill, and memory without a
        // size no end.
        let made_up = [
            "overlay", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2",
        ];
        let endless = self.kind == "tmpfs" && !has(self.super_options, "size=");
        self.root == "/"
            && self.target != "/"
            && !system.iter().any(|system| self.is_below(system))
            && !made_up.contains(&self.kind)
            && !endless
            && has(self.options, "rw")
            && !has(self.super_options, "ro")
    }
}

/// Whether a list of options has one, or one that begins like that if it ends
/// with `=`.
fn has(options: &str, wanted: &str) -> bool {
    options
        .split(',')
        .any(|option| option == wanted || wanted.ends_with('=') && option.starts_with(wanted))
}

/// The volume to fill, of what [`LOOK`] has shown, and whether it is memory: of
/// several the one that the program has a file open in.
fn choose(seen: &str) -> Result<(String, bool), String> {
    let all: Vec<Mounted<'_>> = seen.lines().filter_map(Mounted::parse).collect();
    // The node's disk shows itself by the files that every container gets from it.
    let given = [
        "/",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/dev/termination-log",
    ];
    let nodes = |device: &str| {
        let mut given = all.iter().filter(|it| given.contains(&it.target));
        given.any(|it| it.device == device)
    };
    let fit: Vec<_> = all
        .iter()
        .filter(|it| it.may_be_filled() && !nodes(it.device))
        .collect();
    let open = |volume: &&&Mounted<'_>| {
        let files = seen.lines().filter(|line| line.starts_with('/'));
        let mut files = files.filter_map(|file| file.strip_prefix(volume.target));
        files.any(|rest| rest.starts_with('/'))
    };
    let chosen = match fit[..] {
        [] => None,
        [only] => Some(only),
        _ => fit.iter().find(open).copied(),
    };
    match chosen {
        Some(volume) => Ok((volume.target.to_owned(), volume.kind == "tmpfs")),
        None if fit.is_empty() => {
            Err("no volume has an end of its own: it would hit the node".to_owned())
        }
        None => {
            Err("there are several volumes, and the program has a file open in none".to_owned())
        }
    }
}

/// Size and free room in bytes, as `df -Pk` tells them of one file system.
fn free(df: &str) -> Option<(u64, u64)> {
    let mut fields = df.lines().nth(1)?.split_whitespace().skip(1);
    let size: u64 = fields.next()?.parse().ok()?;
    let free: u64 = fields.nth(1)?.parse().ok()?;
    Some((size * 1024, free * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "\
700 600 0:90 / / rw,relatime - overlay overlay rw,lowerdir=/a\n\
701 700 0:91 / /proc rw,nosuid - proc proc rw\n\
702 700 0:92 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n\
703 702 8:1 /kubelet/pods/u/containers/c/0 /dev/termination-log rw - ext4 /dev/sda1 rw\n\
704 700 8:1 /kubelet/pods/u/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n\
705 700 8:1 /kubelet/pods/u/volumes/empty /scratch rw,relatime - ext4 /dev/sda1 rw\n\
706 700 0:93 / /run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs rw,size=4096k\n";

    #[test]
    fn a_disk_of_a_claim_is_filled_and_nothing_of_the_nodes() {
        let refused = choose(NODE).unwrap_err();
        assert!(refused.contains("would hit the node"), "{refused}");
        let disk = "707 700 8:32 / /data rw,relatime - ext4 /dev/sdc rw\n";
        let seen = format!("{NODE}{disk}");
        assert_eq!(choose(&seen), Ok(("/data".to_owned(), false)));
        // The node's whole disk, by a path of the host.
        let host = "708 700 8:1 / /host rw,relatime - ext4 /dev/sda1 rw\n";
        assert!(choose(&format!("{NODE}{host}")).is_err());
        let share = "709 700 0:99 / /logs rw - cifs //a.file.core.windows.net/s rw,vers=3.1.1\n";
        let seen = format!("{NODE}{share}");
        assert_eq!(choose(&seen), Ok(("/logs".to_owned(), false)));
    }

    #[test]
    fn memory_is_filled_if_it_has_an_end() {
        let of = |options: &str| {
            let line = format!("707 700 0:95 / /data rw,nosuid - tmpfs tmpfs {options}\n");
            choose(&format!("{NODE}{line}"))
        };
        assert_eq!(of("rw,size=163840k"), Ok(("/data".to_owned(), true)));
        assert!(of("rw").is_err());
        assert!(of("ro,size=163840k").is_err());
    }

    #[test]
    fn of_several_the_one_in_use_is_filled() {
        let two = "707 700 8:32 / /data rw - ext4 /dev/sdc rw\n\
                   708 700 8:48 / /spare rw - ext4 /dev/sdd rw\n";
        let refused = choose(&format!("{NODE}{two}")).unwrap_err();
        assert!(refused.contains("several volumes"), "{refused}");
        let seen = format!("{NODE}{two}/dev/null\npipe:[1]\n/spare/log-1\n");
        assert_eq!(choose(&seen), Ok(("/spare".to_owned(), false)));
    }

    #[test]
    fn room_is_read_as_df_tells_it() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                  tmpfs 163840 61440 102400 38% /ambrosia_logs\n";
        assert_eq!(free(df), Some((160 << 20, 100 << 20)));
        assert_eq!(free("df: /x: No such file"), None);
    }

    #[test]
    fn the_heal_does_not_find_itself() {
        assert!(!MAKE_ROOM.contains(NAME));
        assert!(FILLER.contains("rm -f"));
    }
}
