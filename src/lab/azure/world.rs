//! Everything that the simulator knows, kept on disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AzureError;
use super::aks::CLUSTER;
use super::deployments::Deployments;
use super::faults::Fault;
use super::limits::Buckets;
use super::lro::{Due, Operation};
use super::resources::Resource;
use crate::lab::access::fresh_token;
use crate::lab::api::{Papers, loopback_names};
use crate::lab::state::{StateError, write_private};
use crate::lab::store::new_uid;

/// How the world behaves; not part of what is kept.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Where the server is reached.
    pub base: String,
    /// How many times faster than Azure things happen.
    pub time_scale: f64,
    /// What shall go wrong.
    pub faults: Vec<Fault>,
    /// Where the lab keeps what shares hold.
    pub shares: Option<PathBuf>,
}

/// The made-up subscription and who may use it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Id of the tenant.
    pub tenant: String,
    /// Id of the subscription.
    pub subscription: String,
    /// Client id of the service principal.
    pub client: String,
    /// Its secret.
    pub secret: String,
    /// Its object id.
    pub principal: String,
    /// What tokens are signed with.
    pub key: String,
}

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub struct World {
    /// The port, so that addresses last from one life to the next.
    pub port: u16,
    /// The certificate, so that trust does too.
    pub papers: Papers,
    /// The subscription.
    pub account: Account,
    /// Every resource, by its id in small letters: groups, what is in them, and
    /// what is about others, such as locks.
    pub resources: BTreeMap<String, Resource>,
    /// Operations, by id.
    pub operations: BTreeMap<String, Operation>,
    /// Deployments.
    pub deployments: Deployments,
    /// What will happen.
    pub agenda: Vec<Due>,
    /// Registration of providers, of those that somebody has changed.
    pub providers: BTreeMap<String, String>,
    /// Shares that are gone, and until when their names are not to be had.
    pub going: BTreeMap<String, Timestamp>,
    /// The cluster that the lab's store holds, by an id of its own.
    pub applied: Option<String>,
    /// The activity log, the oldest first.
    pub activity: VecDeque<Value>,
    /// The time, as of what happens now.
    pub now: Timestamp,
    /// What joins everything that the present request causes.
    #[serde(skip)]
    pub correlation: String,
    /// How much of what may be asked is left.
    #[serde(skip)]
    pub buckets: Buckets,
    /// Paths that were refused once.
    #[serde(skip)]
    pub refused: BTreeSet<String>,
    /// How many requests there have been.
    #[serde(skip)]
    pub requests: u64,
    /// How it behaves.
    #[serde(skip)]
    pub setting: Setting,
    #[serde(skip)]
    file: PathBuf,
}

impl World {
    /// What an earlier life left in a directory, or a new world.
    ///
    /// # Errors
    /// [`AzureError::State`] when it cannot be read or is damaged, others when
    /// the system gives no randomness.
    pub fn open(directory: &Path) -> Result<Self, AzureError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        let failed = |source| StateError::Directory {
            path: directory.to_owned(),
            source,
        };
        made.map_err(failed)?;
        let file = directory.join("world.json");
        let mut world = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| StateError::Damaged {
                path: file.clone(),
                reason: error.to_string(),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::new()?,
            Err(source) => return Err(failed(source).into()),
        };
        world.file = file;
        Ok(world)
    }

    fn new() -> Result<Self, AzureError> {
        let random = || fresh_token().ok_or(AzureError::Random);
        Ok(Self {
            port: 0,
            papers: Papers::generate("aks-tui lab Azure", loopback_names())?,
            account: Account {
                tenant: new_uid(),
                subscription: new_uid(),
                client: new_uid(),
                secret: random()?,
                principal: new_uid(),
                key: random()?,
            },
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            deployments: Deployments::new(),
            agenda: Vec::new(),
            providers: BTreeMap::new(),
            going: BTreeMap::new(),
            applied: None,
            activity: VecDeque::new(),
            now: Timestamp::now(),
            correlation: String::new(),
            buckets: Buckets::default(),
            refused: BTreeSet::new(),
            requests: 0,
            setting: Setting::default(),
            file: PathBuf::new(),
        })
    }

    /// Whether something shall go wrong.
    pub fn has(&self, fault: Fault) -> bool {
        self.setting.faults.contains(&fault)
    }

    /// Whether somebody of this object id is in the directory.
    pub fn is_principal(&self, id: &str) -> bool {
        let of_cluster = |cluster: &Resource| {
            cluster.secret["kubelet"]["object"] == id
                || cluster.body["identity"]["principalId"] == id
        };
        id.eq_ignore_ascii_case(&self.account.principal)
            || self.of_kind(CLUSTER, "/").any(of_cluster)
    }

    /// Where it is kept.
    pub fn directory(&self) -> Option<&Path> {
        self.file.parent()
    }

    /// Keeps it as it is now.
    ///
    /// # Errors
    /// [`StateError::Directory`].
    pub fn save(&self) -> Result<(), StateError> {
        let failed = |source| StateError::Directory {
            path: self.file.clone(),
            source,
        };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        write_private(&self.file, &text).map_err(failed)
    }
}
