//! Interfaces of the network namespace that the calling process is in.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// `struct ifreq`, which every request about an interface takes: a name of 16
/// bytes and a union whose largest member has 24. The kernel copies no more.
type Request = [u8; 40];

const NAME: usize = 16;

const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
const SIOCSIFMTU: Opcode = 0x8922;

const IFF_UP: u16 = 0x1;
const IFF_TUN: u16 = 0x1;
const IFF_NO_PI: u16 = 0x1000;

/// An interface, by its name.
#[derive(Debug)]
pub struct Interface {
    name: [u8; NAME],
    socket: OwnedFd,
}

impl Interface {
    /// The interface of that name, which must have fewer than 16 bytes.
    ///
    /// # Errors
    /// When the name is too long, or no socket can be had.
    pub fn named(name: &str) -> io::Result<Self> {
        let mut bytes = [0; NAME];
        if name.len() >= NAME {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self {
            name: bytes,
            socket,
        })
    }

    /// Makes it a TUN device: whoever holds the descriptor reads the packets
    /// that the namespace sends through it, and writes those it is to receive.
    ///
    /// # Errors
    /// When there is no `/dev/net/tun`, it may not be opened, or the caller is
    /// not the administrator of the namespace.
    pub fn make_tun(&self) -> io::Result<OwnedFd> {
        let mut options = fs::OpenOptions::new();
        let device = options.read(true).write(true).open("/dev/net/tun")?;
        let mut request = self.request();
        request[NAME..NAME + 2].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
        ask::<TUNSETIFF>(&device, &mut request)?;
        Ok(device.into())
    }

    /// Gives it an address in a network with so many leading bits.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn set_address(&self, address: Ipv4Addr, bits: u32) -> io::Result<()> {
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
        self.ask_address::<SIOCSIFADDR>(address)?;
        self.ask_address::<SIOCSIFNETMASK>(mask)
    }

    /// Sets the size of its largest packet, in bytes.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn set_mtu(&self, bytes: i32) -> io::Result<()> {
        let mut request = self.request();
        request[NAME..NAME + 4].copy_from_slice(&bytes.to_ne_bytes());
        ask::<SIOCSIFMTU>(&self.socket, &mut request)
    }

    /// Brings it up.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn up(&self) -> io::Result<()> {
        let mut request = self.request();
        ask::<SIOCGIFFLAGS>(&self.socket, &mut request)?;
        let flags = u16::from_ne_bytes([request[NAME], request[NAME + 1]]) | IFF_UP;
        request[NAME..NAME + 2].copy_from_slice(&flags.to_ne_bytes());
        ask::<SIOCSIFFLAGS>(&self.socket, &mut request)
    }

    fn request(&self) -> Request {
        let mut request = [0; 40];
        request[..NAME].copy_from_slice(&self.name);
        request
    }

    fn ask_address<const OPCODE: Opcode>(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut request = self.request();
        // A sockaddr_in: family, port, address.
        let family = AddressFamily::INET.as_raw().to_ne_bytes();
        request[NAME..NAME + 2].copy_from_slice(&family);
        request[NAME + 4..NAME + 8].copy_from_slice(&address.octets());
        ask::<OPCODE>(&self.socket, &mut request)
    }
}

fn ask<const OPCODE: Opcode>(descriptor: impl AsFd, request: &mut Request) -> io::Result<()> {
    // SAFETY: every request that this module makes takes a pointer to an
    // `ifreq`, and none keeps it; the buffer is as large as the largest one.
    unsafe { ioctl(descriptor, Updater::<OPCODE, Request>::new(request)) }?;
    Ok(())
}
