//! Packets to a service become packets to one of the pods behind it, and the
//! answers come back from the service: what kube-proxy has the kernel do.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::packet::{self, Flow};
use super::services::{Behind, SERVICES, Services};

/// Connections that are remembered.
const MOST: usize = 32 * 1024;

/// A connection that is silent for so long is forgotten when room is needed.
const SILENT: Duration = Duration::from_mins(10);

/// What is to become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on, perhaps to another address.
    Go,
    /// Nobody serves that port.
    NoPort,
    /// It goes nowhere, and nobody is told.
    Drop,
}

/// A connection to a service, as its client sees it.
#[derive(Debug, Clone)]
struct Connection {
    seen: Flow,
    /// As the pod behind the service sees it.
    made: Flow,
    used: Instant,
}

#[derive(Debug, Default)]
struct Connections {
    by_client: HashMap<Flow, Connection>,
    /// What a pod behind a service answers to → what its client has sent.
    by_answer: HashMap<Flow, Flow>,
    /// Who was served by which pod, and when it came last.
    guests: HashMap<Guest, (SocketAddrV4, Instant)>,
}

/// A client of a port of a service that remembers its clients.
type Guest = (u8, Ipv4Addr, SocketAddrV4);

/// The translation of one network.
#[derive(Debug, Default)]
pub(super) struct Nat {
    services: RwLock<Arc<Services>>,
    connections: Mutex<Connections>,
}

impl Nat {
    /// From now on these are the services.
    pub fn set(&self, services: Arc<Services>) {
        *self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner) = services;
    }

    /// What the services are.
    pub fn services(&self) -> Arc<Services> {
        let services = self.services.read();
        Arc::clone(&services.unwrap_or_else(PoisonError::into_inner))
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod for a client that is no pod.
    pub fn pod_for(
        &self,
        protocol: u8,
        client: Ipv4Addr,
        at: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        let services = self.services();
        let behind = services.behind(protocol, at)?;
        let mut connections = self.connections();
        connections.choose(behind, (protocol, client, at), Instant::now())
    }

    /// Readdresses a packet to or from a service, and leaves others as they are.
    pub fn translate(&self, packet: &mut [u8]) -> Verdict {
        let Some(flow) = packet::flow(packet) else {
            let to_service = packet::ends(packet).is_some_and(|(_, to)| SERVICES.contains(to));
            // Services have ports and nothing else.
            return if to_service {
                Verdict::Drop
            } else {
                Verdict::Go
            };
        };
        if !SERVICES.contains(*flow.to.ip()) {
            self.answer(flow, packet);
            return Verdict::Go;
        }
        let Some(made) = self.forward(flow) else {
            return Verdict::NoPort;
        };
        packet::readdress(packet, made.from, made.to);
        Verdict::Go
    }

    fn answer(&self, flow: Flow, packet: &mut [u8]) {
        let mut connections = self.connections();
        if let Some(seen) = connections.by_answer.get(&flow).copied() {
            if let Some(connection) = connections.by_client.get_mut(&seen) {
                connection.used = Instant::now();
            }
            packet::readdress(packet, seen.to, seen.from);
        }
    }

    /// The connection that a packet to a service belongs to; none when there
    /// is nobody behind the service's port.
    fn forward(&self, seen: Flow) -> Option<Flow> {
        let services = self.services();
        let behind = services.behind(seen.protocol, seen.to);
        let mut connections = self.connections();
        if let Some(known) = connections.by_client.get_mut(&seen)
            // A connection outlives its place among those for new ones, but a
            // port that is used again must not lead to a pod that has gone.
            && (!seen.begins || behind.is_some_and(|it| it.pods.contains(&known.made.to)))
        {
            known.used = Instant::now();
            return Some(known.made);
        }
        let guest = (seen.protocol, *seen.from.ip(), seen.to);
        let pod = connections.choose(behind?, guest, Instant::now())?;
        let mut made = Flow { to: pod, ..seen };
        if pod.ip() == seen.from.ip() {
            // A pod takes no packet of its own from outside.
            made.from.set_ip(super::SWITCH);
        }
        connections.make_room();
        connections.forget(seen);
        connections.by_answer.insert(made.answer(), seen);
        let used = Instant::now();
        connections
            .by_client
            .insert(seen, Connection { seen, made, used });
        Some(made)
    }
}

impl Connections {
    /// One of the pods, by chance, or the one that has served the guest before,
    /// if that is there and the guest has not stayed away for too long.
    fn choose(&mut self, behind: &Behind, guest: Guest, now: Instant) -> Option<SocketAddrV4> {
        let Some(kept) = behind.sticky else {
            return fastrand::choice(&behind.pods).copied();
        };
        let known = self.guests.get(&guest).filter(|(pod, last)| {
            behind.pods.contains(pod) && now.saturating_duration_since(*last) < kept
        });
        let known = known.map(|(pod, _)| *pod);
        let pod = known.or_else(|| fastrand::choice(&behind.pods).copied())?;
        if self.guests.len() >= MOST && !self.guests.contains_key(&guest) {
            // Whoever came longest ago, if so many are remembered.
            let oldest = self.guests.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(guest, _)| *guest) {
                self.guests.remove(&oldest);
            }
        }
        self.guests.insert(guest, (pod, now));
        Some(pod)
    }

    fn forget(&mut self, seen: Flow) {
        if let Some(old) = self.by_client.remove(&seen) {
            self.by_answer.remove(&old.made.answer());
        }
    }

    fn make_room(&mut self) {
        if self.by_client.len() < MOST {
            return;
        }
        let now = Instant::now();
        let mut old: Vec<(Instant, Flow)> = self
            .by_client
            .values()
            .map(|connection| (connection.used, connection.seen))
            .collect();
        old.sort_unstable_by_key(|(used, _)| *used);
        // The silent ones; if all are busy, the quarter that is least so.
        let silent = old.partition_point(|(used, _)| now.duration_since(*used) > SILENT);
        for (_, flow) in old.iter().take(silent.max(MOST / 4)) {
            self.forget(*flow);
        }
    }
}

/// A network of addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub first: Ipv4Addr,
    pub bits: u32,
}

impl Range {
    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let host = 32 - self.bits;
        address.to_bits() >> host == self.first.to_bits() >> host
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::packet;
    use super::super::packet::{TCP, UDP};
    use super::*;
    use serde_json::json;

    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 2);
    const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 3, 4);

    fn nat(sticky: bool, pods: &[&str]) -> Nat {
        let affinity = if sticky { "ClientIP" } else { "None" };
        let service = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"clusterIP": SERVICE.to_string(), "sessionAffinity": affinity, "ports": [
                {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]},
        });
        let slice = json!({
            "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}],
            "endpoints": pods.iter().map(|pod| json!({"addresses": [pod]})).collect::<Vec<_>>(),
        });
        let nat = Nat::default();
        nat.set(Arc::new(Services::read([&service], [&slice])));
        nat
    }

    fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(address, port)
    }

    fn ends(packet: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
        let flow = packet::flow(packet).unwrap();
        (flow.from, flow.to)
    }

    const SYN: u8 = 2;
    const ACK: u8 = 16;

    #[test]
    fn a_connection_leads_to_a_pod_and_back() {
        let pod: Ipv4Addr = "10.244.1.9".parse().unwrap();
        let nat = nat(false, &["10.244.1.9"]);
        for (protocol, port, target) in [(TCP, 80, 8080), (UDP, 53, 5353)] {
            let mut sent = packet(protocol, (CLIENT, 4000), (SERVICE, port), SYN);
            assert_eq!(nat.translate(&mut sent), Verdict::Go);
            assert_eq!(ends(&sent), (at(CLIENT, 4000), at(pod, target)));
            let mut answer = packet(protocol, (pod, target), (CLIENT, 4000), ACK);
            assert_eq!(nat.translate(&mut answer), Verdict::Go);
            assert_eq!(ends(&answer), (at(SERVICE, port), at(CLIENT, 4000)));
        }
        // What has nothing to do with services is left alone.
        let mut other = packet(TCP, (pod, 8080), (CLIENT, 4001), ACK);
        assert_eq!(nat.translate(&mut other), Verdict::Go);
        assert_eq!(ends(&other), (at(pod, 8080), at(CLIENT, 4001)));
    }

    #[test]
    fn a_pod_reaches_itself_through_its_service() {
        let nat = nat(false, &["10.244.1.2"]);
        let mut sent = packet(TCP, (CLIENT, 4000), (SERVICE, 80), SYN);
        assert_eq!(nat.translate(&mut sent), Verdict::Go);
        let switch = super::super::SWITCH;
        assert_eq!(ends(&sent), (at(switch, 4000), at(CLIENT, 8080)));
        let mut answer = packet(TCP, (CLIENT, 8080), (switch, 4000), ACK);
        assert_eq!(nat.translate(&mut answer), Verdict::Go);
        assert_eq!(ends(&answer), (at(SERVICE, 80), at(CLIENT, 4000)));
    }

    #[test]
    fn a_connection_outlives_its_pods_readiness_and_a_new_one_does_not() {
        let nat = nat(false, &["10.244.1.9"]);
        let mut sent = packet(TCP, (CLIENT, 4000), (SERVICE, 80), SYN);
        nat.translate(&mut sent);
        nat.set(Arc::default());
        let mut more = packet(TCP, (CLIENT, 4000), (SERVICE, 80), ACK);
        assert_eq!(nat.translate(&mut more), Verdict::Go);
        let mut fresh = packet(TCP, (CLIENT, 4000), (SERVICE, 80), SYN);
        assert_eq!(nat.translate(&mut fresh), Verdict::NoPort);
        let mut echo = packet(1, (CLIENT, 0), (SERVICE, 0), 0);
        assert_eq!(nat.translate(&mut echo), Verdict::Drop);
    }

    #[test]
    fn clients_spread_unless_they_are_to_stay() {
        let pods = ["10.244.1.5", "10.244.1.6", "10.244.1.7"];
        let reached = |nat: &Nat| {
            let chosen = (1..200).map(|port| {
                let mut sent = packet(TCP, (CLIENT, port), (SERVICE, 80), SYN);
                nat.translate(&mut sent);
                ends(&sent).1
            });
            chosen.collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(reached(&nat(false, &pods)), 3);
        assert_eq!(reached(&nat(true, &pods)), 1);
    }

    #[test]
    fn a_guest_who_stays_away_for_too_long_is_forgotten() {
        let pods: Vec<SocketAddrV4> = (1..=200)
            .map(|last| at(Ipv4Addr::new(10, 244, 1, last), 8080))
            .collect();
        let behind = Behind {
            pods,
            sticky: Some(Duration::from_secs(60)),
        };
        let guest = (TCP, CLIENT, at(SERVICE, 80));
        let mut connections = Connections::default();
        let mut now = Instant::now();
        let mut come = |after: u64| {
            now += Duration::from_secs(after);
            connections.choose(&behind, guest, now).unwrap()
        };
        let first = come(0);
        // Every visit counts anew.
        assert_eq!([come(59), come(59), come(59)], [first; 3]);
        let later: Vec<_> = (0..20).map(|_| come(60)).collect();
        assert!(
            later.iter().any(|pod| *pod != first),
            "one of 200 by chance, 20 times"
        );
        let mut gone = behind.clone();
        let last = later[19];
        gone.pods.retain(|pod| *pod != last);
        let next = connections.choose(&gone, guest, now).unwrap();
        assert_ne!(next, last);
    }

    #[test]
    fn only_so_many_connections_are_remembered() {
        let nat = nat(false, &["10.244.1.9"]);
        for number in 0..(MOST as u32 + 100) {
            let client = Ipv4Addr::from_bits(CLIENT.to_bits() + (number >> 15));
            let mut sent = packet(TCP, (client, (number & 0x7fff) as u16), (SERVICE, 80), SYN);
            nat.translate(&mut sent);
        }
        let connections = nat.connections();
        assert!(connections.by_client.len() <= MOST);
        assert_eq!(connections.by_client.len(), connections.by_answer.len());
    }
}
