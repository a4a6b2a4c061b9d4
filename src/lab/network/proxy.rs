//! Follows the services in the store and brings the network and this machine's
//! doors up to date; and the two services that every cluster has.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chaos;
use super::names;
use super::outside::{Addresses, Outside};
use super::services::Services;
use super::{EDGE, Mode, Network};
use crate::lab::controllers::endpoints;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError};

/// The address of the service `kubernetes`: the API.
pub const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The address of the service `kube-dns`: names.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Where the lab itself serves the API among the pods.
const API_PORT: u16 = 6443;

/// Where it answers for names; above the ports that need a privilege.
const DNS_PORT: u16 = 1053;

const FOLLOWED: [Resource; 2] = [Resource::Services, Resource::EndpointSlices];

/// Keeps services served until it is stopped. `api` is where the API server
/// listens on this machine.
///
/// # Errors
/// When the services that every cluster has cannot be stored or served.
pub async fn serve(
    network: Network,
    store: Store,
    api: SocketAddr,
    addresses: Addresses,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut tasks = JoinSet::new();
    if network.mode() == Mode::Namespaces {
        among_pods(&network, &store, api, &mut tasks).await?;
        chaos::define(&store)?;
        let chaos = chaos::keep(network.clone(), store.clone(), stop.clone());
        tasks.spawn(async {
            chaos.await;
            Ok(())
        });
    } else if let SocketAddr::V4(api) = api {
        let port = [("https", "TCP", api.port())];
        install(&store, &kubernetes(), &port, *api.ip())?;
        // Left by a life of the lab in which pods had networks of their own.
        chaos::undefine(&store);
    }
    let mut outside = Outside::new(network.clone(), store.clone(), addresses);
    while !stop.is_cancelled() {
        let (_, mut watch) = store.list_and_watch(&FOLLOWED);
        loop {
            look(&network, &store, &mut outside).await;
            tokio::select! {
                // An error means that too much happened at once: begin anew.
                event = watch.next() => if event.is_err() { break },
                () = stop.cancelled() => return Ok(()),
            }
            while let Ok(Some(_)) = watch.try_next() {}
        }
    }
    Ok(())
}

/// Serves the API and names at the lab's own address among the pods.
async fn among_pods(
    network: &Network,
    store: &Store,
    api: SocketAddr,
    tasks: &mut JoinSet<std::io::Result<()>>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("serve the pods' network: {error}");
    let door = network.listen(API_PORT).await.map_err(failed)?;
    tasks.spawn(carry_to(door, api));
    let datagrams = network.datagrams(DNS_PORT).await.map_err(failed)?;
    let connections = network.listen(DNS_PORT).await.map_err(failed)?;
    tasks.spawn(names::serve(datagrams, connections, network.nat()));
    let ports = [("dns", "UDP", DNS_PORT), ("dns-tcp", "TCP", DNS_PORT)];
    install(store, &dns(), &ports, EDGE)?;
    install(store, &kubernetes(), &[("https", "TCP", API_PORT)], EDGE)
}

async fn look(network: &Network, store: &Store, outside: &mut Outside) {
    let services = store.list(Resource::Services, None).items;
    let slices = store.list(Resource::EndpointSlices, None).items;
    let read = Services::read(
        services.iter().map(|it| &**it),
        slices.iter().map(|it| &**it),
    );
    network.nat().set(Arc::new(read));
    outside.look(&services).await;
}

/// Carries the pods' connections to the API server.
async fn carry_to(door: tokio::net::TcpListener, api: SocketAddr) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept() => {
                let (mut pod, _) = accepted?;
                connections.spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(api).await?;
                    tokio::io::copy_bidirectional(&mut pod, &mut server).await
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn kubernetes() -> Value {
    json!({
        "metadata": {"namespace": "default", "name": "kubernetes",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": API.to_string(), "ports": [
            {"name": "https", "protocol": "TCP", "port": 443, "targetPort": API_PORT}]},
    })
}

fn dns() -> Value {
    json!({
        "metadata": {"namespace": "kube-system", "name": "kube-dns",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {"clusterIP": DNS.to_string(), "ports": [
            {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": DNS_PORT},
            {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": DNS_PORT}]},
    })
}

/// Stores a service that the lab itself is behind, and its endpoints.
fn install(
    store: &Store,
    service: &Value,
    ports: &[(&str, &str, u16)],
    address: Ipv4Addr,
) -> Result<(), String> {
    let meta = &service["metadata"];
    let mut service = service.clone();
    let given = json!({
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
        "clusterIPs": [service["spec"]["clusterIP"]],
    });
    for (field, value) in given.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service["status"] = json!({"loadBalancer": {}});
    let ports: Vec<_> = ports
        .iter()
        .map(|(name, protocol, port)| json!({"name": name, "protocol": protocol, "port": port}))
        .collect();
    let mut labels = meta["labels"].clone();
    labels[endpoints::SERVICE] = meta["name"].clone();
    let slice = json!({
        "metadata": {"namespace": meta["namespace"], "name": meta["name"], "labels": labels},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
    });
    put(store, Resource::Services, &service, &["spec"])?;
    put(
        store,
        Resource::EndpointSlices,
        &slice,
        &["ports", "endpoints"],
    )
}

/// Stores an object, or the named fields of it where it is there already.
pub(super) fn put(
    store: &Store,
    resource: Resource,
    object: &Value,
    fields: &[&str],
) -> Result<(), String> {
    let key = Key::of(resource, object);
    let stored = match store.create(resource, object.clone()) {
        Err(StoreError::AlreadyExists(_)) => store.update_with(&key, |found| {
            for field in fields {
                found[*field] = object[*field].clone();
            }
            Ok::<(), StoreError>(())
        }),
        created => created,
    };
    stored
        .map(drop)
        .map_err(|error| format!("store {key}: {error}"))
}
