//! The pods' network, as the lab itself uses it: probes, port-forwards and
//! services all reach a pod through here, so that none of them needs to know
//! how pods are connected.

use std::io;
use std::net::IpAddr;

use tokio::net::TcpStream;

/// A handle to the network of the pods; cloning it gives another.
#[derive(Debug, Clone, Default)]
pub struct Network {}

impl Network {
    /// Connects to a port of the pod with this address.
    ///
    /// # Errors
    /// What connecting says: refused when nothing listens there.
    pub async fn connect(&self, pod: IpAddr, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((pod, port)).await
    }
}
