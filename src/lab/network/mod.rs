//! The pods' network: who has which address, how packets get from one pod to
//! another, and what a fault does to them on the way. The lab itself reaches
//! pods through here too: probes, port-forwards and services all do.
//!
//! Where the kernel allows it, every pod is in a [network of its own](Sandbox),
//! and the lab is the wire between them:
//!
//! ```text
//!  pod 10.244.0.2 ──TUN──▶ switch ──TUN──▶ pod 10.244.0.3
//!                            │ ▲
//!   probes, port-forward ──▶ edge 10.244.0.1 (the lab's own sockets)
//! ```
//!
//! So two pods may listen on one port, and a pod's packets can be dropped,
//! delayed or lost. There is IPv4 only, and nothing beyond the pods and the
//! services: a pod reaches neither this machine nor the world.
//!
//! Where the kernel does not, pods share this machine's loopback addresses, as
//! [`Mode::Loopback`] with the reason; then faults of the network cannot be
//! made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::runtime::{Edge, Isolation, Runtime, Sandbox, Sandboxes, SocketKind};

mod fault;
mod packet;
mod switch;

pub use fault::Fault;

use switch::{Port, Switch};

/// First two numbers of every pod's address: 10.244.0.0/16, as on AKS.
pub const PODS: [u8; 2] = [10, 244];

/// The lab's own address among the pods.
pub const EDGE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// Who says that an address is nobody's: no pod's, and not the lab's own, or
/// the lab would not believe it.
const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 244, 255, 254);

/// How pods are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Each in a network of its own.
    Namespaces,
    /// All on this machine's loopback addresses, because of this.
    Loopback(String),
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Namespaces => f.write_str("namespaces"),
            Self::Loopback(why) => write!(f, "loopback: {why}"),
        }
    }
}

/// A handle to the network of the pods; cloning it gives another.
#[derive(Debug, Clone)]
pub struct Network(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    Loopback(String),
    Namespaces(Box<Fabric>),
}

#[derive(Debug)]
struct Fabric {
    sandboxes: Sandboxes,
    edge: Edge,
    switch: Arc<Switch>,
    // Ends the switch's thread.
    _stop: DropGuard,
}

/// A pod's place in the network. Dropping it takes the pod off, some moments
/// later, so that what its processes said last still arrives.
#[derive(Debug)]
pub struct Attachment {
    sandbox: Sandbox,
    port: Arc<Port>,
    switch: Arc<Switch>,
}

impl Attachment {
    /// The network that the pod's containers are to join.
    pub fn sandbox(&self) -> Sandbox {
        self.sandbox.clone()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.switch.retire(Arc::clone(&self.port));
    }
}

impl Network {
    /// The best network that the kernel allows for a runtime's containers,
    /// found out by making one.
    pub async fn open(runtime: &Runtime) -> Self {
        let inner = match fabric(runtime).await {
            Ok(fabric) => Inner::Namespaces(Box::new(fabric)),
            Err(why) => Inner::Loopback(why),
        };
        Self(Arc::new(inner))
    }

    /// How pods are connected.
    pub fn mode(&self) -> Mode {
        match &*self.0 {
            Inner::Loopback(why) => Mode::Loopback(why.clone()),
            Inner::Namespaces(_) => Mode::Namespaces,
        }
    }

    /// Makes the network of the pod with this address; none where pods share
    /// the machine's. An address is one pod's at a time: an earlier one is cut
    /// off.
    ///
    /// # Errors
    /// What the kernel refuses, in words.
    pub async fn attach(&self, pod: Ipv4Addr) -> Result<Option<Attachment>, String> {
        let Inner::Namespaces(fabric) = &*self.0 else {
            return Ok(None);
        };
        let (sandbox, device) = fabric.sandboxes.make(pod).await?;
        let port = fabric.switch.plug(pod, device, sandbox.clone());
        let port = port.map_err(|error| format!("connect a network: {error}"))?;
        Ok(Some(Attachment {
            sandbox,
            port,
            switch: Arc::clone(&fabric.switch),
        }))
    }

    /// Ends the lab's own part in it and waits until that is gone.
    pub async fn close(&self) {
        if let Inner::Namespaces(fabric) = &*self.0 {
            fabric.edge.close().await;
        }
    }

    /// Connects to a port of the pod with this address.
    ///
    /// # Errors
    /// What connecting says: refused when nothing listens there.
    pub async fn connect(&self, pod: IpAddr, port: u16) -> io::Result<TcpStream> {
        let address = SocketAddr::new(pod, port);
        match &*self.0 {
            Inner::Loopback(_) => TcpStream::connect(address).await,
            Inner::Namespaces(fabric) => {
                let socket = fabric.edge.socket(SocketKind::Stream).await?;
                let socket = TcpSocket::from_std_stream(socket.into());
                socket.connect(address).await
            }
        }
    }

    /// Does something to all that the pod with this address sends, under a name
    /// of the fault's own; none heals it.
    ///
    /// # Errors
    /// Why it cannot be done: the pods share this machine's network, or there
    /// is no such pod in it.
    pub fn impair(&self, pod: IpAddr, name: &str, fault: Option<Fault>) -> Result<(), String> {
        match (&*self.0, pod) {
            (Inner::Loopback(why), _) => Err(format!(
                "pods have no networks of their own on this machine: {why}"
            )),
            (Inner::Namespaces(fabric), IpAddr::V4(pod)) => fabric.switch.impair(pod, name, fault),
            (Inner::Namespaces(_), IpAddr::V6(_)) => Err("the lab's network has IPv4 only".into()),
        }
    }
}

async fn fabric(runtime: &Runtime) -> Result<Fabric, String> {
    if runtime.isolation() == Isolation::Group {
        return Err("pods are process groups".into());
    }
    let sandboxes = runtime.sandboxes().map_err(|error| error.to_string())?;
    let (edge, sandbox, device) = sandboxes.edge(EDGE).await?;
    let stop = CancellationToken::new();
    let failed = |error: io::Error| format!("start the network's thread: {error}");
    let switch = Switch::start(stop.clone()).map_err(failed)?;
    switch.plug(EDGE, device, sandbox).map_err(failed)?;
    Ok(Fabric {
        sandboxes,
        edge,
        switch,
        _stop: stop.drop_guard(),
    })
}
