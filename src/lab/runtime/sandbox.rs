//! The network of a pod: a network namespace whose only way out is a TUN
//! device that the lab holds.
//!
//! A process of ours makes the namespace, hands the lab three descriptors (the
//! device, the namespace, and the user namespace that administers it) and ends:
//! no process is needed to keep a network. It goes when the last descriptor and
//! the last process in it have gone, so a killed lab leaves none behind.
//!
//! Containers join the network before they make their own namespaces. They are
//! then in a user namespace below the one that administers it, so that nothing
//! in them may change an address, a route or a device.
//!
//! One such process stays: the [`Edge`], which makes sockets in a network on
//! behalf of the lab. A socket belongs for ever to the network it was made in,
//! whoever uses it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Signal, getgid, getuid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::spawner::{Request, Spawner};
use super::wire::{self, Channel};
use super::{NETWORK, RUN_ENV, rootfs};
use crate::sys::{self, Birth, Interface, Session};

/// How long a network may take to be made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Size of the largest packet, in bytes: the largest that IPv4 has, less what
/// the kernel keeps for itself. A large packet costs no more than a small one.
const MTU: i32 = 65_520;

/// Leading bits of the network that a pod sees itself in: all of 10.0.0.0/8 is
/// behind its device, and nothing else is anywhere.
const BITS: u32 = 8;

/// What is to be made.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    address: Ipv4Addr,
    /// Stay and make sockets.
    edge: bool,
}

/// What has become of it. With a network come its device, its user namespace
/// and itself.
#[derive(Debug, Serialize, Deserialize)]
enum Made {
    Network,
    Failed(String),
}

/// A kind of socket to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketKind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// A network that containers can join.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Namespaces>);

#[derive(Debug)]
struct Namespaces {
    user: OwnedFd,
    network: OwnedFd,
}

impl Sandbox {
    /// What a process needs to join it.
    pub(super) fn keys(&self) -> [BorrowedFd<'_>; 2] {
        [self.0.user.as_fd(), self.0.network.as_fd()]
    }
}

/// Makes networks.
#[derive(Debug)]
pub struct Sandboxes {
    spawner: Spawner,
    executable: PathBuf,
    run: String,
}

impl Sandboxes {
    /// A maker whose processes run this program under the name of this run.
    pub(super) fn start(executable: PathBuf, run: String) -> io::Result<Self> {
        Ok(Self {
            spawner: Spawner::start()?,
            executable,
            run,
        })
    }

    /// Makes a network with one address, and gives the lab's end of its device.
    ///
    /// # Errors
    /// What the kernel refuses, in words.
    pub async fn make(&self, address: Ipv4Addr) -> Result<(Sandbox, OwnedFd), String> {
        let plan = Plan {
            address,
            edge: false,
        };
        let (_, child, sandbox, device) = self.build(&plan).await?;
        drop(reap(child));
        Ok((sandbox, device))
    }

    /// Makes the network that the lab itself is in, and sees on the way whether
    /// containers could be in such a network.
    ///
    /// # Errors
    /// What the kernel refuses, in words.
    pub async fn edge(&self, address: Ipv4Addr) -> Result<(Edge, Sandbox, OwnedFd), String> {
        let plan = Plan {
            address,
            edge: true,
        };
        let (control, child, sandbox, device) = self.build(&plan).await?;
        let edge = Edge(Arc::new(tokio::sync::Mutex::new(Some((control, child)))));
        Ok((edge, sandbox, device))
    }

    async fn build(&self, plan: &Plan) -> Result<(Channel, Child, Sandbox, OwnedFd), String> {
        let said = |error: io::Error| format!("make a network: {error}");
        let null = || fs::OpenOptions::new().write(true).open("/dev/null");
        let (control, stdin) = wire::pair().map_err(said)?;
        let child = self.spawner.spawn(Request {
            executable: self.executable.clone(),
            argument: NETWORK,
            env: vec![(RUN_ENV, self.run.clone())],
            stdin,
            stdout: null().map_err(said)?.into(),
            stderr: null().map_err(said)?.into(),
            birth: Birth {
                session: Session::New,
                parent_death: Some(Signal::KILL),
            },
        });
        let child = child.await.map_err(said)?;
        let made = async {
            let control = Channel::new(control).map_err(said)?;
            control.send(plan, &[]).await.map_err(said)?;
            let answer = tokio::time::timeout(PATIENCE, control.receive::<Made>()).await;
            let answer = answer.map_err(|_| "make a network: it takes too long".to_owned())?;
            match answer.map_err(said)? {
                Some((Made::Network, keys)) => Ok((control, keys)),
                Some((Made::Failed(why), _)) => Err(why),
                None => Err("make a network: the process that was to do it has died".into()),
            }
        };
        let made = made.await.and_then(|(control, keys)| {
            let [device, user, network] = <[OwnedFd; 3]>::try_from(keys)
                .map_err(|_| "make a network: descriptors are missing".to_owned())?;
            Ok((control, device, Namespaces { user, network }))
        });
        match made {
            Ok((control, device, namespaces)) => {
                Ok((control, child, Sandbox(Arc::new(namespaces)), device))
            }
            Err(why) => {
                // Its end of the socket is closed: it ends by itself.
                drop(reap(child));
                Err(why)
            }
        }
    }
}

/// Takes note of a process's end, whenever that comes.
fn reap(mut child: Child) -> tokio::task::JoinHandle<io::Result<ExitStatus>> {
    tokio::task::spawn_blocking(move || child.wait())
}

/// The lab's own place in the pods' network. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Edge(Arc<tokio::sync::Mutex<Option<(Channel, Child)>>>);

impl Edge {
    /// A new socket there, which does not block.
    ///
    /// # Errors
    /// When the process that makes them is gone, or out of descriptors.
    pub async fn socket(&self, kind: SocketKind) -> io::Result<OwnedFd> {
        let gone = || io::Error::other("the lab has lost its place in the pods' network");
        // One question at a time: answers carry no name.
        let process = self.0.lock().await;
        let (control, _) = process.as_ref().ok_or_else(gone)?;
        control.send(&kind, &[]).await.map_err(|_| gone())?;
        let answer = control.receive::<Made>().await?;
        match answer.ok_or_else(gone)? {
            (Made::Network, mut sockets) => sockets.pop().ok_or_else(gone),
            (Made::Failed(why), _) => Err(io::Error::other(why)),
        }
    }

    /// Ends its process and waits until it is gone.
    pub async fn close(&self) {
        let process = self.0.lock().await.take();
        if let Some((control, child)) = process {
            drop(control);
            // It ends by itself; only a broken kernel keeps it.
            let _ = tokio::time::timeout(PATIENCE, reap(child)).await;
        }
    }
}

/// Makes a network, as a process of its own. Its standard input is the lab.
pub(super) fn part() -> u8 {
    let lab = rustix::stdio::stdin();
    let Ok(Some((plan, _))) = wire::receive::<Plan>(lab) else {
        return 1;
    };
    match build(&plan) {
        Ok(keys) => {
            let keys = keys.each_ref().map(AsFd::as_fd);
            if wire::send(lab, &Made::Network, &keys).is_err() {
                return 1;
            }
        }
        Err(why) => {
            // If the lab is gone, nobody is left to be told.
            let _ = wire::send(lab, &Made::Failed(why), &[]);
            return 1;
        }
    }
    if plan.edge {
        make_sockets(lab);
    }
    0
}

fn build(plan: &Plan) -> Result<[OwnedFd; 3], String> {
    let step = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    sys::enter_new_network().map_err(step("make a network namespace"))?;
    rootfs::become_root(uid, gid).map_err(step("become root in a network namespace"))?;
    // Changing credentials has cleared it.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| step("follow the lab")(error.into()))?;
    Interface::named("lo")
        .and_then(|it| it.up())
        .map_err(step("bring the loopback interface up"))?;
    let eth0 = Interface::named("eth0").map_err(step("make a device"))?;
    let device = eth0.make_tun().map_err(step("open /dev/net/tun"))?;
    eth0.set_mtu(MTU)
        .and_then(|()| eth0.set_address(plan.address, BITS))
        .and_then(|()| eth0.up())
        .map_err(step("give a device its address"))?;
    settings();
    let own = |name: &str| fs::File::open(format!("/proc/self/ns/{name}")).map(OwnedFd::from);
    let user = own("user").map_err(step("open a user namespace"))?;
    let network = own("net").map_err(step("open a network namespace"))?;
    if plan.edge {
        // As a container does; and it needs its power over the network no more.
        sys::enter_new_namespaces().map_err(step("make namespaces inside a network's"))?;
    }
    Ok([device, user, network])
}

/// What a container may do in its own network although it has no capability:
/// listen on any port, and send echo requests. Where the kernel's settings
/// cannot be written, it may not.
fn settings() {
    for (name, value) in [
        ("ip_unprivileged_port_start", "0"),
        ("ping_group_range", "0 0"),
    ] {
        let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
    }
}

/// Makes sockets until the lab is gone.
fn make_sockets(lab: impl AsFd + Copy) {
    while let Ok(Some((kind, _))) = wire::receive::<SocketKind>(lab) {
        let kind = match kind {
            SocketKind::Stream => SocketType::STREAM,
            SocketKind::Datagram => SocketType::DGRAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let sent = match socket_with(AddressFamily::INET, kind, flags, None) {
            Ok(socket) => wire::send(lab, &Made::Network, &[socket.as_fd()]),
            Err(error) => wire::send(lab, &Made::Failed(error.to_string()), &[]),
        };
        if sent.is_err() {
            return;
        }
    }
}
