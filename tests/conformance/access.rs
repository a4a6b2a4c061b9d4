//! Who may do what: roles, bindings, impersonation, and the reviews of it.

use http::Method;
use serde_json::json;

use crate::frame::{case, kubectl_case};

#[test]
fn what_nobody_allows_is_forbidden_in_known_words() {
    kubectl_case("forbidden", async |case| {
        let namespace = &case.namespace;
        let user = case.unique("jo");
        let (_, error, code) = case.said(&["get", "pods", "--as", &user]);
        let expected = format!(
            "Error from server (Forbidden): pods is forbidden: User \"{user}\" cannot list resource \"pods\" in API group \"\" in the namespace \"{namespace}\""
        );
        assert_eq!((error.trim(), code), (expected.as_str(), 1));
        let (_, error, _) = case.said(&["get", "nodes", "--as", &user]);
        let expected = format!(
            "nodes is forbidden: User \"{user}\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert!(error.contains(&expected), "{error}");
        let (_, error, _) = case.said(&["delete", "deploy", "x", "--as", &user]);
        assert!(
            error.contains("deployments.apps \"x\" is forbidden"),
            "{error}"
        );
        let (_, error, _) = case.said(&["get", "--raw", "/metrics", "--as", &user]);
        assert!(
            error.contains(&format!("User \"{user}\" cannot get path \"/metrics\"")),
            "{error}"
        );
        let who = case.ok(&["auth", "whoami", "--as", &user, "--as-group", "ops"]);
        assert!(who.contains(&user) && who.contains("[ops system:authenticated]"));
    });
}

#[test]
fn a_role_allows_what_it_says_where_it_is_bound() {
    kubectl_case("roles", async |case| {
        let user = case.unique("jo");
        case.ok(&["create", "configmap", "a", "--from-literal=k=v"]);
        case.ok(&["create", "configmap", "b", "--from-literal=k=v"]);
        case.ok(&[
            "create",
            "role",
            "one",
            "--verb=get,patch",
            "--resource=configmaps",
            "--resource-name=a",
        ]);
        case.ok(&[
            "create",
            "rolebinding",
            "one",
            "--role=one",
            &format!("--user={user}"),
        ]);
        case.ok(&["get", "configmap", "a", "--as", &user]);
        for refused in [
            ["get", "configmap", "b"],
            ["get", "configmap", ""],
            ["delete", "configmap", "a"],
        ] {
            let mut arguments: Vec<&str> =
                refused.into_iter().filter(|it| !it.is_empty()).collect();
            arguments.extend(["--as", &user]);
            let (_, error, code) = case.said(&arguments);
            assert!(
                error.contains("is forbidden") && code == 1,
                "{arguments:?}: {error}"
            );
        }
        let can = |arguments: &[&str]| {
            let mut all = vec!["auth", "can-i"];
            all.extend(arguments);
            all.extend(["--as", &user]);
            case.said(&all).0.trim().to_owned()
        };
        assert_eq!(can(&["get", "configmap/a"]), "yes");
        assert_eq!(can(&["get", "configmap/b"]), "no");
        assert_eq!(can(&["create", "pods", "--subresource=exec"]), "no");
        let list = can(&["--list"]);
        assert!(
            list.contains("configmaps") && list.contains("[a]"),
            "{list}"
        );
        assert!(
            list.contains("selfsubjectaccessreviews.authorization.k8s.io"),
            "{list}"
        );

        // A binding to a role that is not there allows nothing, and says why.
        let other = case.unique("kim");
        case.ok(&[
            "create",
            "rolebinding",
            "gone",
            "--role=gone",
            &format!("--user={other}"),
        ]);
        let (_, error, _) = case.said(&["get", "pods", "--as", &other]);
        let why = "RBAC: role.rbac.authorization.k8s.io \"gone\" not found";
        assert!(error.contains(why), "{error}");
    });
}

#[test]
fn a_service_account_is_a_user_and_may_not_speak_for_others() {
    kubectl_case("accounts", async |case| {
        let account = format!("system:serviceaccount:{}:bot", case.namespace);
        case.ok(&["create", "serviceaccount", "bot"]);
        let bound = format!("--serviceaccount={}:bot", case.namespace);
        case.ok(&["create", "rolebinding", "bot", "--clusterrole=view", &bound]);
        case.ok(&["get", "pods,services,configmaps", "--as", &account]);
        let (_, error, _) = case.said(&["get", "secrets", "--as", &account]);
        assert!(
            error.contains(&format!(
                "User \"{account}\" cannot list resource \"secrets\""
            )),
            "{error}"
        );
        let token = case.ok(&["create", "token", "bot"]);
        assert!(token.trim().len() > 20 && !token.trim().contains(char::is_whitespace));
        let (_, error, code) = case.said(&["create", "token", "bot", "--duration=1m"]);
        assert!(
            error.contains("may not specify a duration less than 10 minutes") && code == 1,
            "{error}"
        );
    });
}

#[test]
fn reviews_answer_for_others() {
    case("reviews", async |case| {
        let (namespace, user) = (&case.namespace, case.unique("jo"));
        let attributes = json!({"namespace": namespace, "verb": "list", "resource": "pods"});
        let review = |kind: &str| {
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind,
                "metadata": if kind.starts_with("Local") { json!({"namespace": namespace}) } else { json!({}) },
                "spec": {"user": user, "groups": ["ops"], "resourceAttributes": attributes}})
            .to_string()
        };
        let local = format!(
            "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
        );
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        for (path, kind) in [
            (path, "SubjectAccessReview"),
            (&local, "LocalSubjectAccessReview"),
        ] {
            let (code, answer) = case
                .raw(Method::POST, path, "application/json", review(kind))
                .await;
            assert_eq!(code, 201, "{answer}");
            assert_eq!(answer["status"]["allowed"], false, "{answer}");
        }
        let masters =
            json!({"spec": {"groups": ["system:masters"], "resourceAttributes": attributes}});
        let (_, answer) = case
            .raw(Method::POST, path, "application/json", masters.to_string())
            .await;
        assert_eq!(answer["status"]["allowed"], true, "{answer}");
        let (code, answer) = case
            .raw(
                Method::POST,
                path,
                "application/json",
                r#"{"spec":{"user":"x"}}"#,
            )
            .await;
        assert_eq!((code.as_u16(), &answer["reason"]), (422, &json!("Invalid")));
    });
}
