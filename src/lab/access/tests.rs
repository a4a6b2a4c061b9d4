//! Roles and bindings as the real server evaluates them.

use serde_json::json;

use super::*;

fn store() -> Store {
    let store = Store::new(0);
    create_roles(&store);
    store
}

fn add(store: &Store, resource: Resource, object: Value) {
    store.create(resource, object).unwrap();
}

/// `get pods/log team/name`, `get /path`.
fn request(text: &str) -> Request {
    let words: Vec<&str> = text.split(' ').collect();
    let about = if words[1].starts_with('/') {
        About::Path(words[1].to_owned())
    } else {
        let (resource, part) = words[1].split_once('/').unwrap_or((words[1], ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let place = words.get(2).copied().unwrap_or_default();
        let (namespace, name) = place.split_once('/').unwrap_or((place, ""));
        About::Objects {
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: part.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    };
    Request {
        verb: words[0].to_owned(),
        about,
    }
}

fn may(store: &Store, user: &User, text: &str) -> bool {
    judge(store, user, &request(text)).allowed
}

#[test]
fn the_labs_users_may_what_their_names_say() {
    let store = store();
    let (view, none) = (User::new("lab-view", &[]), User::new("lab-none", &[]));
    let admin = User::new("aks-tui-lab", &[MASTERS]);
    for allowed in [
        "list pods default",
        "get pods/log default/a",
        "list nodes",
        "get /api/v1",
        "watch deployments.apps",
    ] {
        assert!(may(&store, &view, allowed), "{allowed}");
    }
    for refused in [
        "list secrets default",
        "delete pods default/a",
        "create pods/exec default/a",
        "patch nodes",
        "get /metrics",
    ] {
        assert!(!may(&store, &view, refused), "{refused}");
        assert!(may(&store, &admin, refused), "{refused}");
    }
    assert!(!may(&store, &none, "list pods default"));
    assert!(may(
        &store,
        &none,
        "create selfsubjectaccessreviews.authorization.k8s.io"
    ));
    assert!(may(&store, &none, "get /openapi/v3/api/v1"));
    let verdict = judge(&store, &view, &request("list pods default"));
    assert_eq!(
        verdict.reason,
        "RBAC: allowed by ClusterRoleBinding \"lab-view\" of ClusterRole \"view\" to User \"lab-view\""
    );
}

#[test]
fn a_binding_in_a_namespace_holds_there_and_for_the_names_it_says() {
    let store = store();
    add(
        &store,
        Resource::Roles,
        json!({
            "metadata": {"name": "one", "namespace": "team"},
            "rules": [{"verbs": ["get", "patch"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]},
                      {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]}],
        }),
    );
    add(
        &store,
        Resource::RoleBindings,
        json!({
            "metadata": {"name": "b", "namespace": "team"},
            "roleRef": {"kind": "Role", "name": "one"},
            "subjects": [{"kind": "ServiceAccount", "name": "bot"}],
        }),
    );
    let bot = User::account("team", "bot");
    assert!(may(&store, &bot, "get configmaps team/a"));
    assert!(!may(&store, &bot, "get configmaps team/b"));
    assert!(!may(&store, &bot, "list configmaps team"));
    assert!(!may(&store, &bot, "get configmaps other/a"));
    assert!(may(&store, &bot, "update deployments.apps/scale team/x"));
    assert!(!may(&store, &bot, "update deployments.apps team/x"));
    assert!(!may(
        &store,
        &User::account("other", "bot"),
        "get configmaps team/a"
    ));
    let reason = judge(&store, &bot, &request("get configmaps team/a")).reason;
    assert_eq!(
        reason,
        "RBAC: allowed by RoleBinding \"b/team\" of Role \"one\" to ServiceAccount \"bot\""
    );
}

#[test]
fn a_role_that_is_missing_is_named_and_aggregation_is_seen_at_once() {
    let store = store();
    add(
        &store,
        Resource::ClusterRoleBindings,
        json!({
            "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "gone"},
            "subjects": [{"kind": "Group", "name": "ops"}],
        }),
    );
    let ops = User::new("kim", &["ops"]);
    let verdict = judge(&store, &ops, &request("list pods default"));
    assert_eq!(
        verdict.reason,
        "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"
    );
    let view = User::new("lab-view", &[]);
    assert!(!may(&store, &view, "list widgets.example.com default"));
    add(
        &store,
        Resource::ClusterRoles,
        json!({
            "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
            "rules": [{"verbs": ["list"], "apiGroups": ["example.com"], "resources": ["widgets"]}],
        }),
    );
    assert!(may(&store, &view, "list widgets.example.com default"));
}

#[test]
fn what_is_forbidden_is_worded_as_the_real_server_words_it() {
    let forbidden = |text: &str| request(text).forbidden("jo");
    assert_eq!(
        forbidden("list pods default"),
        "User \"jo\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(
        forbidden("get nodes /n"),
        "User \"jo\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        forbidden("create pods/exec d/a"),
        "User \"jo\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"d\""
    );
    assert_eq!(
        forbidden("get /metrics"),
        "User \"jo\" cannot get path \"/metrics\""
    );
}
