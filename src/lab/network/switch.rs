//! The wire between the pods: it reads what one sends and writes it to the one
//! that it is for.
//!
//! It has a thread of its own, so that a busy API server delays no packet. A
//! pod's device is a bounded queue in the kernel already, so the switch keeps
//! none, but for what a fault makes late; what does not fit is dropped and
//! counted, and TCP sends it again.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::fault::{self, Fate, Fault, Late};
use super::nat::{Nat, Verdict};
use super::packet::{self, NO_HOST, NO_PORT};
use crate::lab::runtime::Sandbox;

/// More than the largest packet.
const LARGEST: usize = 64 * 1024;

/// So many packets of one pod are carried before others get their turn.
const TURN: usize = 32;

/// How long a pod's network outlives its processes, so that the ends of their
/// connections, and what they had written before, reach the other side.
const FAREWELL: Duration = Duration::from_secs(1);

/// One pod at the switch.
#[derive(Debug)]
pub(super) struct Port {
    address: Ipv4Addr,
    device: AsyncFd<OwnedFd>,
    faults: Mutex<Vec<(String, Fault)>>,
    dropped: AtomicU64,
    unplugged: CancellationToken,
    // The network must be there as long as its device.
    _sandbox: Sandbox,
}

impl Port {
    fn faults(&self) -> MutexGuard<'_, Vec<(String, Fault)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, packet: &[u8]) {
        // A device takes a packet or has no room; there is nothing in between.
        if rustix::io::write(self.device.get_ref(), packet).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The switch.
#[derive(Debug)]
pub(super) struct Switch {
    ports: RwLock<HashMap<Ipv4Addr, Arc<Port>>>,
    nat: Arc<Nat>,
    thread: Handle,
}

impl Switch {
    /// Starts the thread, which ends when `stop` is cancelled.
    pub fn start(nat: Arc<Nat>, stop: CancellationToken) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let switch = Arc::new(Self {
            ports: RwLock::default(),
            nat,
            thread: runtime.handle().clone(),
        });
        std::thread::Builder::new()
            .name("lab-network".into())
            .spawn(move || runtime.block_on(stop.cancelled()))?;
        Ok(switch)
    }

    /// Connects a pod's device. Whoever had the address before is cut off.
    pub fn plug(
        self: &Arc<Self>,
        address: Ipv4Addr,
        device: OwnedFd,
        sandbox: Sandbox,
    ) -> io::Result<Arc<Port>> {
        fcntl_setfl(&device, fcntl_getfl(&device)? | OFlags::NONBLOCK)?;
        let port = {
            let _inside = self.thread.enter();
            Arc::new(Port {
                address,
                device: crate::sys::watch(device)?,
                faults: Mutex::default(),
                dropped: AtomicU64::new(0),
                unplugged: CancellationToken::new(),
                _sandbox: sandbox,
            })
        };
        let before = self.ports().insert(address, Arc::clone(&port));
        if let Some(before) = before {
            before.unplugged.cancel();
        }
        self.thread.spawn(Arc::clone(self).carry(Arc::clone(&port)));
        Ok(port)
    }

    /// Takes a pod off whose processes have ended, in a moment.
    pub fn retire(self: &Arc<Self>, port: Arc<Port>) {
        let switch = Arc::clone(self);
        self.thread.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(FAREWELL) => {}
                () = port.unplugged.cancelled() => return,
            }
            let mut ports = switch.ports();
            let same = |it: &Arc<Port>| Arc::ptr_eq(it, &port);
            if ports.get(&port.address).is_some_and(same) {
                ports.remove(&port.address);
            }
            port.unplugged.cancel();
        });
    }

    /// Sets or heals a fault of a pod.
    pub fn impair(&self, pod: Ipv4Addr, name: &str, fault: Option<Fault>) -> Result<(), String> {
        let port = self.port(pod);
        let port = port.ok_or_else(|| format!("no pod has the address {pod}"))?;
        let mut faults = port.faults();
        faults.retain(|(known, _)| known != name);
        faults.extend(fault.map(|fault| (name.to_owned(), fault)));
        Ok(())
    }

    fn ports(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Ipv4Addr, Arc<Port>>> {
        self.ports.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn port(&self, address: Ipv4Addr) -> Option<Arc<Port>> {
        let ports = self.ports.read().unwrap_or_else(PoisonError::into_inner);
        ports.get(&address).cloned()
    }

    /// Carries what a pod sends, until it is taken off.
    async fn carry(self: Arc<Self>, port: Arc<Port>) {
        let mut buffer = vec![0; LARGEST];
        let mut late = Late::default();
        loop {
            let due = late.next();
            tokio::select! {
                biased;
                () = port.unplugged.cancelled() => break,
                () = sleep_until(due) => {
                    while let Some(mut packet) = late.take(tokio::time::Instant::now()) {
                        self.forward(&port, &mut packet);
                    }
                }
                ready = port.device.readable() => {
                    let Ok(mut ready) = ready else { break };
                    for _ in 0..TURN {
                        let read = ready.try_io(|device| {
                            Ok(rustix::io::read(device.get_ref(), &mut buffer)?)
                        });
                        match read {
                            Ok(Ok(length)) => self.take(&port, &mut buffer[..length], &mut late),
                            Ok(Err(error)) => {
                                tracing::warn!("{} is off the network: {error}", port.address);
                                return;
                            }
                            // Nothing more for now.
                            Err(_) => break,
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        // What was sent before the end is carried all the same.
        while let Ok(length) = rustix::io::read(port.device.get_ref(), &mut buffer) {
            self.take(&port, &mut buffer[..length], &mut late);
        }
        let dropped = port.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::debug!("{dropped} packets of {} were dropped", port.address);
        }
    }

    fn take(&self, port: &Port, packet: &mut [u8], late: &mut Late) {
        let fate = fault::fate(port.faults().iter().map(|(_, fault)| fault));
        let dropped = match fate {
            Fate::Lost => true,
            Fate::At(due) => !late.keep(due, packet),
            Fate::Now => {
                self.forward(port, packet);
                false
            }
        };
        if dropped {
            port.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forward(&self, from: &Port, packet: &mut [u8]) {
        // What is no IPv4 has no way here; what lies about its sender neither.
        let Some((source, _)) = packet::ends(packet) else {
            return;
        };
        if source != from.address {
            from.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let refusal = match self.nat.translate(packet) {
            Verdict::Go => {
                let to = packet::ends(packet).and_then(|(_, to)| self.port(to));
                if let Some(port) = to {
                    return port.deliver(packet);
                }
                NO_HOST
            }
            Verdict::NoPort => NO_PORT,
            Verdict::Drop => return,
        };
        if let Some(answer) = packet::unreachable(packet, super::SWITCH, refusal) {
            from.deliver(&answer);
        }
    }
}

/// Waits until then; without a time, for ever.
pub(super) async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
