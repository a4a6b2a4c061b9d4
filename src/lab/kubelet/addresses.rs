//! Addresses for pods and the node.
//!
//! All of 127.0.0.0/8 is this machine, so a lab can have addresses of its own
//! there: it takes a block 127.x.y.0/24 that nobody uses and keeps it in its
//! state directory. The node's address is there, and the pods' too where they
//! have no [networks](crate::lab::network) of their own; then two pods can
//! listen on the same port all the same.
//!
//! An address belongs to a *place*, the k-th replica of a deployment, not to a
//! pod: the successor of a killed pod is found where it was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

/// Port on the node's address that says: this block is taken. It is the real
/// kubelet's.
const CLAIM: u16 = 10250;

/// How many random blocks are tried.
const TRIES: usize = 64;

/// Numbers of places in a block of this machine. The one before is the first
/// node's, those behind are the other nodes'.
const PLACES: RangeInclusive<u16> = 2..=239;

/// Numbers of places in the pods' own network: from 10.244.1.2, so that they do
/// not take those of load balancers, which are in the block all the same.
const NETWORK_PLACES: RangeInclusive<u16> = 0x102..=0xfeff;

/// Where a pod lives: a group of replicas, and which of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Namespace and owner.
    pub group: String,
    /// Number among the owner's replicas, from 0.
    pub index: usize,
}

impl Place {
    fn key(&self) -> String {
        format!("{}/{}", self.group, self.index)
    }
}

/// What is kept from one life of a lab to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    block: Option<(u8, u8)>,
    places: BTreeMap<String, u16>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Kept,
    /// Who lives where now, by pod uid.
    residents: HashMap<String, Place>,
    /// Held by a pod until its processes are gone.
    doors: HashMap<Place, Arc<tokio::sync::Mutex<()>>>,
}

/// The addresses of one lab.
#[derive(Debug)]
pub(super) struct Addresses {
    file: PathBuf,
    block: (u8, u8),
    /// First two numbers of addresses in the pods' own network, if they have one.
    network: Option<[u8; 2]>,
    inner: Mutex<Inner>,
    // Its being open is the claim.
    _claim: UdpSocket,
}

impl Addresses {
    /// Takes the block that the state directory names, or a new one. Pods are in
    /// it, unless they have a network with these first two numbers.
    pub fn open(file: PathBuf, network: Option<[u8; 2]>) -> io::Result<Self> {
        let mut kept: Kept = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        let random = || (fastrand::u8(1..=254), fastrand::u8(0..=254));
        let candidates = kept.block.into_iter();
        let candidates = candidates.chain(std::iter::repeat_with(random).take(TRIES));
        let mut last = None;
        for block in candidates {
            match claim(block) {
                Ok(claim) => {
                    kept.block = Some(block);
                    let addresses = Self {
                        file,
                        block,
                        network,
                        inner: Mutex::new(Inner {
                            kept,
                            ..Inner::default()
                        }),
                        _claim: claim,
                    };
                    addresses.save(&addresses.lock().kept)?;
                    return Ok(addresses);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("no block was tried")))
    }

    /// Address of a node, by its number from 0. It is this machine's, whatever
    /// the pods' are.
    pub fn node(&self, index: usize) -> Ipv4Addr {
        match u16::try_from(index) {
            Ok(index @ 1..) => self.of_machine(PLACES.end().saturating_add(index)),
            _ => self.of_machine(1),
        }
    }

    /// The address with this number.
    fn address(&self, number: u16) -> Ipv4Addr {
        let [third, last] = number.to_be_bytes();
        match self.network {
            Some([first, second]) => Ipv4Addr::new(first, second, third, last),
            None => self.of_machine(number),
        }
    }

    /// The address with this number in the block.
    fn of_machine(&self, number: u16) -> Ipv4Addr {
        let [_, last] = number.to_be_bytes();
        Ipv4Addr::new(127, self.block.0, self.block.1, last)
    }

    /// The numbers that places may have.
    fn numbers(&self) -> RangeInclusive<u16> {
        if self.network.is_some() {
            NETWORK_PLACES
        } else {
            PLACES
        }
    }

    /// Gives a pod the place that it has, the one that `address` belongs to if
    /// it had that in an earlier life of the lab, or the first free one of its
    /// group.
    pub fn settle(&self, uid: &str, group: &str, address: Option<&str>) -> Place {
        let mut inner = self.lock();
        if let Some(place) = inner.residents.get(uid) {
            return place.clone();
        }
        let before = address.and_then(|address| self.index_of(&inner, group, address));
        let before = before.map(|index| Place {
            group: group.to_owned(),
            index,
        });
        // Somebody else may have come there meanwhile, from another node.
        if let Some(place) = before.filter(|it| !inner.residents.values().any(|its| its == it)) {
            inner.residents.insert(uid.to_owned(), place.clone());
            return place;
        }
        let mut taken: Vec<usize> = inner
            .residents
            .values()
            .filter(|place| place.group == group)
            .map(|place| place.index)
            .collect();
        taken.sort_unstable();
        let index = taken
            .iter()
            .enumerate()
            .find(|(expected, index)| expected != *index)
            .map_or(taken.len(), |(free, _)| free);
        let place = Place {
            group: group.to_owned(),
            index,
        };
        inner.residents.insert(uid.to_owned(), place.clone());
        place
    }

    /// Which replica of a group has had that address.
    fn index_of(&self, inner: &Inner, group: &str, address: &str) -> Option<usize> {
        let (key, _) = inner
            .kept
            .places
            .iter()
            .find(|(_, last)| self.address(**last).to_string() == address)?;
        key.strip_prefix(group)?.strip_prefix('/')?.parse().ok()
    }

    /// Frees the place of a pod that the cluster no longer has. Its door stays
    /// shut until its processes are gone.
    pub fn leave(&self, uid: &str) {
        self.lock().residents.remove(uid);
    }

    /// Waits until the processes of the pod that lived there before are gone.
    pub async fn enter(&self, place: &Place) -> OwnedMutexGuard<()> {
        let door = Arc::clone(self.lock().doors.entry(place.clone()).or_default());
        door.lock_owned().await
    }

    /// The address of the k-th replica of a group, the same one every time;
    /// none when the block is full.
    pub fn of(&self, place: &Place) -> Option<Ipv4Addr> {
        let number = self.number(&place.key(), self.numbers())?;
        Some(self.address(number))
    }

    /// The address on this machine of what has that name, the same one every
    /// time; none when the block is full.
    pub fn on_machine(&self, name: &str) -> Option<Ipv4Addr> {
        let place = Place {
            group: name.to_owned(),
            index: 0,
        };
        // It lives there for good: few load balancers are ever made.
        self.lock().residents.insert(name.to_owned(), place.clone());
        let number = self.number(&place.key(), PLACES)?;
        Some(self.of_machine(number))
    }

    /// The number of what has that key, the same one every time.
    fn number(&self, key: &str, numbers: RangeInclusive<u16>) -> Option<u16> {
        let mut inner = self.lock();
        // It may be kept from a life of the lab in which there was more room.
        if let Some(number) = inner.kept.places.get(key)
            && numbers.contains(number)
        {
            return Some(*number);
        }
        let free = |inner: &Inner| {
            let used: HashSet<u16> = inner.kept.places.values().copied().collect();
            numbers.clone().find(|number| !used.contains(number))
        };
        let mut found = free(&inner);
        if found.is_none() {
            // Places where nobody lives have waited long enough.
            let lived: Vec<String> = inner.residents.values().map(Place::key).collect();
            inner.kept.places.retain(|key, _| lived.contains(key));
            found = free(&inner);
        }
        let number = found?;
        inner.kept.places.insert(key.to_owned(), number);
        if let Err(error) = self.save(&inner.kept) {
            tracing::warn!(
                "cannot keep the address of {key} in {}: {error}; after a restart it may have another",
                self.file.display()
            );
        }
        Some(number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, kept: &Kept) -> io::Result<()> {
        write_whole(&self.file, &serde_json::to_vec(kept)?)
    }
}

/// Replaces a file so that a reader sees all of the old or all of the new.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, bytes)?;
    fs::rename(next, path)
}

/// Takes a block, unless another lab has it or somebody listens in it.
fn claim((second, third): (u8, u8)) -> io::Result<UdpSocket> {
    let claim = UdpSocket::bind((Ipv4Addr::new(127, second, third, 1), CLAIM))?;
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    if listened_in(&table, (second, third)) {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("something listens in 127.{second}.{third}.0/24"),
        ));
    }
    Ok(claim)
}

/// Whether the kernel's table of TCP sockets has a listener in a block.
fn listened_in(table: &str, (second, third): (u8, u8)) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        let address = local.split(':').next().unwrap_or_default();
        // The kernel prints the address as a number of the machine's own order.
        let octets = u32::from_str_radix(address, 16).map(u32::to_ne_bytes);
        state == "0A" && octets.is_ok_and(|it| it[..3] == [127, second, third])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str, index: usize) -> Place {
        Place {
            group: group.into(),
            index,
        }
    }

    #[test]
    fn an_address_stays_with_its_place_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("addresses.json");
        let first = Addresses::open(file.clone(), None).unwrap();
        let server = first.of(&place("default/server", 0)).unwrap();
        let client = first.of(&place("default/client", 0)).unwrap();
        assert_ne!(server, client);
        assert_eq!(first.of(&place("default/server", 0)), Some(server));
        let node = first.node(0);
        drop(first);
        let second = Addresses::open(file, None).unwrap();
        assert_eq!(second.node(0), node);
        assert_eq!(second.of(&place("default/client", 0)), Some(client));
        assert_eq!(second.of(&place("default/server", 0)), Some(server));
        let replica = second.of(&place("default/server", 1)).unwrap().to_string();
        let settled = second.settle("u", "default/server", Some(&replica));
        assert_eq!(settled.index, 1);
        let stranger = second.settle("v", "default/server", Some("127.0.0.1"));
        assert_eq!(stranger.index, 0);
        let late = second.settle("w", "default/server", Some(&replica));
        assert_eq!(late.index, 2);
    }

    #[test]
    fn two_labs_take_two_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        let first = Addresses::open(file.clone(), None).unwrap();
        let copy = directory.path().join("b");
        fs::copy(file, &copy).unwrap();
        let second = Addresses::open(copy, None).unwrap();
        assert_ne!(first.node(0), second.node(0));
    }

    #[test]
    fn a_successor_gets_the_place_of_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let addresses = Addresses::open(directory.path().join("a"), None).unwrap();
        assert_eq!(addresses.settle("u0", "g", None).index, 0);
        assert_eq!(addresses.settle("u1", "g", None).index, 1);
        assert_eq!(addresses.settle("u2", "g", None).index, 2);
        assert_eq!(addresses.settle("u1", "g", None).index, 1);
        assert_eq!(addresses.settle("v0", "h", None).index, 0);
        addresses.leave("u1");
        assert_eq!(addresses.settle("u3", "g", None).index, 1);
        addresses.leave("u0");
        assert_eq!(addresses.settle("u4", "g", None).index, 0);
        assert_eq!(addresses.settle("u5", "g", None).index, 3);
    }

    #[tokio::test]
    async fn a_door_opens_when_the_one_before_has_gone() {
        let directory = tempfile::tempdir().unwrap();
        let addresses = Addresses::open(directory.path().join("a"), None).unwrap();
        let home = place("g", 0);
        let inside = addresses.enter(&home).await;
        let waiting = addresses.enter(&home);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(inside);
        drop(waiting.await);
    }

    #[test]
    fn a_full_block_gives_up_empty_places_first() {
        let directory = tempfile::tempdir().unwrap();
        let addresses = Addresses::open(directory.path().join("a"), None).unwrap();
        let kept = addresses.settle("u", "kept", None);
        let address = addresses.of(&kept).unwrap();
        for index in 0..PLACES.count() - 1 {
            assert!(addresses.of(&place("gone", index)).is_some(), "{index}");
        }
        assert!(addresses.of(&place("new", 0)).is_some());
        assert_eq!(addresses.of(&kept), Some(address));
    }

    #[test]
    fn places_in_the_pods_own_network_are_many_and_keep_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        let network = Addresses::open(file.clone(), Some([10, 244])).unwrap();
        for index in 0..300 {
            let address = network.of(&place("g", index)).unwrap();
            let number = index as u16 + 0x102;
            let [third, last] = number.to_be_bytes();
            assert_eq!(address.octets(), [10, 244, third, last]);
        }
        assert!(network.node(0).is_loopback());
        // Load balancers are of this machine.
        let balancer = network.on_machine("default/service/web").unwrap();
        assert!(balancer.is_loopback());
        assert_eq!(network.on_machine("default/service/web"), Some(balancer));
        assert_ne!(network.on_machine("default/service/db"), Some(balancer));
        drop(network);
        // Without that network, those beyond the block move.
        let machine = Addresses::open(file, None).unwrap();
        let residents: Vec<_> = [5, 299].map(|index| place("g", index)).to_vec();
        let moved = machine.of(&residents[1]);
        assert_ne!(moved, machine.of(&residents[0]));
        assert!(machine.of(&residents[0]).unwrap().is_loopback());
    }

    #[test]
    fn listeners_are_seen_in_the_kernels_table() {
        let listener = std::net::TcpListener::bind("127.77.66.5:0").unwrap();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(listened_in(&table, (77, 66)));
        assert!(!listened_in(&table, (77, 67)));
        assert!(claim((77, 66)).is_err());
        drop(listener);
    }
}
