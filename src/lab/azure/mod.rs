//! An Azure Resource Manager on this machine, in front of the lab's cluster.
//!
//! `aks-tui lab --azure` serves, besides Kubernetes, HTTPS on a port of its own:
//! sign-in, subscriptions, and what else [`routes`] lists. A client needs
//! nothing but other addresses and another authority to trust; where they are
//! stands in `azure.json` in the lab's state directory, which only its owner can
//! read.
//!
//! ```text
//!  client ──HTTPS──▶ server ──▶ door (token, limits, versions) ──▶ a handler
//!                                                                     │
//!                                              world (kept on disk) ◀─┘
//! ```
//!
//! # `azure.json`
//! | field | what it is |
//! | --- | --- |
//! | `resource_manager` | where Azure Resource Manager is |
//! | `authority` | where to sign in |
//! | `certificate_authority` | file with the authority to trust, PEM |
//! | `prices` | where the retail price list is |
//! | `tenant`, `subscription` | ids of both |
//! | `client_id`, `client_secret` | a service principal that owns the subscription |
//!
//! # How it goes
//! Nothing runs in the background. What takes a while is on an agenda ([`lro`]),
//! and whoever enters settles what has become due. Times are Azure's, divided by
//! `--azure-time-scale`. What was changed is on the disk before it is answered;
//! the next lab on the same state goes on with the same port, certificate, ids
//! and resources.
//!
//! # What is there
//! - tokens for a service principal's secret, OpenID and instance discovery;
//! - subscriptions, tenants, regions, providers and their registration;
//! - resource groups, lists with filters and pages, the activity log;
//! - storage accounts, keys, file shares: a share is the lab's share of its name;
//! - a cluster, its pools and machines, its credentials: see [`keeper`] for what
//!   that is in the lab; stop and start, abort, change of certificates;
//! - scale sets and what can be done to their machines: a node's power, and its
//!   disk with what its pods kept there;
//! - sizes of machines, quota, the retail price list;
//! - deployments of templates, incremental ones: validation, what-if, progress by
//!   operations, outputs, cancellation; the functions are in [`template`];
//! - registries and their quick builds, as far as [`registry`] says; tags;
//! - roles, role assignments, permissions, locks;
//! - faults on request ([`Fault`]).
//!
//! # What is not
//! - anything that runs in other clusters than the first: they are there as resources,
//!   and have machines and no nodes; when the first is gone, the next is the lab's;
//! - pools of other types than scale sets, run-command, upgrades of a running version:
//!   the cluster's Kubernetes is the lab's own, whatever version it was asked to have;
//! - disks of machines: what `hostPath` shows is one disk for all nodes, and is not
//!   renewed by *reimage*;
//! - deployments in other modes than incremental, to other scopes than groups, of
//!   linked or nested templates; `uniqueString()` makes other texts than Azure's;
//! - images: the lab's are there already, and a build makes none;
//! - two shares of one name in two accounts: they are one in the lab;
//! - anything else: *404*, and versions that a path does not have *400*.

#![allow(clippy::unnecessary_wraps, reason = "all handlers have one signature")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::{IdentityError, ServerError};
use super::kubelet::Kubelet;
use super::state::{StateError, write_private};
use super::store::Store;

mod account;
mod aks;
mod answer;
mod authorization;
mod blobs;
mod call;
mod deployments;
mod door;
mod faults;
mod groups;
mod guard;
mod ids;
mod keeper;
mod kinds;
mod limits;
mod lro;
mod machines;
mod prices;
mod providers;
mod registry;
mod resources;
mod routes;
mod server;
mod sizes;
mod storage;
mod tags;
mod template;
mod token;
mod world;

pub use faults::Fault;

use door::Door;
use keeper::Keeper;
use world::{Setting, World};

/// What is asked of the simulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port to listen on; 0 takes the one of an earlier life, or any.
    pub port: u16,
    /// How many times faster than Azure things happen.
    pub time_scale: f64,
    /// What shall go wrong.
    pub faults: Vec<Fault>,
}

/// Why there is no simulator.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// What was kept cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The port.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random,
}

/// A running simulator.
#[derive(Debug)]
pub struct Azure {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Azure {
    /// Listens on the loopback address and tells in `<state>/azure.json` how it
    /// is reached. What an earlier life knew is in `<state>/azure`.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub async fn start(
        state: &Path,
        options: &Options,
        store: Store,
        kubelet: Arc<Kubelet>,
    ) -> Result<Self, AzureError> {
        let mut world = World::open(&state.join("azure"))?;
        let (listener, address) = server::listen(options.port, world.port).await?;
        world.port = address.port();
        world.setting = Setting {
            base: format!("https://{address}"),
            time_scale: options.time_scale,
            faults: options.faults.clone(),
            shares: Some(state.join("node").join("shares")),
        };
        world.save()?;
        let identity = super::api::Identity::of(&world.papers)?;
        tell(state, &world)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let door = Arc::new(Door::new(world));
        let keeper = Keeper::new(Arc::clone(&door), store, kubelet);
        tasks.spawn(keeper.keep(stop.clone()));
        tasks.spawn(server::accept(
            listener,
            identity,
            door,
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(server::FAREWELL, self.tasks.wait()).await;
    }
}

/// Writes `azure.json` and the certificate that it names. Only their owner can
/// read them: the secret opens everything that the simulator has.
fn tell(state: &Path, world: &World) -> Result<(), StateError> {
    let write = |name: &str, text: &str| {
        let path = state.join(name);
        write_private(&path, text.as_bytes()).map_err(|source| StateError::Directory {
            path: path.clone(),
            source,
        })?;
        Ok::<_, StateError>(path)
    };
    let authority = write("azure/ca.pem", &world.papers.authority)?;
    let base = &world.setting.base;
    let about = json!({
        "resource_manager": base,
        "authority": base,
        "certificate_authority": authority,
        "prices": format!("{base}/api/retail/prices"),
        "tenant": world.account.tenant,
        "subscription": world.account.subscription,
        "client_id": world.account.client,
        "client_secret": world.account.secret,
    });
    write("azure.json", &format!("{about:#}\n"))?;
    Ok(())
}
