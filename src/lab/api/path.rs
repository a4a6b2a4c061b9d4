//! Reads a request's path: which object, which collection, which document.
//!
//! Kubernetes paths do not fit a table of patterns (`namespaces` is both an
//! object's kind and a prefix of all others), so they are read by hand.

use super::metrics::{self, Measured, Question};
use crate::lab::kinds::Resource;
use crate::lab::store::Store;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// `/version`.
    Version,
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: the groups.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    GroupVersion {
        /// Group, empty for core.
        group: String,
        /// Version.
        version: String,
    },
    /// `/openapi/v3`, or one document below it.
    OpenApi(Option<String>),
    /// A question about the caller: `selfsubjectaccessreviews` and the like.
    Review(Review),
    /// What pods or nodes use.
    Metrics(Question),
    /// A collection of objects.
    Collection {
        /// Their kind.
        resource: Resource,
        /// Their namespace; none means all.
        namespace: Option<String>,
    },
    /// One object, or a part or capability of it.
    Object {
        /// Its kind.
        resource: Resource,
        /// Its namespace, empty for kinds outside namespaces.
        namespace: String,
        /// Its name.
        name: String,
        /// `log`, `exec`, `scale`, … or none for the object itself.
        subresource: Option<String>,
    },
}

/// The questions that are answered but never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// May I do this?
    Access,
    /// May somebody else?
    Subject,
    /// May somebody else in this namespace?
    LocalSubject(String),
    /// What may I do?
    Rules,
    /// Who am I?
    Myself,
}

impl Review {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LocalSubject(String::new()),
        Self::Access,
        Self::Rules,
        Self::Subject,
        Self::Myself,
    ];

    /// Whether it is asked in a namespace.
    pub const fn namespaced(&self) -> bool {
        matches!(self, Self::LocalSubject(_))
    }

    /// API group, plural name and kind.
    pub const fn names(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Subject => (
                "authorization.k8s.io",
                "subjectaccessreviews",
                "SubjectAccessReview",
            ),
            Self::LocalSubject(_) => (
                "authorization.k8s.io",
                "localsubjectaccessreviews",
                "LocalSubjectAccessReview",
            ),
            Self::Access => (
                "authorization.k8s.io",
                "selfsubjectaccessreviews",
                "SelfSubjectAccessReview",
            ),
            Self::Rules => (
                "authorization.k8s.io",
                "selfsubjectrulesreviews",
                "SelfSubjectRulesReview",
            ),
            Self::Myself => (
                "authentication.k8s.io",
                "selfsubjectreviews",
                "SelfSubjectReview",
            ),
        }
    }
}

/// Divides the path of a request that a pod or a service answers itself: what
/// names the object, up to `proxy`, and the rest, as it was written.
pub fn proxied(path: &str) -> Option<(&str, &str)> {
    let mut slashes = path.match_indices('/').skip(7);
    let (head, rest) = path.split_at(slashes.next().map_or(path.len(), |(at, _)| at));
    let segments: Vec<&str> = head.split('/').collect();
    let proxied = matches!(
        segments.as_slice(),
        [
            "",
            "api",
            "v1",
            "namespaces",
            _,
            "pods" | "services",
            _,
            "proxy"
        ]
    );
    proxied.then_some((head, rest))
}

/// Reads a path; none when nothing is served there.
pub fn parse(store: &Store, path: &str) -> Option<Target> {
    let decoded = segments(path)?;
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Some(Target::Health),
        ["version"] => Some(Target::Version),
        ["api"] => Some(Target::CoreVersions),
        ["apis"] => Some(Target::Groups),
        ["openapi", "v3"] => Some(Target::OpenApi(None)),
        ["openapi", "v3", rest @ ..] => Some(Target::OpenApi(Some(rest.join("/")))),
        ["api", version, rest @ ..] => in_group(store, "", version, rest),
        ["apis", group] => Some(Target::Group((*group).to_owned())),
        ["apis", group, version, rest @ ..] => in_group(store, group, version, rest),
        _ => None,
    }
}

fn in_group(store: &Store, group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    if rest.is_empty() {
        return Some(Target::GroupVersion {
            group: group.to_owned(),
            version: version.to_owned(),
        });
    }
    if let Some(review) = review(group, rest) {
        return (version == "v1").then_some(Target::Review(review));
    }
    let (namespace, rest) = match rest {
        // A namespace is an object too, and these are its own parts.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (plural, rest) = rest.split_first()?;
    if group == metrics::GROUP {
        let served = version == metrics::VERSION;
        return served.then(|| measured(plural, namespace, rest)).flatten();
    }
    let resource = store.find_kind(group, plural)?;
    if resource.names().version != version {
        return None;
    }
    let namespaced = resource.names().namespaced;
    if namespace.is_some() && !namespaced {
        return None;
    }
    match rest {
        [] => Some(Target::Collection {
            resource,
            namespace: namespace.map(str::to_owned),
        }),
        [name, part @ ..] if part.len() <= 1 && namespace.is_some() == namespaced => {
            Some(Target::Object {
                resource,
                namespace: namespace.unwrap_or_default().to_owned(),
                name: (*name).to_owned(),
                subresource: part.first().map(|part| (*part).to_owned()),
            })
        }
        _ => None,
    }
}

/// The review that a path in a group is about.
fn review(group: &str, rest: &[&str]) -> Option<Review> {
    let (namespace, plural) = match rest {
        [plural] => (None, plural),
        ["namespaces", namespace, plural] => (Some(*namespace), plural),
        _ => return None,
    };
    let named = |it: &Review| it.names().0 == group && it.names().1 == *plural;
    let review = Review::ALL.into_iter().find(named)?;
    match (review, namespace) {
        (Review::LocalSubject(_), Some(namespace)) => {
            Some(Review::LocalSubject(namespace.to_owned()))
        }
        (Review::LocalSubject(_), None) | (_, Some(_)) => None,
        (review, None) => Some(review),
    }
}

/// The parts of a path, decoded; none when one of them cannot be. What a pod or
/// a service makes of the rest, below its proxy, is its own affair.
pub fn segments(path: &str) -> Option<Vec<String>> {
    let path = proxied(path).map_or(path, |(object, _)| object);
    path.trim_matches('/')
        .split('/')
        .map(percent_decode)
        .collect()
}

fn measured(plural: &str, namespace: Option<&str>, rest: &[&str]) -> Option<Target> {
    let mut all = Measured::ALL.into_iter();
    let of = all.find(|of| of.names().0 == plural)?;
    let (_, _, namespaced) = of.names();
    let name = match rest {
        [] => None,
        [name] if namespace.is_some() == namespaced => Some((*name).to_owned()),
        _ => return None,
    };
    if namespace.is_some() && !namespaced {
        return None;
    }
    Some(Target::Metrics(Question {
        of,
        namespace: namespace.map(str::to_owned),
        name,
    }))
}

/// Decodes `%41`; none when it is no UTF-8 or hides a slash.
pub fn percent_decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(['/', '\0'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<Target> {
        super::parse(&Store::new(0), path)
    }

    fn object(path: &str) -> Option<(Resource, String, String, Option<String>)> {
        match parse(path)? {
            Target::Object {
                resource,
                namespace,
                name,
                subresource,
            } => Some((resource, namespace, name, subresource)),
            _ => None,
        }
    }

    #[test]
    fn objects_are_found_in_and_outside_namespaces() {
        let pod = |part: Option<&str>| {
            Some((
                Resource::Pods,
                "default".to_owned(),
                "a".to_owned(),
                part.map(str::to_owned),
            ))
        };
        assert_eq!(object("/api/v1/namespaces/default/pods/a"), pod(None));
        assert_eq!(
            object("/api/v1/namespaces/default/pods/a/log"),
            pod(Some("log"))
        );
        assert_eq!(object("/api/v1/namespaces/default/pods/%61"), pod(None));
        let namespace = object("/api/v1/namespaces/x").unwrap();
        assert_eq!(
            (namespace.0, namespace.2.as_str()),
            (Resource::Namespaces, "x")
        );
        let status = object("/api/v1/namespaces/x/status").unwrap();
        assert_eq!(status.3.as_deref(), Some("status"));
        assert_eq!(object("/api/v1/nodes/n").unwrap().0, Resource::Nodes);
        assert_eq!(
            object("/apis/apps/v1/namespaces/d/deployments/w/scale")
                .unwrap()
                .3
                .as_deref(),
            Some("scale")
        );
    }

    #[test]
    fn collections_name_one_namespace_or_all() {
        let of = |namespace: Option<&str>| {
            Some(Target::Collection {
                resource: Resource::Pods,
                namespace: namespace.map(str::to_owned),
            })
        };
        assert_eq!(parse("/api/v1/pods"), of(None));
        assert_eq!(
            parse("/api/v1/namespaces/kube-system/pods"),
            of(Some("kube-system"))
        );
        assert_eq!(
            parse("/api/v1/namespaces/kube-system/pods/"),
            of(Some("kube-system"))
        );
    }

    #[test]
    fn what_is_not_served_is_not_read_as_something_else() {
        for path in [
            "/",
            "/metrics",
            "/apis/apps/v1/daemonsets",
            "/api/v2/pods",
            "/apis/apps/v1beta1/deployments",
            "/apis/apps/v1/pods",
            "/api/v1/pods/a",
            "/api/v1/namespaces/d/nodes",
            "/api/v1/namespaces/d/pods/a/log/b",
            "/api/v1/namespaces/d%2Fe/pods",
            "/api/v1/namespaces/%ff/pods",
            "/api/v1/namespaces/%4/pods",
            "/api/v1/watch/pods",
            "/apis/metrics.k8s.io/v1/pods",
            "/apis/metrics.k8s.io/v1beta1/services",
            "/apis/metrics.k8s.io/v1beta1/pods/a",
            "/apis/metrics.k8s.io/v1beta1/namespaces/d/nodes",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn metrics_are_of_pods_and_of_nodes() {
        let question = |of, namespace: Option<&str>, name: Option<&str>| {
            Some(Target::Metrics(Question {
                of,
                namespace: namespace.map(str::to_owned),
                name: name.map(str::to_owned),
            }))
        };
        for (path, expected) in [
            ("pods", question(Measured::Pods, None, None)),
            (
                "namespaces/d/pods",
                question(Measured::Pods, Some("d"), None),
            ),
            (
                "namespaces/d/pods/a",
                question(Measured::Pods, Some("d"), Some("a")),
            ),
            ("nodes/n", question(Measured::Nodes, None, Some("n"))),
        ] {
            assert_eq!(
                parse(&format!("/apis/metrics.k8s.io/v1beta1/{path}")),
                expected
            );
        }
    }

    #[test]
    fn documents_have_their_own_targets() {
        assert_eq!(parse("/readyz"), Some(Target::Health));
        assert_eq!(parse("/api"), Some(Target::CoreVersions));
        assert_eq!(parse("/apis/apps"), Some(Target::Group("apps".to_owned())));
        assert_eq!(
            parse("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
            Some(Target::Review(Review::Access))
        );
        assert_eq!(
            parse("/openapi/v3/apis/apps/v1"),
            Some(Target::OpenApi(Some("apis/apps/v1".to_owned())))
        );
    }

    #[test]
    fn what_lies_below_a_proxy_is_not_read() {
        let pod = "/api/v1/namespaces/d/pods/http:web:80/proxy";
        assert_eq!(proxied(pod), Some((pod, "")));
        let path = format!("{pod}/a%2Fb//c/%ff");
        assert_eq!(proxied(&path), Some((pod, "/a%2Fb//c/%ff")));
        for other in [
            "/api/v1/namespaces/d/pods/web/log/proxy",
            "/api/v1/namespaces/d/secrets/web/proxy/",
            "/api/v1/nodes/web/proxy",
            "/apis/v1/namespaces/d/pods/web/proxy",
            "//api/v1/namespaces/d/pods/web/proxy",
        ] {
            assert_eq!(proxied(other), None, "{other}");
        }
    }
}
