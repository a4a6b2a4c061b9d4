//! Keeps the lab's cluster as the world says that it is: its nodes and their
//! power, and the front door that credentials open.
//!
//! The lab's own API server and kubeconfig are the back door: they are there
//! from the start, also while there is no cluster. What Azure gives out leads to
//! a server of its own, with an authority and tokens of its own, which is there
//! while the cluster runs. Behind both is the same store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::aks;
use super::aks::credentials::SERVER;
use super::aks::nodes::{self, Wish};
use super::door::Door;
use super::token;
use super::world::World;
use crate::lab::access::{self, User, Users, fresh_token};
use crate::lab::api::{Identity, Papers, Server, api_names};
use crate::lab::kinds::Resource;
use crate::lab::kubelet::Kubelet;
use crate::lab::lease;
use crate::lab::network::CHAOS_DEFINITION;
use crate::lab::store::{Key, Store, StoreError};
use crate::lab::workload::NAMESPACES;

/// Who may do everything in a cluster.
const MASTERS: &str = "system:masters";
/// What the cloud says of a node whose machine has no power.
const SHUTDOWN: &str = "node.cloudprovider.kubernetes.io/shutdown";
/// How long nothing is looked at if nothing is due and nobody asks.
const REST: Duration = Duration::from_secs(3600);
/// How often it is tried to leave nothing of a cluster.
const ROUNDS: u32 = 400;

/// The cluster as it is to be.
#[derive(Debug)]
struct ClusterWish {
    id: String,
    uid: String,
    /// How often its certificates were changed.
    turn: u64,
    /// Whether its front door is open.
    open: bool,
    secret: Value,
    /// Whether Entra's tokens open it.
    entra: bool,
}

/// The front door, open.
#[derive(Debug)]
struct Open {
    server: Server,
    uid: String,
    turn: u64,
}

/// Who keeps it so.
#[derive(Debug)]
pub struct Keeper {
    door: Arc<Door>,
    store: Store,
    kubelet: Arc<Kubelet>,
    open: Option<Open>,
    /// How often each node was booted anew, and given a fresh disk.
    boots: HashMap<String, (u64, u64)>,
}

impl Keeper {
    /// Nobody is kept yet.
    pub fn new(door: Arc<Door>, store: Store, kubelet: Arc<Kubelet>) -> Self {
        Self {
            door,
            store,
            kubelet,
            open: None,
            boots: HashMap::new(),
        }
    }

    /// Keeps it until it is stopped; then closes the front door.
    pub async fn keep(mut self, stop: CancellationToken) {
        loop {
            let now = Timestamp::now();
            let (cluster, nodes, applied, next) = self.door.change(|world| {
                world.settle(now);
                let wishes = nodes::wishes(world);
                (
                    cluster(world),
                    wishes,
                    world.applied.clone(),
                    world.next_due(),
                )
            });
            let work = self.bring_about(cluster, nodes, applied);
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => break,
            }
            let wait = next.map_or(REST, |next| {
                let wait = next.duration_since(Timestamp::now());
                Duration::try_from(wait).unwrap_or_default().min(REST)
            });
            tokio::select! {
                () = self.door.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => break,
            }
        }
        self.close().await;
    }

    async fn bring_about(
        &mut self,
        cluster: Option<ClusterWish>,
        nodes: Vec<Wish>,
        applied: Option<String>,
    ) {
        let uid = cluster.as_ref().map(|it| it.uid.clone());
        if uid != applied {
            // What was there belongs to a cluster that is gone.
            self.close().await;
            self.keep_nodes(&[]).await;
            wipe(&self.store).await;
            self.door.change(|world| world.applied.clone_from(&uid));
        }
        let open = cluster.filter(|it| it.open);
        let same = |it: &Open| {
            open.as_ref()
                .is_some_and(|wish| it.uid == wish.uid && it.turn == wish.turn)
        };
        if !self.open.as_ref().is_some_and(same) {
            self.close().await;
            if let Some(wish) = open {
                self.open(wish).await;
            }
        }
        self.keep_nodes(&nodes).await;
    }

    async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.server.stop().await;
        }
    }

    async fn open(&mut self, wish: ClusterWish) {
        match self.try_to_open(&wish).await {
            Ok((server, secret)) => {
                self.door.change(|world| {
                    if let Some(cluster) = world.get_mut(&wish.id) {
                        super::kinds::merge(&mut cluster.secret, &secret);
                    }
                });
                self.open = Some(Open {
                    server,
                    uid: wish.uid,
                    turn: wish.turn,
                });
            }
            Err(reason) => tracing::warn!("the front door of the cluster does not open: {reason}"),
        }
    }

    async fn try_to_open(&self, wish: &ClusterWish) -> Result<(Server, Value), String> {
        let secret = if wish.secret["papers"].is_null() {
            let papers = Papers::generate("aks-tui lab AKS", api_names());
            let papers = papers.map_err(|error| error.to_string())?;
            let token = || fresh_token().ok_or("the system gives no random numbers");
            json!({"papers": papers, "admin": token()?, "user": token()?})
        } else {
            wish.secret.clone()
        };
        let papers: Papers =
            serde_json::from_value(secret["papers"].clone()).map_err(|error| error.to_string())?;
        let identity = Identity::of(&papers).map_err(|error| error.to_string())?;
        let token = |role: &str| secret[role].as_str().unwrap_or_default().to_owned();
        let users = Users::of(vec![
            (token("admin"), User::new("masterclient", &[MASTERS])),
            (token("user"), User::new("clusterUser", &[MASTERS])),
        ]);
        let users = if wish.entra {
            let account = self.door.change(|world| world.account.clone());
            users.also(move |token| {
                token::is_for(&account, token, SERVER, Timestamp::now().as_second())
                    .then(|| User::new(&account.principal, &[MASTERS]))
            })
        } else {
            users
        };
        let before = wish.secret["port"]
            .as_u64()
            .and_then(|it| u16::try_from(it).ok());
        let start = async |port| {
            let node = Arc::clone(&self.kubelet) as Arc<dyn crate::lab::node::Node>;
            Server::start(port, &identity, users.clone(), self.store.clone(), node).await
        };
        let server = match start(before.unwrap_or(0)).await {
            Err(_) if before.is_some() => start(0).await,
            started => started,
        };
        let server = server.map_err(|error| error.to_string())?;
        let mut secret = secret;
        secret["port"] = json!(server.address().port());
        Ok((server, secret))
    }

    /// Has exactly these nodes, each with the power that it is to have.
    async fn keep_nodes(&mut self, wishes: &[Wish]) {
        for name in self.kubelet.nodes() {
            if !wishes.iter().any(|it| it.vm.name == name) {
                self.kubelet.remove_node(&name).await;
                self.boots.remove(&name);
            }
        }
        for wish in wishes {
            let name = &wish.vm.name;
            if let Err(error) = self.kubelet.add_node(wish.vm.clone()) {
                tracing::warn!("{name} cannot be a node: {error}");
                continue;
            }
            let before = self.boots.insert(name.clone(), (wish.boots, wish.disks));
            if before.is_some_and(|(_, disks)| disks != wish.disks) {
                self.kubelet.reimage(name);
            }
            if wish.on && before.is_some_and(|(boots, _)| boots != wish.boots) {
                // It need not be off for long: every turn of the switch counts.
                self.kubelet.set_power(name, false);
            }
            self.kubelet.set_power(name, wish.on);
            taint(&self.store, name, !wish.on);
        }
    }
}

fn cluster(world: &World) -> Option<ClusterWish> {
    let cluster = aks::of_lab(world)?;
    let text = |field: &str| {
        cluster.secret[field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Some(ClusterWish {
        id: cluster.id.clone(),
        uid: text("uid"),
        turn: cluster.secret["turn"].as_u64().unwrap_or(0),
        open: cluster.secret["plane"] == true && cluster.secret["running"] == true,
        secret: cluster.secret.clone(),
        entra: !cluster.body["properties"]["aadProfile"].is_null(),
    })
}

/// Says on a node that its machine is shut down, or does not.
fn taint(store: &Store, name: &str, shut_down: bool) {
    let key = Key::new(Resource::Nodes, "", name);
    let has = |node: &Value| {
        let taints = node["spec"]["taints"].as_array();
        taints.is_some_and(|all| all.iter().any(|it| it["key"] == SHUTDOWN))
    };
    if store.get(&key).is_none_or(|node| has(&node) == shut_down) {
        return;
    }
    let changed = store.update_with(&key, |node| {
        let taints = node["spec"]["taints"].as_array().cloned();
        let mut taints = taints.unwrap_or_default();
        taints.retain(|it| it["key"] != SHUTDOWN);
        if shut_down {
            taints.push(json!({"key": SHUTDOWN, "effect": "NoSchedule"}));
        }
        node["spec"]["taints"] = Value::Array(taints);
        Ok::<(), StoreError>(())
    });
    if let Err(error) = changed {
        tracing::warn!("{name} cannot be tainted: {error}");
    }
}

/// Leaves nothing in the store but what every new cluster has. Controllers may
/// put something back that they had in hand: that goes too.
async fn wipe(store: &Store) {
    let roles = roles();
    for _ in 0..ROUNDS {
        let mut any = false;
        for resource in store.kinds() {
            for object in store.list(resource, None).items {
                let key = Key::of(resource, &object);
                if !is_of_every_cluster(&key) && !roles.contains(&key) {
                    any = true;
                    store.remove(&key, None);
                }
            }
        }
        if !any {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The roles and bindings that every cluster has.
fn roles() -> Vec<Key> {
    let fresh = Store::new(0);
    access::create_roles(&fresh);
    let kinds = [Resource::ClusterRoles, Resource::ClusterRoleBindings];
    let of_kind = |resource: Resource| {
        let all = fresh.list(resource, None).items;
        all.into_iter().map(move |it| Key::of(resource, &it))
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

fn is_of_every_cluster(key: &Key) -> bool {
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    let at_home = NAMESPACES.contains(&namespace);
    match key.resource {
        Resource::Namespaces => NAMESPACES.contains(&name),
        Resource::Nodes | Resource::StorageClasses => true,
        Resource::CustomResourceDefinitions => name == CHAOS_DEFINITION,
        Resource::ServiceAccounts => at_home && name == "default",
        Resource::ConfigMaps => at_home && name == "kube-root-ca.crt",
        Resource::Services | Resource::EndpointSlices => {
            matches!(
                (namespace, name),
                ("default", "kubernetes") | ("kube-system", "kube-dns")
            )
        }
        Resource::Leases => {
            namespace == "kube-node-lease" || (namespace, name) == (lease::NAMESPACE, lease::NAME)
        }
        _ => false,
    }
}
