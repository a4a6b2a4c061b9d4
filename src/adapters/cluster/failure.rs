//! What went wrong with the cluster, said so that a person can act on it.

use std::error::Error as StdError;

use http::Uri;
use kube::{Error, core::Status};

pub use crate::core::workload::text::quote;

/// Why something could not be done, and what kind of trouble that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// What to make of it.
    pub kind: Kind,
    /// What happened, to what, why, and what to do: fit for the screen.
    pub why: String,
}

/// Failures by what is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no cluster.
    Nowhere,
    /// The kubeconfig or its credential plug-in: a new client may do.
    Setup,
    /// The credentials were not accepted: a new client may do.
    Unauthorized,
    /// The server was not reached at all: a new client may do.
    Unreachable,
    /// The user may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The resource version is too old: list anew.
    Gone,
    /// The request does not fit what is there, e.g. a container has no log yet.
    BadRequest,
    /// The object is not the one that was meant.
    Conflict,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether the present client is of no more use.
    pub const fn needs_new_client(self) -> bool {
        matches!(self, Self::Setup | Self::Unauthorized | Self::Unreachable)
    }
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
        }
    }

    /// What `error` means for someone who wanted to do `what` at `server`.
    pub fn of(what: &str, server: &Uri, error: &Error) -> Self {
        match error {
            Error::Api(status) => of_status(what, server, status),
            Error::Auth(error) => of_auth(error),
            error => of_transport(what, server, error),
        }
    }

    /// No answer came in time.
    pub fn timed_out(what: &str, server: &Uri) -> Self {
        Self::new(
            Kind::Unreachable,
            format!(
                "could not {what}: no answer from {}; check the network or the VPN",
                address(server)
            ),
        )
    }
}

/// The server's address without what must not be shown.
pub fn address(server: &Uri) -> String {
    let host = server.host().unwrap_or_default();
    let port = server
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    let path = server.path().trim_end_matches('/');
    format!(
        "{}://{host}{port}{path}",
        server.scheme_str().unwrap_or("https")
    )
}

fn of_status(what: &str, server: &Uri, status: &Status) -> Failure {
    let said = if status.message.is_empty() {
        quote(&status.reason)
    } else {
        quote(&status.message)
    };
    let code = status.code;
    let (kind, why) = match code {
        401 => (
            Kind::Unauthorized,
            format!(
                "{} does not accept the credentials (401): the token may have expired; \
                 sign in again (on AKS: `az login`, `az aks get-credentials`), \
                 the kubeconfig is read anew at each attempt",
                address(server)
            ),
        ),
        403 => (
            Kind::Forbidden,
            format!(
                "not allowed to {what}: {said}; ask for a role that may, or choose another namespace or context"
            ),
        ),
        404 => (Kind::NotFound, format!("could not {what}: {said} (404)")),
        409 => (Kind::Conflict, format!("could not {what}: {said} (409)")),
        410 => (Kind::Gone, format!("could not {what}: {said} (410)")),
        400 => (Kind::BadRequest, format!("could not {what}: {said} (400)")),
        429 | 500..=599 => (
            Kind::Other,
            format!("{} cannot {what} now: {said} ({code})", address(server)),
        ),
        _ => (Kind::Other, format!("could not {what}: {said} ({code})")),
    };
    Failure::new(kind, why)
}

fn of_auth(error: &kube::client::AuthError) -> Failure {
    use kube::client::AuthError;
    // The library's own texts repeat the plug-in's whole output, token and all.
    let why = match error {
        AuthError::AuthExecStart(error) => format!(
            "the credential plug-in of the kubeconfig could not be started: {error}; \
             install it (for AKS: kubelogin) or fetch other credentials"
        ),
        AuthError::AuthExecRun { out, .. } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.trim().lines().next_back().unwrap_or_default();
            format!(
                "the credential plug-in of the kubeconfig failed ({}): {}; \
                 sign in outside of the cockpit, then reconnect",
                out.status,
                quote(last)
            )
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the credential plug-in of the kubeconfig printed no credential; \
             run it by hand to see why"
                .to_owned()
        }
        AuthError::ReadTokenFile(error, path) => format!(
            "the token file {} of the kubeconfig cannot be read: {error}",
            path.display()
        ),
        AuthError::InvalidBearerToken(_) => {
            "the token of the kubeconfig holds characters that no token has; \
             fetch the credentials again"
                .to_owned()
        }
        AuthError::AuthExec(text) => quote(text),
        _ => "the credentials of the kubeconfig cannot be used; fetch them again".to_owned(),
    };
    Failure::new(Kind::Setup, why)
}

fn of_transport(what: &str, server: &Uri, error: &Error) -> Failure {
    if let Some(auth) = chain(error).find_map(|e| e.downcast_ref::<kube::client::AuthError>()) {
        return of_auth(auth);
    }
    let at = address(server);
    if let Some(tls) = chain(error).find_map(|e| e.downcast_ref::<rustls::Error>()) {
        return Failure::new(Kind::Unreachable, of_tls(&at, tls));
    }
    let io = chain(error)
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .find(|kind| *kind != std::io::ErrorKind::Other);
    let deepest = chain(error)
        .last()
        .map_or_else(String::new, |e| quote(&e.to_string()));
    let why = match io {
        Some(std::io::ErrorKind::ConnectionRefused) => format!(
            "nothing listens at {at} (connection refused): is the cluster running, and the kubeconfig its own?"
        ),
        Some(std::io::ErrorKind::TimedOut) => {
            format!("{at} does not answer: check the network or the VPN")
        }
        _ if deepest.contains("lookup address") || deepest.contains("dns error") => format!(
            "the name in {at} cannot be resolved: check the network or the VPN, \
             or whether the cluster still exists"
        ),
        _ if matches!(error, Error::SerdeError(_)) => {
            return Failure::new(
                Kind::Other,
                format!("{at} answered with something that is not Kubernetes: {deepest}"),
            );
        }
        _ => format!("could not {what} at {at}: {deepest}"),
    };
    Failure::new(Kind::Unreachable, why)
}

fn of_tls(at: &str, error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "the certificate of {at} was not issued by the authority in the kubeconfig: \
             the cluster was made anew, or something stands between; fetch the credentials again"
        ),
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            format!(
                "the certificate of {at} has expired: check this machine's clock, then the cluster"
            )
        }
        Error::InvalidCertificate(error) => {
            format!(
                "the certificate of {at} is not valid for it: {}",
                quote(&error.to_string())
            )
        }
        Error::InvalidMessage(_) => {
            format!("{at} does not speak TLS: the kubeconfig may need `http://`, or another port")
        }
        error => format!(
            "no secure connection to {at}: {}",
            quote(&error.to_string())
        ),
    }
}

/// An error and everything it wraps.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| within(*error)).take(32)
}

/// What an error wraps. An `io::Error` hides what it was made of from `source`,
/// so it is opened by hand.
fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_an_address_are_not_shown() {
        let uri: Uri = "https://admin:hunter2@api.example:6443/prefix/"
            .parse()
            .unwrap();
        assert_eq!(address(&uri), "https://api.example:6443/prefix");
    }

    #[test]
    fn a_strangers_words_are_short_and_printable() {
        let page = format!("<html>\x1b[31m\n{}</html>", "x".repeat(5000));
        let shown = quote(&page);
        assert!(shown.len() <= 303 && shown.ends_with('…'));
        assert!(!shown.contains('\x1b') && !shown.contains('\n'));
    }

    #[test]
    fn every_status_says_what_was_wanted() {
        let server: Uri = "https://api.example".parse().unwrap();
        for (code, kind) in [
            (400, Kind::BadRequest),
            (401, Kind::Unauthorized),
            (403, Kind::Forbidden),
            (404, Kind::NotFound),
            (409, Kind::Conflict),
            (410, Kind::Gone),
            (418, Kind::Other),
            (503, Kind::Other),
        ] {
            let status = Status::failure("because", "Reason").with_code(code);
            let failure = Failure::of("list pods", &server, &Error::Api(status.boxed()));
            assert_eq!(failure.kind, kind);
            if code == 401 {
                assert!(failure.why.contains("sign in"), "{failure}");
            } else {
                assert!(failure.why.contains("list pods"), "{failure}");
                assert!(failure.why.contains("because"), "{failure}");
            }
        }
    }

    #[test]
    fn a_plug_ins_output_is_never_repeated() {
        use std::process::{ExitStatus, Output};
        let error = kube::client::AuthError::AuthExecRun {
            cmd: "kubelogin --secret hunter2".to_owned(),
            out: Box::new(Output {
                status: ExitStatus::default(),
                stdout: b"{\"token\":\"hunter2\"}".to_vec(),
                stderr: b"warning\nAADSTS50076: sign in again\n".to_vec(),
            }),
        };
        let failure = Failure::of("x", &Uri::from_static("https://a"), &Error::Auth(error));
        assert_eq!(failure.kind, Kind::Setup);
        assert!(failure.why.contains("AADSTS50076"), "{failure}");
        assert!(!failure.why.contains("hunter2"), "{failure}");
    }
}
