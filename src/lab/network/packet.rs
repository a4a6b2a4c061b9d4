//! IPv4 packets: what a switch must read in them, and the one kind it writes.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The protocol's number of TCP.
pub(super) const TCP: u8 = 6;

/// The protocol's number of UDP.
pub(super) const UDP: u8 = 17;

/// Length of a header without options.
const HEADER: usize = 20;

/// The protocol's number of ICMP.
const ICMP: u8 = 1;

/// Code of the message that nobody has an address.
pub(super) const NO_HOST: u8 = 1;

/// Code of the message that nobody serves a port.
pub(super) const NO_PORT: u8 = 3;

/// Which conversation a packet belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub protocol: u8,
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    /// It is the first packet of a TCP connection. No part of a flow's identity.
    pub begins: bool,
}

impl PartialEq for Flow {
    fn eq(&self, other: &Self) -> bool {
        (self.protocol, self.from, self.to) == (other.protocol, other.from, other.to)
    }
}

impl Eq for Flow {}

impl std::hash::Hash for Flow {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.protocol, self.from, self.to).hash(state);
    }
}

impl Flow {
    /// The flow of the answers.
    pub fn answer(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            begins: false,
            ..self
        }
    }
}

/// The conversation of a packet; none for what has no ports, or not all of them.
pub(super) fn flow(packet: &[u8]) -> Option<Flow> {
    let header = header(packet)?;
    let protocol = protocol(packet);
    let least = match protocol {
        TCP => 20,
        UDP => 8,
        _ => return None,
    };
    // Neither the later pieces of a packet nor the first of many.
    let piece = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
    if piece || packet.len() < header + least {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    // SYN without ACK.
    let begins = protocol == TCP && packet[header + 13] & 0x12 == 0x02;
    Some(Flow {
        protocol,
        from: SocketAddrV4::new(address(packet, 12), port(header)),
        to: SocketAddrV4::new(address(packet, 16), port(header + 2)),
        begins,
    })
}

/// Changes both ends of a packet that has a [`flow`], and keeps its checksums
/// right.
pub(super) fn readdress(packet: &mut [u8], from: SocketAddrV4, to: SocketAddrV4) {
    let header = usize::from(packet[0] & 0xf) * 4;
    let checksum_at = header + if protocol(packet) == TCP { 16 } else { 6 };
    let mut addresses = [0; 8];
    addresses[..4].copy_from_slice(&from.ip().octets());
    addresses[4..].copy_from_slice(&to.ip().octets());
    let mut ports = [0; 4];
    ports[..2].copy_from_slice(&from.port().to_be_bytes());
    ports[2..].copy_from_slice(&to.port().to_be_bytes());
    let outer = [packet[10], packet[11]];
    let outer = adjust(outer, &packet[12..20], &addresses);
    let inner = [packet[checksum_at], packet[checksum_at + 1]];
    // A UDP packet may have none.
    let none = protocol(packet) == UDP && inner == [0, 0];
    let mut adjusted = adjust(inner, &packet[12..20], &addresses);
    adjusted = adjust(adjusted, &packet[header..header + 4], &ports);
    if adjusted == [0, 0] && protocol(packet) == UDP {
        adjusted = [0xff, 0xff];
    }
    packet[10..12].copy_from_slice(&outer);
    packet[12..20].copy_from_slice(&addresses);
    packet[header..header + 4].copy_from_slice(&ports);
    if !none {
        packet[checksum_at..checksum_at + 2].copy_from_slice(&adjusted);
    }
}

/// A checksum after some of the words below it have changed (RFC 1624).
fn adjust(sum: [u8; 2], before: &[u8], after: &[u8]) -> [u8; 2] {
    let words = |bytes: &[u8]| -> u32 {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|it| u32::from(u16::from_be_bytes([it[0], it[1]])))
            .sum()
    };
    let taken = u32::from(u16::MAX) * (before.len() as u32 / 2) - words(before);
    let sum = u32::from(!u16::from_be_bytes(sum)) + taken + words(after);
    (!fold(sum)).to_be_bytes()
}

/// Where a packet comes from and goes to; none for what is no whole IPv4 packet.
pub(super) fn ends(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    header(packet)?;
    Some((address(packet, 12), address(packet, 16)))
}

/// Length of the header of a whole IPv4 packet.
pub(super) fn header(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let total = u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?);
    let whole = first >> 4 == 4
        && header >= HEADER
        && usize::from(total) >= header
        && usize::from(total) == packet.len();
    whole.then_some(header)
}

/// The protocol of a packet that [`header`] has accepted.
pub(super) fn protocol(packet: &[u8]) -> u8 {
    packet[9]
}

fn address(packet: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3])
}

/// The answer to a packet that cannot be delivered; none to one that must not
/// be answered: an answer of this kind itself, or a later piece of a packet.
pub(super) fn unreachable(packet: &[u8], from: Ipv4Addr, code: u8) -> Option<Vec<u8>> {
    let header = header(packet)?;
    if address(packet, 16).is_multicast() {
        return None;
    }
    let later = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff != 0;
    // Echo requests alone are answered among the messages of ICMP.
    let silent = protocol(packet) == ICMP && packet.get(header) != Some(&8);
    if later || silent {
        return None;
    }
    // The message carries the packet's header and the first eight bytes behind.
    let quoted = &packet[..packet.len().min(header + 8)];
    let total = HEADER + 8 + quoted.len();
    let mut answer = vec![0; HEADER + 8];
    answer[0] = 0x45;
    answer[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    answer[8] = 64;
    answer[9] = ICMP;
    answer[12..16].copy_from_slice(&from.octets());
    answer[16..20].copy_from_slice(&address(packet, 12).octets());
    let sum = checksum(&answer[..HEADER]);
    answer[10..12].copy_from_slice(&sum.to_be_bytes());
    answer[HEADER] = 3;
    answer[HEADER + 1] = code;
    answer.extend_from_slice(quoted);
    let sum = checksum(&answer[HEADER..]);
    answer[HEADER + 2..HEADER + 4].copy_from_slice(&sum.to_be_bytes());
    Some(answer)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    !fold(sum)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of a protocol with ports, checksums right.
    pub fn packet(protocol: u8, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 44];
        packet[0] = 0x45;
        packet[3] = 44;
        packet[8] = 64;
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&from.0.octets());
        packet[16..20].copy_from_slice(&to.0.octets());
        let sum = checksum(&packet[..HEADER]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet[20..22].copy_from_slice(&from.1.to_be_bytes());
        packet[22..24].copy_from_slice(&to.1.to_be_bytes());
        packet[33] = flags;
        let sum = inner_sum(&packet);
        let at = if protocol == 6 { 36 } else { 26 };
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The checksum over the pseudo header and the rest; 0 when it is right.
    fn inner_sum(packet: &[u8]) -> u16 {
        let mut whole = packet[12..20].to_vec();
        whole.extend([0, packet[9]]);
        whole.extend(((packet.len() - HEADER) as u16).to_be_bytes());
        whole.extend(&packet[HEADER..]);
        checksum(&whole)
    }

    /// The checksum over the header; 0 when it is right.
    fn outer_sum(packet: &[u8]) -> u16 {
        checksum(&packet[..HEADER])
    }

    const A: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);
    const B: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 3);

    #[test]
    fn an_unreachable_address_is_told_to_the_sender_only() {
        let lost = packet(6, (A, 1), (B, 2), 2);
        assert_eq!(ends(&lost), Some((A, B)));
        let answer = unreachable(&lost, B, NO_HOST).unwrap();
        assert_eq!(ends(&answer), Some((B, A)));
        assert_eq!(answer[HEADER..HEADER + 2], [3, 1]);
        assert_eq!(answer[HEADER + 8..], lost[..HEADER + 8]);
        assert_eq!(checksum(&answer[..HEADER]), 0);
        assert_eq!(checksum(&answer[HEADER..]), 0);
        // Never an answer to an answer.
        assert_eq!(unreachable(&answer, A, NO_HOST), None);
    }

    #[test]
    fn what_is_no_whole_packet_has_no_ends() {
        let good = packet(17, (A, 1), (B, 2), 0);
        assert_eq!(ends(&good[..good.len() - 1]), None);
        assert_eq!(ends(&[]), None);
        let mut six = good;
        six[0] = 0x65;
        assert_eq!(ends(&six), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_pod_sends_breaks_the_switch(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ends(&bytes);
            let _ = unreachable(&bytes, A, NO_HOST);
            let _ = flow(&bytes);
        }

        #[test]
        fn a_readdressed_packet_has_right_checksums(
            protocol in prop_oneof![Just(TCP), Just(UDP)],
            from in any::<(u32, u16)>(), to in any::<(u32, u16)>(),
            new_from in any::<(u32, u16)>(), new_to in any::<(u32, u16)>(),
        ) {
            let end = |(address, port)| (Ipv4Addr::from_bits(address), port);
            let mut packet = packet(protocol, end(from), end(to), 2);
            prop_assert_eq!((outer_sum(&packet), inner_sum(&packet)), (0, 0));
            let socket = |(address, port)| SocketAddrV4::new(Ipv4Addr::from_bits(address), port);
            readdress(&mut packet, socket(new_from), socket(new_to));
            prop_assert_eq!((outer_sum(&packet), inner_sum(&packet)), (0, 0));
            let flow = flow(&packet).unwrap();
            prop_assert_eq!((flow.from, flow.to), (socket(new_from), socket(new_to)));
        }
    }
}
