//! The lab's directory: what it needs again when it starts again.
//!
//! One lab at a time has it, by a lock that ends with the process. In it are
//!
//! - `lock`, with the pid of the lab that holds it;
//! - `lab.json`, how to reach that lab: what it printed when it was ready;
//! - `kubeconfig`, unless another place was named for it;
//! - `azure.json`, how to reach its Azure, and `azure`, what that knows;
//! - `objects.json`, the objects of the kinds that are kept;
//! - `node`, the kubelet's: the pods' disks and logs, their addresses.
//!
//! A lab that is stopped removes all of it and nothing else; the directory too,
//! if it was the lab that made it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::access::Users;
use super::kinds::{Kept, Resource};
use super::store::{Store, StoreError, WatchEvent};

/// The first line of a kubeconfig of ours: what may be overwritten.
const MARK: &str = "# Written by aks-tui lab; removed when it stops.\n";
/// The name of the context in the kubeconfig.
const CONTEXT: &str = "aks-tui-lab";
/// How far versions of one life of a lab are from the next one's.
const LIFE: u64 = 1_000_000_000;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be used.
    #[error("cannot use {} for the lab's state: {source}; name another with --state", path.display())]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no home to put it in.
    #[error("there is no home directory for the lab's state; name one with --state")]
    NoHome,
    /// Another lab has it.
    #[error("another lab (pid {pid}) runs on {}; stop it, or name another directory with --state", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The other lab's process.
        pid: String,
    },
    /// What was saved cannot be read.
    #[error("{} is damaged ({reason}); remove it to start without the saved deployments", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The kubeconfig cannot be written.
    #[error("cannot write the kubeconfig {}: {source}; name another with --kubeconfig", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kubeconfig is somebody else's.
    #[error("{} exists and is no lab's; name another file with --kubeconfig", .0.display())]
    Foreign(PathBuf),
}

/// A state directory, held.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// Whether the directory was made for this lab.
    made: bool,
    /// Whether nothing was saved in it.
    new: bool,
    kubeconfig: PathBuf,
    /// Held as long as it is open.
    lock: File,
}

/// What is saved.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// Versions of this life of the lab are above this.
    rv: u64,
    objects: Vec<Value>,
}

impl State {
    /// Takes a directory, the user's if none is named.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn take(
        directory: Option<PathBuf>,
        kubeconfig: Option<PathBuf>,
    ) -> Result<Self, StateError> {
        let path = directory
            .or_else(default_directory)
            .ok_or(StateError::NoHome)?;
        let failed = |source| StateError::Directory {
            path: path.clone(),
            source,
        };
        let made = !path.exists();
        if made {
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(failed)?;
        }
        // Pods are told of it, so it must mean the same from everywhere.
        let path = path.canonicalize().map_err(failed)?;
        let failed = |source| StateError::Directory {
            path: path.clone(),
            source,
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            return Err(StateError::Taken {
                path,
                pid: pid.trim().to_owned(),
            });
        }
        let kubeconfig = kubeconfig.unwrap_or_else(|| path.join("kubeconfig"));
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|source| StateError::Directory {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            new: !path.join("objects.json").exists(),
            path,
            made,
            kubeconfig,
            lock,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the kubeconfig is or will be.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether no lab has left anything in it.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// The kubelet's part.
    pub fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    /// Where shares and disks are, which every node sees.
    pub fn shares(&self) -> PathBuf {
        self.node().join("shares")
    }

    /// A store with what was saved; the second value says whether anything
    /// was. Versions go on above all that were ever given out.
    ///
    /// # Errors
    /// [`StateError::Damaged`] and [`StateError::Directory`].
    pub fn restore(&self) -> Result<(Store, bool), StateError> {
        let file = self.path.join("objects.json");
        let damaged = |reason: String| StateError::Damaged {
            path: file.clone(),
            reason,
        };
        let saved: Option<Saved> = match fs::read(&file) {
            Ok(bytes) => {
                Some(serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StateError::Directory { path: file, source }),
        };
        let known = saved.is_some();
        let saved = saved.unwrap_or_default();
        let store = Store::new(if known { saved.rv + LIFE } else { 0 });
        for object in saved.objects {
            let text = |field: &str| object[field].as_str().unwrap_or_default();
            let (version, kind) = (text("apiVersion"), text("kind"));
            let resource = store
                .kind_of(version, kind)
                .ok_or_else(|| damaged(format!("unknown kind {kind:?}")))?;
            store
                .restore(resource, object)
                .map_err(|error: StoreError| damaged(error.to_string()))?;
        }
        self.save(&store, if known { saved.rv + LIFE } else { 0 })?;
        Ok((store, known))
    }

    fn save(&self, store: &Store, rv: u64) -> Result<(), StateError> {
        let text = snapshot(store, rv);
        let path = self.path.join("objects.json");
        write_private(&path, text.as_bytes())
            .map_err(|source| StateError::Directory { path, source })
    }

    /// Saves what changes, until it is stopped.
    pub async fn keep_saved(&self, store: &Store, stop: CancellationToken) {
        // Within one life versions stay below the next one's.
        let rv = store.rv() / LIFE * LIFE;
        let mut written = String::new();
        while !stop.is_cancelled() {
            let (_, mut watch) = store.list_and_watch_all();
            let kept = |event: &WatchEvent| event.key.resource.about().kept != Kept::Nothing;
            let mut due = true;
            loop {
                while let Ok(Some(event)) = watch.try_next() {
                    due |= kept(&event);
                }
                if std::mem::take(&mut due) {
                    self.write_what_is_new(&snapshot(store, rv), &mut written);
                }
                tokio::select! {
                    event = watch.next() => match event {
                        Ok(event) => due = kept(&event),
                        Err(_) => break,
                    },
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    fn write_what_is_new(&self, text: &str, written: &mut String) {
        if text == written {
            return;
        }
        let path = self.path.join("objects.json");
        match write_private(&path, text.as_bytes()) {
            Ok(()) => text.clone_into(written),
            Err(error) => eprintln!("aks-tui lab: cannot save {}: {error}", path.display()),
        }
    }

    /// Writes the kubeconfig, with a context for each user; the current one may
    /// do anything. Who can read it can do anything too, so only its owner can.
    ///
    /// # Errors
    /// [`StateError::Kubeconfig`], and [`StateError::Foreign`] for a file that
    /// no lab has written.
    pub fn write_kubeconfig(
        &self,
        server: &str,
        authority: &str,
        users: &Users,
    ) -> Result<(), StateError> {
        let path = &self.kubeconfig;
        let failed = |source| StateError::Kubeconfig {
            path: path.clone(),
            source,
        };
        match fs::read(path) {
            Ok(present) if !present.starts_with(MARK.as_bytes()) => {
                return Err(StateError::Foreign(path.clone()));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let tokens = |entry: fn(&str, &str) -> Value| -> Vec<Value> {
            users
                .tokens()
                .map(|(name, token)| entry(name, token))
                .collect()
        };
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": {
                "server": server,
                "certificate-authority-data": BASE64_STANDARD.encode(authority),
            }}],
            "users": tokens(|name, token| json!({"name": name, "user": {"token": token}})),
            "contexts": tokens(|name, _| json!({"name": name, "context": {
                "cluster": CONTEXT, "user": name, "namespace": "default",
            }})),
            "current-context": CONTEXT,
        });
        let yaml =
            serde_yaml::to_string(&config).map_err(|error| failed(io::Error::other(error)))?;
        write_private(path, format!("{MARK}{yaml}").as_bytes()).map_err(failed)
    }

    /// Writes how to reach the lab.
    ///
    /// # Errors
    /// [`StateError::Directory`].
    pub fn write_ready(&self, ready: &Value) -> Result<(), StateError> {
        let path = self.path.join("lab.json");
        write_private(&path, format!("{ready}\n").as_bytes())
            .map_err(|source| StateError::Directory { path, source })
    }

    /// Removes what the lab made, and only that.
    ///
    /// # Errors
    /// [`StateError::Directory`] for what could not be removed.
    pub fn remove(self) -> Result<(), StateError> {
        let ours = fs::read(&self.kubeconfig).is_ok_and(|it| it.starts_with(MARK.as_bytes()));
        if ours {
            // Another lab's file of the same name is not told apart by its
            // first line, but two labs were never to share one.
            gone(&self.kubeconfig, fs::remove_file(&self.kubeconfig))?;
        }
        for directory in [self.node(), self.path.join("azure")] {
            gone(&directory, fs::remove_dir_all(&directory))?;
        }
        for name in ["lab.json", "azure.json", "objects.json", "lock"] {
            let path = self.path.join(name);
            gone(&path, fs::remove_file(&path))?;
        }
        if self.made {
            // Somebody may have put something of his own there: it stays.
            let _ = fs::remove_dir(&self.path);
        }
        drop(self.lock);
        Ok(())
    }
}

fn gone(path: &Path, result: io::Result<()>) -> Result<(), StateError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Directory {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn default_directory() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let base = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(base.join("aks-tui").join("lab"))
}

/// The kinds that are saved.
fn saved(store: &Store) -> Vec<Resource> {
    let kept = |it: &Resource| it.about().kept != Kept::Nothing;
    store.kinds().into_iter().filter(kept).collect()
}

/// What is worth keeping of the objects as they are now: what was asked for,
/// not what became of it.
fn snapshot(store: &Store, rv: u64) -> String {
    let mut objects = Vec::new();
    for resource in saved(store) {
        for object in store.list(resource, None).items {
            if object["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            let mut object = Value::clone(&object);
            if let Some(fields) = object.as_object_mut()
                && resource.about().kept == Kept::Asked
            {
                fields.remove("status");
            }
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            objects.push(object);
        }
    }
    json!(Saved { rv, objects }).to_string()
}

/// Replaces a file in one step; only its owner can read it.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = directory.join(format!(".{name}.{:08x}", fastrand::u32(..)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests;
