//! Datagrams of this machine to a service. Each client is served by one pod, and
//! answered from the door that it has come to, until both are silent for long.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Network;

/// A client that is silent for so long, and is told nothing, is forgotten: as
/// long as the kernel remembers one for kube-proxy.
const SILENT: Duration = Duration::from_mins(2);

/// Clients of one door at one time. Whoever comes then is not heard, as happens
/// to datagrams.
const CLIENTS: usize = 256;

/// Datagrams of one client that wait for their pod.
const WAITING: usize = 64;

/// The longest datagram.
const LONGEST: usize = 64 * 1024;

/// Carries what comes to a door to the pods behind a port of a service, and their
/// answers back, until it is dropped.
pub(super) async fn carry(door: UdpSocket, leads_to: SocketAddrV4, network: Network) {
    let door = Arc::new(door);
    let mut clients = HashMap::<SocketAddr, mpsc::Sender<Bytes>>::new();
    // Dropping the set ends them with the door.
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = tokio::select! {
            received = door.recv_from(&mut buffer) => received,
            Some(_) = tasks.join_next() => continue,
        };
        let Ok((length, client)) = received else {
            // What an answer to somebody who has gone has met.
            continue;
        };
        let datagram = Bytes::copy_from_slice(&buffer[..length]);
        let known = clients.get(&client).filter(|it| !it.is_closed());
        if let Some(known) = known {
            let _ = known.try_send(datagram);
            continue;
        }
        clients.retain(|_, client| !client.is_closed());
        if clients.len() >= CLIENTS {
            continue;
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let _ = sender.try_send(datagram);
        clients.insert(client, sender);
        let serving = Client {
            door: Arc::clone(&door),
            address: client,
            leads_to,
            network: network.clone(),
        };
        tasks.spawn(async move {
            // Nobody behind the service: the client hears nothing.
            let _ = serving.serve(receiver).await;
        });
    }
}

struct Client {
    door: Arc<UdpSocket>,
    address: SocketAddr,
    leads_to: SocketAddrV4,
    network: Network,
}

impl Client {
    async fn serve(&self, mut sent: mpsc::Receiver<Bytes>) -> io::Result<()> {
        let (mut pod, mut socket) = self.reach().await?;
        let mut buffer = vec![0; LONGEST];
        loop {
            tokio::select! {
                datagram = sent.recv() => {
                    let Some(datagram) = datagram else { return Ok(()) };
                    if !self.network.serves(self.leads_to, pod) {
                        (pod, socket) = self.reach().await?;
                    }
                    socket.send(&datagram).await?;
                }
                received = socket.recv(&mut buffer) => {
                    let answer = &buffer[..received?];
                    self.door.send_to(answer, self.address).await?;
                }
                () = tokio::time::sleep(SILENT) => return Ok(()),
            }
        }
    }

    async fn reach(&self) -> io::Result<(SocketAddrV4, UdpSocket)> {
        let client = self.address.ip();
        self.network.datagrams_to(client, self.leads_to).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::network::services::Services;
    use serde_json::json;
    use std::net::Ipv4Addr;

    const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 3, 4), 53);

    /// The service with these ports of this machine behind it.
    fn behind(network: &Network, ports: &[u16]) {
        let service = json!({
            "metadata": {"namespace": "default", "name": "dns"},
            "spec": {"clusterIP": SERVICE.ip().to_string(),
                "ports": [{"port": SERVICE.port(), "protocol": "UDP"}]},
        });
        let slice = |port: &u16| {
            json!({
                "metadata": {"namespace": "default",
                    "labels": {"kubernetes.io/service-name": "dns"}},
                "addressType": "IPv4",
                "ports": [{"port": port, "protocol": "UDP"}],
                "endpoints": [{"addresses": ["127.0.0.1"]}],
            })
        };
        let slices: Vec<_> = ports.iter().map(slice).collect();
        let services = Services::read([&service], &slices);
        network.nat().set(Arc::new(services));
    }

    /// A pod that answers with its name and what it has heard.
    async fn pod(name: &'static str) -> (u16, tokio::task::AbortHandle) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 100];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let answer = format!("{name} heard {heard}");
                let _ = socket.send_to(answer.as_bytes(), client).await;
            }
        });
        (port, task.abort_handle())
    }

    async fn ask(client: &UdpSocket, text: &str) -> String {
        let mut buffer = [0; 100];
        // A datagram may be lost, and then it is sent again.
        loop {
            client.send(text.as_bytes()).await.unwrap();
            let answer = client.recv(&mut buffer);
            let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
            if let Ok(Ok(length)) = answer {
                return String::from_utf8_lossy(&buffer[..length]).into_owned();
            }
        }
    }

    #[tokio::test]
    async fn each_client_is_answered_and_by_another_pod_when_its_own_has_gone() {
        let network = Network::loopback();
        let (first, ends) = pod("one").await;
        behind(&network, &[first]);
        let door = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = door.local_addr().unwrap();
        let carrying = tokio::spawn(carry(door, SERVICE, network.clone()));
        let (here, there) = (
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        );
        here.connect(at).await.unwrap();
        there.connect(at).await.unwrap();
        assert_eq!(ask(&here, "a").await, "one heard a");
        assert_eq!(ask(&there, "b").await, "one heard b");
        let (second, _) = pod("two").await;
        behind(&network, &[second]);
        ends.abort();
        assert_eq!(ask(&here, "c").await, "two heard c");
        carrying.abort();
    }
}
