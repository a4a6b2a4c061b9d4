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
//! delayed or lost. What is sent to a service's address the switch sends on to
//! a pod behind it, as kube-proxy would (TCP and UDP), and the lab answers for
//! names, as CoreDNS would. There is IPv4 only, and nothing beyond the pods and
//! the services: of this machine, pods reach the API server by its service.
//!
//! Where the kernel does not, pods share this machine's loopback addresses, as
//! [`Mode::Loopback`] with the reason; then faults of the network cannot be
//! made, and services have no addresses that lead anywhere.
//!
//! From this machine, load balancers and node ports lead to pods either way.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::runtime::{Edge, Isolation, Runtime, Sandbox, Sandboxes, SocketKind};

mod chaos;
mod datagrams;
mod fault;
mod names;
mod nat;
mod outside;
mod packet;
mod proxy;
mod services;
mod switch;

pub use fault::Fault;
pub use proxy::{API, DNS, serve};

use nat::Nat;
use switch::{Port, Switch};

/// First two numbers of every pod's address: 10.244.0.0/16, as on AKS.
pub const PODS: [u8; 2] = [10, 244];

/// Name of the definition by which faults of the network are asked for.
pub const CHAOS_DEFINITION: &str = "networkchaos.chaos-mesh.org";

/// The lab's own address among the pods.
pub const EDGE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// Who says that an address is nobody's, and whom a pod sees that calls itself
/// through a service: no pod's, and not the lab's own, or it would not believe
/// it.
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
pub struct Network {
    links: Arc<Links>,
    nat: Arc<Nat>,
}

#[derive(Debug)]
enum Links {
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
        let nat = Arc::new(Nat::default());
        let links = match fabric(runtime, Arc::clone(&nat)).await {
            Ok(fabric) => Links::Namespaces(Box::new(fabric)),
            Err(why) => Links::Loopback(why),
        };
        Self {
            links: Arc::new(links),
            nat,
        }
    }

    /// Pods on this machine's loopback addresses.
    #[cfg(test)]
    pub(crate) fn loopback() -> Self {
        Self {
            links: Arc::new(Links::Loopback("a test".to_owned())),
            nat: Arc::default(),
        }
    }

    /// How pods are connected.
    pub fn mode(&self) -> Mode {
        match &*self.links {
            Links::Loopback(why) => Mode::Loopback(why.clone()),
            Links::Namespaces(_) => Mode::Namespaces,
        }
    }

    /// Makes the network of the pod with this address; none where pods share
    /// the machine's. An address is one pod's at a time: an earlier one is cut
    /// off.
    ///
    /// # Errors
    /// What the kernel refuses, in words.
    pub async fn attach(&self, pod: Ipv4Addr) -> Result<Option<Attachment>, String> {
        let Links::Namespaces(fabric) = &*self.links else {
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
        if let Links::Namespaces(fabric) = &*self.links {
            fabric.edge.close().await;
        }
    }

    /// Connects to a port of the pod with this address.
    ///
    /// # Errors
    /// What connecting says: refused when nothing listens there.
    pub async fn connect(&self, pod: IpAddr, port: u16) -> io::Result<TcpStream> {
        let address = SocketAddr::new(pod, port);
        match self.edge() {
            Err(_) => TcpStream::connect(address).await,
            Ok(edge) => {
                let socket = edge.socket(SocketKind::Stream).await?;
                let socket = TcpSocket::from_std_stream(socket.into());
                socket.connect(address).await
            }
        }
    }

    /// Connects a client of this machine to a pod behind a port of a service.
    ///
    /// # Errors
    /// Refused when there is none, or what connecting to it says.
    async fn connect_service(&self, client: IpAddr, at: SocketAddrV4) -> io::Result<TcpStream> {
        let IpAddr::V4(client) = client else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let pod = self.nat.pod_for(packet::TCP, client, at);
        let pod = pod.ok_or(io::ErrorKind::ConnectionRefused)?;
        self.connect((*pod.ip()).into(), pod.port()).await
    }

    /// A socket for the datagrams of a client of this machine to a pod behind a
    /// port of a service, and that pod.
    ///
    /// # Errors
    /// Refused when there is none, or what the kernel says.
    async fn datagrams_to(
        &self,
        client: IpAddr,
        at: SocketAddrV4,
    ) -> io::Result<(SocketAddrV4, UdpSocket)> {
        let IpAddr::V4(client) = client else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let pod = self.nat.pod_for(packet::UDP, client, at);
        let pod = pod.ok_or(io::ErrorKind::ConnectionRefused)?;
        let socket = match self.edge() {
            Err(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            Ok(edge) => UdpSocket::from_std(edge.socket(SocketKind::Datagram).await?.into())?,
        };
        socket.connect(pod).await?;
        Ok((pod, socket))
    }

    /// Whether a pod is among those that a port of a service sends datagrams to.
    fn serves(&self, at: SocketAddrV4, pod: SocketAddrV4) -> bool {
        let services = self.nat.services();
        let behind = services.behind(packet::UDP, at);
        behind.is_some_and(|it| it.pods.contains(&pod))
    }

    fn nat(&self) -> Arc<Nat> {
        Arc::clone(&self.nat)
    }

    /// Listens on a port of the lab's own address among the pods.
    async fn listen(&self, port: u16) -> io::Result<TcpListener> {
        let socket = self.edge()?.socket(SocketKind::Stream).await?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.bind((EDGE, port).into())?;
        socket.listen(128)
    }

    /// Receives datagrams on a port of that address.
    async fn datagrams(&self, port: u16) -> io::Result<UdpSocket> {
        let socket = self.edge()?.socket(SocketKind::Datagram).await?;
        rustix::net::bind(&socket, &SocketAddrV4::new(EDGE, port))?;
        UdpSocket::from_std(socket.into())
    }

    fn edge(&self) -> io::Result<&Edge> {
        match &*self.links {
            Links::Namespaces(fabric) => Ok(&fabric.edge),
            Links::Loopback(why) => Err(io::Error::other(why.clone())),
        }
    }

    /// Does something to all that the pod with this address sends, under a name
    /// of the fault's own; none heals it.
    ///
    /// # Errors
    /// Why it cannot be done: the pods share this machine's network, or there
    /// is no such pod in it.
    pub fn impair(&self, pod: IpAddr, name: &str, fault: Option<Fault>) -> Result<(), String> {
        match (&*self.links, pod) {
            (Links::Loopback(why), _) => Err(format!(
                "pods have no networks of their own on this machine: {why}"
            )),
            (Links::Namespaces(fabric), IpAddr::V4(pod)) => fabric.switch.impair(pod, name, fault),
            (Links::Namespaces(_), IpAddr::V6(_)) => Err("the lab's network has IPv4 only".into()),
        }
    }
}

async fn fabric(runtime: &Runtime, nat: Arc<Nat>) -> Result<Fabric, String> {
    if runtime.isolation() == Isolation::Group {
        return Err("pods are process groups".into());
    }
    let sandboxes = runtime.sandboxes().map_err(|error| error.to_string())?;
    let (edge, sandbox, device) = sandboxes.edge(EDGE).await?;
    let stop = CancellationToken::new();
    let failed = |error: io::Error| format!("start the network's thread: {error}");
    let switch = Switch::start(nat, stop.clone()).map_err(failed)?;
    switch.plug(EDGE, device, sandbox).map_err(failed)?;
    Ok(Fabric {
        sandboxes,
        edge,
        switch,
        _stop: stop.drop_guard(),
    })
}
