//! From a kubeconfig to what a client needs. Files are only ever read: nothing
//! here writes one, and its current context stays what it is.

use std::{
    io,
    path::{Path, PathBuf},
};

use kube::config::{
    AuthInfo, Cluster, Config, ExecAuthCluster, ExecConfig, ExecInteractiveMode, Kubeconfig,
    KubeconfigError,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    Options,
    failure::{Failure, Kind, quote},
    proxy,
};
use crate::core::azure::entra;

/// How long a connection may take to be made.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(5);

/// A client's configuration, and where it came from.
pub struct Loaded {
    /// What the client needs.
    pub config: Config,
    /// The context's name.
    pub context: String,
    /// It runs a credential plug-in, by this name.
    pub plugin: Option<String>,
}

/// Reads the kubeconfig that `options` ask for; without any, the service
/// account of the pod that the cockpit itself may run in.
pub fn load(options: &Options) -> Result<Loaded, Failure> {
    let kubeconfig = match files(options)? {
        Some(files) => read(&files)?,
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            return in_cluster(options);
        }
        None => {
            return Err(setup(
                "no kubeconfig was found: neither KUBECONFIG nor ~/.kube/config \
             names a cluster; fetch one (`az aks get-credentials`), give --kubeconfig, \
             or try `aks-tui demo`, which needs no cluster",
            ));
        }
    };
    let context = choose_context(&kubeconfig, options.context.as_deref())?;
    configure(&kubeconfig, context, options)
}

fn setup(why: impl Into<String>) -> Failure {
    Failure::new(Kind::Setup, why)
}

/// The files to merge; none if nothing was asked for and nothing is there. Of
/// several files in `KUBECONFIG` some may be missing, as for kubectl.
fn files(options: &Options) -> Result<Option<Vec<PathBuf>>, Failure> {
    if let Some(path) = &options.kubeconfig {
        return Ok(Some(vec![path.clone()]));
    }
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|value| {
            std::env::split_paths(&value)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    if !listed.is_empty() {
        let there: Vec<_> = listed
            .iter()
            .filter(|path| path.exists())
            .cloned()
            .collect();
        return if there.is_empty() {
            Err(setup(format!(
                "KUBECONFIG names {}, which does not exist; correct it or give --kubeconfig",
                listed[0].display()
            )))
        } else {
            Ok(Some(there))
        };
    }
    Ok(etcetera::home_dir()
        .ok()
        .map(|home| home.join(".kube").join("config"))
        .filter(|path| path.exists())
        .map(|path| vec![path]))
}

fn read(files: &[PathBuf]) -> Result<Kubeconfig, Failure> {
    let mut merged = Kubeconfig::default();
    for file in files {
        merged = Kubeconfig::read_from(file)
            .and_then(|next| merged.merge(next))
            .map_err(|error| unreadable(file, &error))?;
    }
    Ok(merged)
}

fn unreadable(file: &Path, error: &KubeconfigError) -> Failure {
    let file = file.display();
    setup(match error {
        KubeconfigError::ReadConfig(error, _) if error.kind() == io::ErrorKind::NotFound => {
            format!(
                "there is no kubeconfig at {file}; correct --kubeconfig, or fetch one (`az aks get-credentials`)"
            )
        }
        KubeconfigError::ReadConfig(error, _) => {
            format!("the kubeconfig {file} cannot be read: {error}")
        }
        // The parser's text repeats the line that it stumbled over, and a
        // kubeconfig's lines are secrets: only the place is told.
        KubeconfigError::Parse(error) => format!(
            "the kubeconfig {file} is broken{}: correct it, or fetch it again (`az aks get-credentials`)",
            place(&error.to_string())
        ),
        error => format!(
            "the kubeconfig {file} cannot be used: {}",
            quote(&error.to_string())
        ),
    })
}

/// ` at line L column C`, if the text names a place.
fn place(text: &str) -> String {
    let number_after = |word: &str| {
        let rest = &text[text.find(word)? + word.len()..];
        let digits = rest.trim_start_matches([' ', ':', ',']);
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        digits[..end].parse::<u32>().ok()
    };
    match (number_after("line"), number_after("column")) {
        (Some(line), Some(column)) => format!(" at line {line} column {column}"),
        (Some(line), None) => format!(" at line {line}"),
        _ => String::new(),
    }
}

fn choose_context<'a>(
    kubeconfig: &'a Kubeconfig,
    wanted: Option<&'a str>,
) -> Result<&'a str, Failure> {
    let names: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    if names.is_empty() {
        return Err(setup(
            "the kubeconfig has no context; fetch credentials (`az aks get-credentials`)",
        ));
    }
    let list = || quote(&names.join(", "));
    let Some(wanted) = wanted.or(kubeconfig.current_context.as_deref()) else {
        return Err(setup(format!(
            "the kubeconfig has no current context; choose one with --context: {}",
            list()
        )));
    };
    if names.contains(&wanted) {
        return Ok(wanted);
    }
    let nearest = names
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(wanted, a).total_cmp(&strsim::jaro_winkler(wanted, b)))
        .filter(|name| strsim::jaro_winkler(wanted, name) > 0.75)
        .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    Err(setup(format!(
        "the kubeconfig has no context `{}`{nearest} It has: {}",
        quote(wanted),
        list()
    )))
}

fn configure(kubeconfig: &Kubeconfig, name: &str, options: &Options) -> Result<Loaded, Failure> {
    let context = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == name)
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| setup(format!("the context `{name}` of the kubeconfig is empty")))?;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| named.name == context.cluster)
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| {
            setup(format!(
                "the context `{name}` names the cluster `{}`, which the kubeconfig does not have",
                quote(&context.cluster)
            ))
        })?;
    let user = context.user.as_ref().and_then(|user| {
        kubeconfig
            .auth_infos
            .iter()
            .find(|named| named.name == *user)
            .and_then(|named| named.auth_info.clone())
    });
    let mut config = of_cluster(cluster)?;
    config.auth_info = of_user(user.unwrap_or_default(), cluster)?;
    config.default_namespace = options
        .namespace
        .clone()
        .or_else(|| context.namespace.clone().filter(|ns| !ns.is_empty()))
        .unwrap_or_else(|| "default".to_owned());
    finish(config, name.to_owned(), cluster.proxy_url.as_deref())
}

/// The library's own way from a kubeconfig to a configuration refuses whole
/// files for what it finds in `NO_PROXY`; this one does not look there.
fn of_cluster(cluster: &Cluster) -> Result<Config, Failure> {
    let server = cluster
        .server
        .as_deref()
        .filter(|server| !server.is_empty())
        .ok_or_else(|| setup("the cluster of the kubeconfig has no server address"))?;
    let url: http::Uri = server
        .parse()
        .ok()
        .filter(|url: &http::Uri| url.host().is_some() && url.scheme().is_some())
        .ok_or_else(|| {
            setup("the server of the kubeconfig is not an address like `https://host:port`")
        })?;
    let mut config = Config::new(url);
    let material = ExecAuthCluster::try_from(cluster).map_err(|error| {
        setup(format!(
            "the certificate authority of the kubeconfig cannot be read: {}",
            quote(&error.to_string())
        ))
    })?;
    if let Some(pem) = material.certificate_authority_data {
        let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
            .map(|certificate| certificate.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| setup("the certificate authority of the kubeconfig is not valid PEM"))?;
        if certificates.is_empty() {
            return Err(setup(
                "the certificate authority of the kubeconfig holds no certificate",
            ));
        }
        config.root_cert = Some(certificates);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    Ok(config)
}

fn of_user(mut user: AuthInfo, cluster: &Cluster) -> Result<AuthInfo, Failure> {
    if let Some(exec) = &mut user.exec {
        if exec.command.as_deref() == Some(entra::KUBELOGIN) && !is_on_path(entra::KUBELOGIN) {
            sign_in_ourselves(exec);
        }
        // Anything else lets the plug-in write over the screen and read its keys.
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
        if exec.provide_cluster_info {
            let info = ExecAuthCluster::try_from(cluster).map_err(|error| {
                setup(format!(
                    "the kubeconfig cannot be used: {}",
                    quote(&error.to_string())
                ))
            })?;
            exec.cluster = Some(info);
        }
    }
    Ok(user)
}

/// Puts this program in the place of the plug-in that an AKS cluster's kubeconfig asks
/// for, and that is not here.
fn sign_in_ourselves(exec: &mut ExecConfig) {
    let Some(program) = std::env::current_exe().ok() else {
        return;
    };
    exec.command = program.to_str().map(str::to_owned);
    exec.args = Some(entra::arguments(
        exec.args.as_deref().unwrap_or_default(),
        None,
    ));
    exec.api_version = Some(entra::API.to_owned());
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| {
            let there = dir.join(program);
            there.is_file() || there.with_extension("exe").is_file()
        })
    })
}

fn in_cluster(options: &Options) -> Result<Loaded, Failure> {
    let mut config = Config::incluster().map_err(|error| {
        setup(format!(
            "no kubeconfig was found, and this pod's service account cannot be used: {}",
            quote(&error.to_string())
        ))
    })?;
    if let Some(namespace) = &options.namespace {
        config.default_namespace.clone_from(namespace);
    }
    finish(config, "in-cluster".to_owned(), None)
}

fn finish(mut config: Config, context: String, proxy_url: Option<&str>) -> Result<Loaded, Failure> {
    config.proxy_url = proxy::choose(&config.cluster_url, proxy_url, |name| {
        std::env::var(name).ok()
    })
    .map_err(setup)?;
    // An eviction or a kill that is repeated by itself is another one.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    check_namespace(&config.default_namespace)?;
    let plugin = config.auth_info.exec.as_ref().map(|exec| {
        let command = exec.command.as_deref().unwrap_or("plug-in");
        command
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(command)
            .to_owned()
    });
    Ok(Loaded {
        config,
        context,
        plugin,
    })
}

/// A namespace goes into request paths, so it must be one.
fn check_namespace(name: &str) -> Result<(), Failure> {
    let fits = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    fits.then_some(()).ok_or_else(|| {
        setup(format!(
            "`{}` is not the name of a namespace: lower-case letters, digits and hyphens, at most 63",
            quote(name)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
clusters:
- name: one
  cluster: {server: 'https://127.0.0.1:6443'}
- name: two
  cluster: {server: 'not an address'}
contexts:
- name: staging
  context: {cluster: one, user: me, namespace: perf}
- name: production
  context: {cluster: two, user: me}
- name: dangling
  context: {cluster: three, user: me}
current-context: staging
users:
- name: me
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: /opt/kubelogin, interactiveMode: Always}
";

    fn load_text(text: &str, options: Options) -> Result<Loaded, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        load(&Options {
            kubeconfig: Some(path),
            ..options
        })
    }

    #[test]
    fn the_current_context_is_used_and_a_plug_in_never_gets_the_terminal() {
        let loaded = load_text(FILE, Options::default()).unwrap();
        assert_eq!(loaded.context, "staging");
        assert_eq!(loaded.config.default_namespace, "perf");
        assert_eq!(loaded.plugin.as_deref(), Some("kubelogin"));
        assert!(!loaded.config.default_retry);
        let exec = loaded.config.auth_info.exec.unwrap();
        assert_eq!(exec.interactive_mode, Some(ExecInteractiveMode::Never));
    }

    #[test]
    fn a_namespace_asked_for_wins() {
        let options = Options {
            namespace: Some("other".to_owned()),
            ..Options::default()
        };
        let loaded = load_text(FILE, options).unwrap();
        assert_eq!(loaded.config.default_namespace, "other");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let context = |name: &str| Options {
            context: Some(name.to_owned()),
            ..Options::default()
        };
        for (options, hint) in [
            (context("stagin"), "did you mean `staging`"),
            (context("zzz"), "staging, production, dangling"),
            (context("production"), "not an address"),
            (context("dangling"), "`three`"),
            (
                Options {
                    namespace: Some("a/b".to_owned()),
                    ..Options::default()
                },
                "not the name of a namespace",
            ),
        ] {
            let failure = load_text(FILE, options).err().unwrap();
            assert!(failure.why.contains(hint), "{failure}");
            assert_eq!(failure.kind, Kind::Setup);
        }
    }

    #[test]
    fn a_broken_file_is_placed_but_not_repeated() {
        let text = "users:\n- name: me\n  user: {token: [hunter2}\n";
        let failure = load_text(text, Options::default()).err().unwrap();
        assert!(failure.why.contains("broken at line"), "{failure}");
        assert!(!failure.why.contains("hunter2"), "{failure}");
        let text = "contexts: hunter2\n";
        let failure = load_text(text, Options::default()).err().unwrap();
        assert!(failure.why.contains("broken"), "{failure}");
        assert!(!failure.why.contains("hunter2"), "{failure}");
    }

    #[test]
    fn a_missing_or_empty_file_says_what_to_do() {
        let options = Options {
            kubeconfig: Some(PathBuf::from("/nonexistent/config")),
            ..Options::default()
        };
        let failure = load(&options).err().unwrap();
        assert!(failure.why.contains("/nonexistent/config"), "{failure}");
        let failure = load_text("", Options::default()).err().unwrap();
        assert!(failure.why.contains("no context"), "{failure}");
    }
}
