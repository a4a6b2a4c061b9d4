//! The cluster that Azure made: how to reach it, and what must be in it before a
//! workload can use the storage account.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Secret as KubeSecret},
};
use kube::{
    Api, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    api::{self, Paths},
    apply::Tell,
    client::{Call, Client},
    error::Failure,
};
use crate::{
    core::{
        azure::{
            entra,
            progress::Progress,
            settings::{Azure, Settings},
        },
        workload::text::quote,
    },
    secret::Secret,
};

/// The label of what is ours in a cluster, and our name as a manager of fields.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "aks-tui");

/// How long nodes may take to be ready.
const NODES_WITHIN: Duration = Duration::from_secs(900);

/// Between looks at the nodes.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until nothing goes on with the cluster: before, it may have no credentials.
pub async fn wait_for_cluster(
    client: &Client,
    paths: &Paths,
    cluster: &str,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let wanted = format!("read the cluster {cluster}");
    let read = Call::get(wanted, paths.cluster(cluster), api::CONTAINER_SERVICE);
    let mut said = String::new();
    loop {
        let body = client.send(&read).await?.body;
        let state = body["properties"]["provisioningState"].as_str();
        let state = state.unwrap_or_default();
        if matches!(state, "" | "Succeeded" | "Failed" | "Canceled") {
            return Ok(());
        }
        if said != state {
            state.clone_into(&mut said);
            tell(Progress::Note {
                text: format!("the cluster {cluster} is {}", quote(state)),
            });
        }
        sleep(LOOK).await;
    }
}

/// Fetches the cluster's credentials and writes them to `path`, for nobody else to
/// read. The user's own kubeconfig is not touched. Where the cluster asks for Entra's
/// word, `program`, which is this one, is to give it.
pub async fn write_kubeconfig(
    client: &Client,
    paths: &Paths,
    settings: &Settings,
    path: &Path,
    program: &Path,
) -> Result<(), Failure> {
    let cluster = &settings.cluster.name;
    let wanted = format!("fetch the credentials of the cluster {cluster}");
    let call = Call::post(
        &wanted,
        format!("{}/listClusterUserCredential", paths.cluster(cluster)),
        api::CONTAINER_SERVICE,
    );
    let answer = client.send(&call).await?.body;
    let encoded = answer["kubeconfigs"][0]["value"]
        .as_str()
        .unwrap_or_default();
    let text = STANDARD
        .decode(encoded)
        .map_err(|_| Failure::new(&wanted, "the answer holds no kubeconfig"))?;
    if text.is_empty() {
        return Err(Failure::new(&wanted, "the answer holds no kubeconfig"));
    }
    let text = sign_in_ourselves(&text, &settings.azure, program).unwrap_or(text);
    write_private(path, &text).map_err(|error| {
        Failure::new(
            &wanted,
            format!("{} cannot be written: {error}", path.display()),
        )
    })
}

/// The kubeconfig `text` with our own command where it asks for `kubelogin`; none if
/// it does not.
fn sign_in_ourselves(text: &[u8], azure: &Azure, program: &Path) -> Option<Vec<u8>> {
    let mut config: Value = serde_yaml::from_slice(text).ok()?;
    let program = program.to_str()?;
    let mut changed = false;
    for user in config["users"].as_array_mut()? {
        let exec = &mut user["user"]["exec"];
        if let Some(ours) = entra::instead(exec, program, azure) {
            *exec = ours;
            changed = true;
        }
    }
    let written = serde_yaml::to_string(&config).ok()?;
    changed.then_some(written.into_bytes())
}

/// How the name of a file ends that is being written, after its writer's process id.
const UNFINISHED: &str = "new";

/// Writes `bytes` for the owner alone, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    forget_unfinished(path);
    let fresh = path.with_extension(format!("{}.{UNFINISHED}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options
        .open(&fresh)
        .and_then(|mut file| file.write_all(bytes));
    written
        .and_then(|()| fs::rename(&fresh, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&fresh);
        })
}

/// Removes the credentials at `path`, of a cluster that is gone: they are of no use,
/// and secret.
pub fn forget_kubeconfig(path: &Path) {
    forget_unfinished(path);
    let _ = fs::remove_file(path);
}

/// Removes what writers of `path` left who were killed while they wrote.
fn forget_unfinished(path: &Path) {
    let Some(entries) = path.parent().and_then(|dir| fs::read_dir(dir).ok()) else {
        return;
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    for file in entries.flatten().map(|entry| entry.path()) {
        let writer = file
            .file_name()
            .and_then(|name| name.to_str())
            .zip(stem)
            .and_then(|(name, stem)| name.strip_prefix(stem)?.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(UNFINISHED)?.strip_suffix('.'))
            .and_then(|id| id.parse().ok());
        if writer.is_some_and(|writer| !is_alive(writer)) {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(unix)]
fn is_alive(process: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    Pid::from_raw(process).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_: i32) -> bool {
    true
}

/// A client of the cluster whose kubeconfig is at `path`.
pub async fn connect(path: &Path) -> Result<kube::Client, Failure> {
    let failed = |why: String| Failure::new("reach the new cluster", why);
    let kubeconfig =
        Kubeconfig::read_from(path).map_err(|error| failed(quote(&error.to_string())))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| failed(quote(&error.to_string())))?;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(Duration::from_secs(30));
    if matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost")) {
        config.proxy_url = None;
    }
    kube::Client::try_from(config).map_err(|error| failed(quote(&error.to_string())))
}

fn of_kube(wanted: &str, error: &kube::Error) -> Failure {
    let why = match error {
        kube::Error::Api(status) => format!("{} ({})", quote(&status.message), status.code),
        other => quote(&other.to_string()),
    };
    Failure::new(wanted, why)
}

/// Waits until as many nodes are ready as are wanted.
pub async fn wait_for_nodes(
    cluster: &kube::Client,
    wanted: u32,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let doing = format!("wait until {wanted} nodes are ready");
    tell(Progress::Step {
        doing: doing.clone(),
    });
    let nodes: Api<Node> = Api::all(cluster.clone());
    let until = Instant::now() + NODES_WITHIN;
    let mut said = String::new();
    loop {
        let found = nodes.list(&ListParams::default()).await;
        let now = match &found {
            Ok(list) => {
                let ready = list.items.iter().filter(|node| is_ready(node)).count();
                if ready >= wanted as usize {
                    return Ok(());
                }
                format!("{ready} of {wanted} nodes are ready")
            }
            Err(error) => of_kube("list the nodes", error).to_string(),
        };
        if Instant::now() > until {
            return Err(Failure::new(
                &doing,
                format!("{now} after {} minutes", NODES_WITHIN.as_secs() / 60),
            ));
        }
        if now != said {
            tell(Progress::Note { text: now.clone() });
            said = now;
        }
        sleep(LOOK).await;
    }
}

fn is_ready(node: &Node) -> bool {
    node.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A key of the storage account.
pub async fn account_key(client: &Client, paths: &Paths, account: &str) -> Result<Secret, Failure> {
    let wanted = format!("read a key of the storage account {account}");
    let call = Call::post(
        &wanted,
        format!("{}/listKeys", paths.account(account)),
        api::STORAGE,
    );
    let answer = client.send(&call).await?.body;
    answer["keys"][0]["value"]
        .as_str()
        .map(Secret::new)
        .ok_or_else(|| {
            Failure::new(
                &wanted,
                "the account has none: is allowSharedKeyAccess off?",
            )
        })
}

/// Puts the account's name and key into the secret by which volumes are mounted.
/// Applied by our field manager, so that a rotated key replaces an old one and a
/// secret of somebody else's is a conflict that names its owner.
pub async fn apply_share_secret(
    cluster: &kube::Client,
    settings: &Settings,
    key: &Secret,
) -> Result<(), Failure> {
    let name = &settings.storage.secret;
    let namespace = &settings.workload.namespace;
    ensure_namespace(cluster, namespace).await?;
    let secrets: Api<KubeSecret> = Api::namespaced(cluster.clone(), namespace);
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
        "type": "Opaque",
        "data": {
            "azurestorageaccountname": STANDARD.encode(&settings.storage.account),
            "azurestorageaccountkey": STANDARD.encode(key.expose()),
        },
    });
    secrets
        .patch(
            name,
            &PatchParams::apply(MANAGED_BY.1),
            &Patch::Apply(&body),
        )
        .await
        .map(|_| ())
        .map_err(|error| of_kube(&format!("apply the secret {namespace}/{name}"), &error))
}

async fn ensure_namespace(cluster: &kube::Client, name: &str) -> Result<(), Failure> {
    use k8s_openapi::api::core::v1::Namespace;
    let namespaces: Api<Namespace> = Api::all(cluster.clone());
    let failed = |error: &kube::Error| of_kube(&format!("make the namespace {name}"), error);
    if namespaces
        .get_opt(name)
        .await
        .map_err(|error| failed(&error))?
        .is_some()
    {
        return Ok(());
    }
    let body: Value = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
    });
    namespaces
        .patch(
            name,
            &PatchParams::apply(MANAGED_BY.1),
            &Patch::Apply(&body),
        )
        .await
        .map(|_| ())
        .map_err(|error| failed(&error))
}

/// A secret in the cluster, and whether it is ours.
pub async fn find_secret(
    cluster: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<Option<bool>, Failure> {
    let secrets: Api<KubeSecret> = Api::namespaced(cluster.clone(), namespace);
    let found = secrets
        .get_opt(name)
        .await
        .map_err(|error| of_kube(&format!("read the secret {namespace}/{name}"), &error))?;
    Ok(found.map(|secret| {
        secret.metadata.labels.is_some_and(|labels| {
            labels
                .get(MANAGED_BY.0)
                .is_some_and(|value| value == MANAGED_BY.1)
        })
    }))
}

/// The deployments of a namespace that do not carry our label: name and uid.
pub async fn foreign_deployments(
    cluster: &kube::Client,
    namespace: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.clone(), namespace);
    let selector = format!("{}!={}", MANAGED_BY.0, MANAGED_BY.1);
    let found = deployments
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(|error| of_kube(&format!("list the deployments of {namespace}"), &error))?;
    let names = found.items.into_iter().filter_map(|it| {
        let metadata = it.metadata;
        Some((metadata.name?, metadata.uid?))
    });
    Ok(names.collect())
}

/// Deletes a secret; one that is gone is fine.
pub async fn delete_secret(
    cluster: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<(), Failure> {
    let secrets: Api<KubeSecret> = Api::namespaced(cluster.clone(), namespace);
    match secrets.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(of_kube(
            &format!("delete the secret {namespace}/{name}"),
            &error,
        )),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn credentials_are_for_their_owner_alone_also_where_others_could_read_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/kubeconfig");
        write_private(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_others_write_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        let left = |name: String| {
            let path = dir.path().join(name);
            fs::write(&path, b"half").unwrap();
            path
        };
        // Beyond the largest process id there is.
        let dead = left(format!("kubeconfig.{}.new", i32::MAX));
        let living = left(format!(
            "kubeconfig.{}.new",
            std::os::unix::process::parent_id()
        ));
        let other = left("other.1.new".to_owned());
        write_private(&path, b"whole").unwrap();
        assert!(!dead.exists() && living.exists() && other.exists());
        fs::write(&dead, b"half").unwrap();
        forget_kubeconfig(&path);
        assert!(!path.exists() && !dead.exists() && living.exists() && other.exists());
    }
}
