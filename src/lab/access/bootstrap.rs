//! The roles and bindings that every cluster has.

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::lab::kinds::Resource;
use crate::lab::store::Store;

const ROLES: &str = include_str!("../../../assets/manifests/roles.yaml");
/// Each of these may do what those before it may.
const CHAIN: [&str; 3] = ["view", "edit", "admin"];

/// Makes the roles and bindings that are not there yet.
pub fn create_roles(store: &Store) {
    let mut chain = Vec::new();
    for mut object in objects() {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let is_role = object["kind"] == "ClusterRole";
        if is_role && CHAIN.contains(&name.as_str()) {
            let own = object["rules"].as_array().cloned().unwrap_or_default();
            chain.extend(own);
            object["rules"] = json!(chain);
        }
        if !name.starts_with("lab-") {
            object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
            object["metadata"]["annotations"] =
                json!({"rbac.authorization.kubernetes.io/autoupdate": "true"});
        }
        let resource = if is_role {
            Resource::ClusterRoles
        } else {
            Resource::ClusterRoleBindings
        };
        // There already, from an earlier life of the lab.
        let _ = store.create(resource, object);
    }
}

fn objects() -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(ROLES);
    let read = documents.map(|it| Value::deserialize(it).unwrap_or_default());
    read.filter(Value::is_object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_whole_and_made_once() {
        assert_eq!(objects().len(), ROLES.matches("\nkind: ").count());
        let store = Store::new(0);
        create_roles(&store);
        let rv = store.rv();
        create_roles(&store);
        assert_eq!(store.rv(), rv);
    }
}
