//! Who sends a request, and whether he may.
//!
//! What is asked is read from the path alone, as the real server does: whether
//! there is such a kind or object is told only to those who may ask.

use http::{HeaderMap, Method, Request, header};

use super::path;
use super::request::Query;
use super::status::ApiError;
use crate::lab::access::{self, About, User, Users};
use crate::lab::store::Store;

const IMPERSONATE_USER: &str = "impersonate-user";
const IMPERSONATE_GROUP: &str = "impersonate-group";
const IMPERSONATE_UID: &str = "impersonate-uid";
const IMPERSONATE_EXTRA: &str = "impersonate-extra-";
const RBAC: &str = "rbac.authorization.k8s.io";
const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who sends a request: whose token it carries.
///
/// # Errors
/// *401* without a token that opens.
pub fn sender(headers: &HeaderMap, users: &Users, store: &Store) -> Result<User, ApiError> {
    let user = token(headers).and_then(|token| users.find(store, token));
    user.ok_or_else(ApiError::unauthorized)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses what the user may not do.
///
/// # Errors
/// *403* in the real server's words.
pub fn check<B>(request: &Request<B>, user: &User, store: &Store) -> Result<(), ApiError> {
    let query = Query::parse(request.uri().query());
    let asked = asked(request.method(), request.uri().path(), &query);
    permit(store, user, &asked)?;
    may_grant(store, user, &asked)
}

/// Who writes roles could give himself anything. The real server lets him give
/// what he has; the lab asks for the verb that lifts that check in any case.
fn may_grant(store: &Store, user: &User, request: &access::Request) -> Result<(), ApiError> {
    let About::Objects {
        group,
        resource,
        namespace,
        ..
    } = &request.about
    else {
        return Ok(());
    };
    let writes = matches!(request.verb.as_str(), "create" | "update" | "patch");
    if !writes || group != RBAC {
        return Ok(());
    }
    let (verb, role) = match resource.as_str() {
        "roles" => ("escalate", "roles"),
        "clusterroles" => ("escalate", "clusterroles"),
        "rolebindings" | "clusterrolebindings" => ("bind", "clusterroles"),
        _ => return Ok(()),
    };
    let needed = access::Request {
        verb: verb.to_owned(),
        about: About::Objects {
            group: RBAC.to_owned(),
            resource: role.to_owned(),
            subresource: String::new(),
            namespace: namespace.clone(),
            name: String::new(),
        },
    };
    if access::judge(store, user, &needed).allowed {
        return Ok(());
    }
    let why = format!(
        "user {:?} is attempting to grant RBAC permissions; the lab allows that only with the verb {verb:?} on {role}.{RBAC}",
        user.name
    );
    Err(ApiError::not_permitted(&request.about, &why))
}

fn permit(store: &Store, user: &User, request: &access::Request) -> Result<(), ApiError> {
    let verdict = access::judge(store, user, request);
    if verdict.allowed {
        return Ok(());
    }
    let mut why = request.forbidden(&user.name);
    if !verdict.reason.is_empty() {
        why = format!("{why}: {}", verdict.reason);
    }
    Err(ApiError::not_permitted(&request.about, &why))
}

/// What a request asks for.
pub fn asked(method: &Method, path: &str, query: &Query) -> access::Request {
    objects(method, path, query).unwrap_or_else(|| access::Request {
        verb: method.as_str().to_lowercase(),
        about: About::Path(path.to_owned()),
    })
}

/// What a request for objects asks for; none when the path is no such.
fn objects(method: &Method, path: &str, query: &Query) -> Option<access::Request> {
    let segments = path::segments(path)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, rest) = match segments.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, part, ..] if !matches!(*part, "status" | "finalize") => {
            (*namespace, &rest[2..])
        }
        ["namespaces", namespace, ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let resource = *rest.first()?;
    let mut name = rest.get(1).copied().unwrap_or_default().to_owned();
    let whole = name.is_empty();
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if whole => "deletecollection",
        Method::DELETE => "delete",
        _ if !whole => "get",
        _ if query.flag("watch").unwrap_or(false) => "watch",
        _ => "list",
    };
    if whole && let Some(selector) = query.get("fieldSelector") {
        // Who may read one object may list it, when he asks for that one.
        let of = selector.strip_prefix("metadata.name=").unwrap_or_default();
        let of = of.strip_prefix('=').unwrap_or(of);
        if !of.contains(',') {
            of.clone_into(&mut name);
        }
    }
    Some(access::Request {
        verb: verb.to_owned(),
        about: About::Objects {
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: rest.get(2).copied().unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            name,
        },
    })
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|it| it.to_str().ok()).collect()
}

/// The user that the sender speaks for: himself, or another if he may.
///
/// # Errors
/// *403*, and *500*, as the real server, for groups of nobody.
pub fn speaks_for(headers: &HeaderMap, user: User, store: &Store) -> Result<User, ApiError> {
    let name = texts(headers, IMPERSONATE_USER)
        .first()
        .copied()
        .unwrap_or_default();
    let groups = texts(headers, IMPERSONATE_GROUP);
    let uid = texts(headers, IMPERSONATE_UID)
        .first()
        .copied()
        .unwrap_or_default();
    let mut extra = serde_json::Map::new();
    for key in headers.keys() {
        if let Some(short) = key.as_str().strip_prefix(IMPERSONATE_EXTRA) {
            let short = path::percent_decode(short).unwrap_or_default();
            extra.insert(short, texts(headers, key.as_str()).into());
        }
    }
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(ApiError::internal(
            "requested to impersonate groups, a uid or extra without impersonating a user",
        ));
    }
    let account = User::account_of(name);
    let may = |group: &str, resource: &str, part: &str, namespace: &str, name: &str| {
        let about = About::Objects {
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: part.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let verb = "impersonate".to_owned();
        permit(store, &user, &access::Request { verb, about })
    };
    match account {
        Some((namespace, name)) => may("", "serviceaccounts", "", namespace, name)?,
        None => may("", "users", "", "", name)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    for (key, values) in &extra {
        for value in values.as_array().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            may("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", uid)?;
    }
    let mut other = User {
        name: name.to_owned(),
        uid: uid.to_owned(),
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        ..User::default()
    };
    if let Some((namespace, name)) = account.filter(|_| groups.is_empty()) {
        other.groups = User::account(namespace, name).groups;
    }
    let said = other
        .groups
        .iter()
        .any(|it| it == AUTHENTICATED || it == UNAUTHENTICATED);
    if !said {
        let group = if name == ANONYMOUS {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        other.groups.push(group.to_owned());
    }
    if !extra.is_empty() {
        other.extra = extra.into();
    }
    Ok(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(
        clippy::needless_pass_by_value,
        reason = "literals read better at its calls"
    )]
    fn said(method: Method, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let request = asked(&method, path, &Query::parse(Some(query)));
        match request.about {
            About::Path(path) => format!("{} {path}", request.verb),
            About::Objects {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => format!(
                "{} {resource}.{group}/{subresource} {namespace}/{name}",
                request.verb
            ),
        }
    }

    #[test]
    fn a_request_is_read_from_its_path() {
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/namespaces/d/pods", "list pods./ d/"),
            (Method::GET, "/api/v1/pods?watch=true", "watch pods./ /"),
            (
                Method::GET,
                "/api/v1/namespaces/d/pods/a/log",
                "get pods./log d/a",
            ),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=metadata.name%3Da",
                "list pods./ /a",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/d/deployments",
                "deletecollection deployments.apps/ d/",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/d/finalize",
                "update namespaces./finalize d/d",
            ),
            (Method::GET, "/api/v1/namespaces/d", "get namespaces./ d/d"),
            (
                Method::POST,
                "/apis/nowhere/v9/odds",
                "create odds.nowhere/ /",
            ),
            (Method::GET, "/api/v1", "get /api/v1"),
            (Method::HEAD, "/metrics", "head /metrics"),
        ] {
            assert_eq!(said(method, uri), expected, "{uri}");
        }
    }
}
