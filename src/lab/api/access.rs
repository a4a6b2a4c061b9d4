//! What the caller may do. There is one token and it may do everything that
//! the lab serves; what the lab does not serve, nobody may.

use serde_json::{Value, json};

use super::discovery;
use super::path::Review;
use crate::lab::store::Store;

/// The name under which the one token acts.
const USER: &str = "aks-tui-lab";

/// Answers a review: the question with its answer in `status`.
pub fn review(store: &Store, review: Review, question: Option<Value>) -> Value {
    let (group, _, kind) = review.names();
    let mut answer = question.unwrap_or_else(|| json!({}));
    answer["apiVersion"] = json!(format!("{group}/v1"));
    answer["kind"] = json!(kind);
    if answer["metadata"].is_null() {
        answer["metadata"] = json!({});
    }
    answer["status"] = match review {
        Review::Access => access(store, &answer["spec"]),
        Review::Rules => rules(store),
        Review::Myself => json!({
            "userInfo": {"username": USER, "groups": ["system:authenticated"]},
        }),
    };
    answer
}

fn access(store: &Store, spec: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if spec["nonResourceAttributes"].is_object() {
        let attributes = &spec["nonResourceAttributes"];
        let allowed = text(&attributes["verb"]) == "get";
        return json!({"allowed": allowed, "reason": "the lab serves documents to be read"});
    }
    let attributes = &spec["resourceAttributes"];
    let (group, plural) = (text(&attributes["group"]), text(&attributes["resource"]));
    let (part, verb) = (text(&attributes["subresource"]), text(&attributes["verb"]));
    let allowed = match (plural.as_str(), verb.as_str()) {
        ("*", _) => true,
        (_, "*") => store.find_kind(&group, &plural).is_some(),
        _ => discovery::serves(store, &group, &plural, &part, &verb),
    };
    let reason = if allowed {
        "the lab's token may do everything that the lab serves"
    } else {
        "the lab does not serve this"
    };
    json!({"allowed": allowed, "reason": reason})
}

fn rules(store: &Store) -> Value {
    let mut rules = Vec::new();
    for resource in store.kinds() {
        let names = resource.names();
        rules.push(json!({
            "verbs": discovery::verbs(resource),
            "apiGroups": [names.group],
            "resources": [names.plural],
        }));
        for part in discovery::subresources(resource) {
            rules.push(json!({
                "verbs": part.verbs,
                "apiGroups": [names.group],
                "resources": [format!("{}/{}", names.plural, part.name)],
            }));
        }
    }
    for (group, plural, _) in Review::ALL.map(Review::names) {
        rules.push(json!({"verbs": ["create"], "apiGroups": [group], "resources": [plural]}));
    }
    json!({
        "resourceRules": rules,
        "nonResourceRules": [{
            "verbs": ["get"],
            "nonResourceURLs": [
                "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/readyz",
                "/openapi/v3", "/openapi/v3/*", "/version",
            ],
        }],
        "incomplete": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(verb: &str, group: &str, resource: &str) -> bool {
        let question = json!({"spec": {"resourceAttributes": {
            "verb": verb, "group": group, "resource": resource}}});
        review(&Store::new(0), Review::Access, Some(question))["status"]["allowed"] == true
    }

    #[test]
    fn what_is_served_is_allowed_and_nothing_else() {
        assert!(may("delete", "", "pods"));
        assert!(may("create", "apps", "deployments"));
        assert!(may("*", "", "pods"));
        assert!(!may("create", "apps", "daemonsets"));
        assert!(!may("*", "apps", "daemonsets"));
        assert!(!may("deletecollection", "", "namespaces"));
    }
}
