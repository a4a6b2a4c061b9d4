//! Services as this machine sees them: load balancers and node ports.
//!
//! A load balancer gets a loopback address of its own, which it keeps; a node
//! port is one of the node's own address, which is a loopback address too. The
//! lab listens there and carries each connection, and each client's datagrams, to a
//! pod behind the service.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::packet::TCP;
use super::services::{number, protocol};
use super::{Network, datagrams};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Key, Store, StoreError};

/// Connections from this machine at one time, over all services.
const CONNECTIONS: usize = 1024;

/// Gives a service, by a name of its own, a loopback address.
pub type Addresses = Box<dyn Fn(&str) -> Option<Ipv4Addr> + Send + Sync>;

/// A protocol's number, and an address of this machine.
type Place = (u8, SocketAddrV4);

/// A listener of this machine, and the service's port that it leads to.
#[derive(Debug)]
struct Door {
    leads_to: SocketAddrV4,
    task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All the doors. Dropping it shuts them.
pub(super) struct Outside {
    network: Network,
    store: Store,
    recorder: Recorder,
    addresses: Addresses,
    doors: HashMap<Place, Door>,
    /// Doors that cannot be opened, and why; told once.
    shut: HashMap<Place, String>,
    room: Arc<Semaphore>,
}

impl Outside {
    pub fn new(network: Network, store: Store, addresses: Addresses) -> Self {
        Self {
            network,
            recorder: Recorder::new(store.clone(), "service-controller", None),
            store,
            addresses,
            doors: HashMap::new(),
            shut: HashMap::new(),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Opens and shuts doors until they are those of the services.
    pub async fn look(&mut self, services: &[Arc<Value>]) {
        let nodes = nodes(&self.store);
        let mut wanted = HashMap::new();
        for service in services {
            for (at, leads_to) in self.doors_of(service, &nodes) {
                wanted.insert(at, (leads_to, Arc::clone(service)));
            }
        }
        self.doors
            .retain(|at, door| wanted.get(at).is_some_and(|(to, _)| *to == door.leads_to));
        self.shut.retain(|at, _| wanted.contains_key(at));
        for (at, (leads_to, service)) in wanted {
            if !self.doors.contains_key(&at) {
                self.open(at, leads_to, &service).await;
            }
        }
    }

    /// The doors that a service is to have, and where they lead. Settles its
    /// load balancer's address on the way.
    fn doors_of(&self, service: &Value, nodes: &[Ipv4Addr]) -> Vec<(Place, SocketAddrV4)> {
        let spec = &service["spec"];
        let balancer = self.balancer(service);
        let address = spec["clusterIP"].as_str().and_then(|it| it.parse().ok());
        let Some(address) = address.filter(|_| spec["type"] != "ExternalName") else {
            return Vec::new();
        };
        let mut doors = Vec::new();
        for port in spec["ports"].as_array().into_iter().flatten() {
            let (Some(protocol), Some(inner)) = (protocol(port), number(&port["port"])) else {
                continue;
            };
            let leads_to = SocketAddrV4::new(address, inner);
            let balanced = balancer.map(|it| SocketAddrV4::new(it, inner));
            let node_port = number(&port["nodePort"]).filter(|it| *it > 0);
            let on_nodes = nodes
                .iter()
                .filter_map(|node| Some(SocketAddrV4::new(*node, node_port?)));
            doors.extend(
                balanced
                    .into_iter()
                    .chain(on_nodes)
                    .map(|at| ((protocol, at), leads_to)),
            );
        }
        doors
    }

    /// The address of a service's load balancer, which its status says then;
    /// none for a service without, or for one that is another's to balance.
    fn balancer(&self, service: &Value) -> Option<Ipv4Addr> {
        let spec = &service["spec"];
        let ours = spec["type"] == "LoadBalancer" && spec["loadBalancerClass"].is_null();
        let key = Key::of(Resource::Services, service);
        let mut address = None;
        if ours {
            let name = format!("{}/service/{}", key.namespace, key.name);
            address = (self.addresses)(&name);
            if address.is_none() && service["status"]["loadBalancer"]["ingress"].is_null() {
                let why = "Error syncing load balancer: failed to ensure load balancer: the lab \
                           has some hundred addresses of this machine to balance on";
                self.warn(service, "SyncLoadBalancerFailed", why);
            }
        }
        let status = match address {
            Some(address) => json!({"ingress": [{"ip": address.to_string(), "ipMode": "VIP"}]}),
            // Another controller's account is left alone.
            None if spec["loadBalancerClass"].is_string() => return None,
            None => json!({}),
        };
        if service["status"]["loadBalancer"] != status {
            if address.is_some() {
                self.recorder
                    .normal(service, "EnsuredLoadBalancer", "Ensured load balancer");
            }
            // A service that has gone meanwhile needs no status.
            let _ = self.store.update_with::<StoreError>(&key, |service| {
                service["status"]["loadBalancer"] = status;
                Ok(())
            });
        }
        address
    }

    fn warn(&self, service: &Value, reason: &str, message: &str) {
        let note = Note {
            severity: Severity::Warning,
            reason,
            message,
            part: "",
        };
        self.recorder.record(service, note);
    }

    async fn listen(
        &self,
        (protocol, at): Place,
        leads_to: SocketAddrV4,
    ) -> io::Result<AbortHandle> {
        let network = self.network.clone();
        let task = if protocol == TCP {
            let listener = TcpListener::bind(at).await?;
            let room = Arc::clone(&self.room);
            tokio::spawn(accept(listener, leads_to, network, room))
        } else {
            let door = UdpSocket::bind(at).await?;
            tokio::spawn(datagrams::carry(door, leads_to, network))
        };
        Ok(task.abort_handle())
    }

    async fn open(&mut self, place: Place, leads_to: SocketAddrV4, service: &Value) {
        match self.listen(place, leads_to).await {
            Ok(task) => {
                self.doors.insert(place, Door { leads_to, task });
                self.shut.remove(&place);
            }
            Err(error) => {
                let why = format!("cannot listen on {}: {error}", place.1);
                if self.shut.insert(place, why.clone()).as_ref() != Some(&why) {
                    self.warn(service, "SyncLoadBalancerFailed", &why);
                }
            }
        }
    }
}

/// The nodes' addresses on this machine.
fn nodes(store: &Store) -> Vec<Ipv4Addr> {
    let nodes = store.list(Resource::Nodes, None).items;
    let addresses = nodes.iter().flat_map(|node| {
        let addresses = node["status"]["addresses"].as_array();
        addresses.into_iter().flatten()
    });
    let addresses = addresses.filter(|it| it["type"] == "InternalIP");
    let addresses = addresses.filter_map(|it| it["address"].as_str()?.parse().ok());
    addresses.filter(Ipv4Addr::is_loopback).collect()
}

async fn accept(
    listener: TcpListener,
    leads_to: SocketAddrV4,
    network: Network,
    room: Arc<Semaphore>,
) {
    // Dropping the set ends its connections with the door.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, client)) = accepted else {
                    // Out of descriptors, most likely; others may be closed soon.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                };
                let network = network.clone();
                connections.spawn(async move {
                    // A broken connection is its two ends' business.
                    let _ = carry(stream, client.ip(), leads_to, &network).await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(
    mut stream: TcpStream,
    client: std::net::IpAddr,
    leads_to: SocketAddrV4,
    network: &Network,
) -> io::Result<()> {
    let mut pod = match network.connect_service(client, leads_to).await {
        Ok(pod) => pod,
        Err(error) => {
            // The client is to see a refusal, not an orderly end.
            stream.set_zero_linger()?;
            return Err(error);
        }
    };
    stream.set_nodelay(true)?;
    pod.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut stream, &mut pod).await?;
    Ok(())
}
