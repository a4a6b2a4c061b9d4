//! A case: a cluster, a namespace of its own, and ways to talk to both.
#![allow(dead_code, reason = "each topic uses what it needs")]

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use http::{Method, Request, StatusCode};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::support::{Lab, required};

pub use crate::support::{eventually_so as eventually, within};

/// The cluster under test.
struct Cluster {
    kubeconfig: PathBuf,
    image: String,
    /// The lab, if it is one that we started; it ends with its last case.
    lab: Option<Lab>,
}

impl Cluster {
    /// The cluster that all cases share.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::find());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    fn find() -> Self {
        let named = std::env::var_os("AKS_TUI_TEST_KUBECONFIG").filter(|it| !it.is_empty());
        let lab = named.is_none().then(|| Lab::start(&["--empty"]));
        let image = if lab.is_some() {
            "aks-tui/shell"
        } else {
            "busybox:1.36"
        };
        Self {
            kubeconfig: match &lab {
                Some(lab) => lab.kubeconfig(),
                None => named.map(PathBuf::from).unwrap_or_default(),
            },
            image: std::env::var("AKS_TUI_TEST_IMAGE").unwrap_or(image.to_owned()),
            lab,
        }
    }
}

/// What a case has.
pub struct Case {
    cluster: Arc<Cluster>,
    /// Talks to the cluster.
    pub client: Client,
    /// The case's namespace.
    pub namespace: String,
}

/// Runs a case in a namespace of its own, which is gone afterwards, also when
/// the case fails.
pub fn case(name: &str, body: impl AsyncFnOnce(&Case)) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let case = Case::open(name).await;
        let result = AssertUnwindSafe(body(&case)).catch_unwind().await;
        case.close().await;
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
}

/// As [`case`], for cases that need kubectl; says so when there is none.
pub fn kubectl_case(name: &str, body: impl AsyncFnOnce(&Case)) {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    if version.is_ok_and(|it| it.status.success()) {
        return case(name, body);
    }
    assert!(!required("kubectl"), "kubectl is required and not there");
    println!("skipped: there is no kubectl on this machine");
}

impl Case {
    async fn open(name: &str) -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        // "Too many requests" is an answer here, not to be asked for again.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let namespace = format!("{name}-{:06x}", fastrand::u32(..1 << 24));
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(object).unwrap();
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self {
            cluster,
            client,
            namespace,
        }
    }

    async fn close(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let deleted = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
        if let Err(error) = deleted {
            println!("namespace {} stays: {error}", self.namespace);
        }
    }

    /// The objects of a kind in the case's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The image that containers run.
    pub fn image(&self) -> &str {
        &self.cluster.image
    }

    /// A name outside namespaces that no other case uses.
    pub fn unique(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// A pod of one shell command.
    pub fn pod(&self, name: &str, command: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main", "image": self.image(), "command": ["sh", "-c", command],
                }],
            },
        }))
        .unwrap()
    }

    /// A container that is a web server on port 8080. The lab has one; of other
    /// images it takes a busybox.
    pub fn web_server(&self) -> Value {
        let ports = json!([{"name": "web", "containerPort": 8080}]);
        if self.cluster.lab.is_some() {
            return json!({"name": "web", "image": "aks-tui/web", "ports": ports});
        }
        let serve =
            "mkdir /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www";
        json!({"name": "web", "image": "busybox:1.36", "command": ["sh", "-c", serve], "ports": ports})
    }

    /// A request as it is, and the answer as it is.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(kube::client::Body::from(body.into()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(json!(text)))
    }

    /// kubectl, in the case's namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.cluster.kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// What kubectl printed, its errors and its exit code.
    pub fn said(&self, arguments: &[&str]) -> (String, String, i32) {
        let output = self.kubectl(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code().unwrap(),
        )
    }

    /// What a kubectl that must succeed printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let (out, err, code) = self.said(arguments);
        assert_eq!(code, 0, "kubectl {arguments:?}: {err}");
        out
    }

    /// What a kubectl that must fail said.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let (out, err, code) = self.said(arguments);
        assert_ne!(code, 0, "kubectl {arguments:?}: {out}");
        err
    }

    /// `kubectl apply` of a manifest.
    pub fn apply(&self, manifest: &str) -> String {
        let (out, err, code) = self.piped(&["apply", "-f", "-"], manifest);
        assert_eq!(code, 0, "kubectl apply: {err}");
        out
    }

    /// kubectl with something to read on its standard input.
    pub fn piped(&self, arguments: &[&str], input: &str) -> (String, String, i32) {
        use std::io::Write as _;
        let mut child = self
            .kubectl(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that fails early reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code().unwrap(),
        )
    }

    /// The names of the columns that `kubectl get` shows.
    pub fn columns(&self, arguments: &[&str]) -> Vec<String> {
        let table = self.ok(arguments);
        let header = table.lines().next().unwrap_or_default().to_owned();
        // Two blanks or more stand between columns, one inside a name.
        header
            .split("  ")
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// The answer of a call that the server must refuse: code and message.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    match result.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("no answer of the server: {other}"),
    }
}
