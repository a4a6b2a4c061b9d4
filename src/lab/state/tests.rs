use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::lab::store::Key;

fn take(directory: &Path) -> State {
    State::take(Some(directory.to_owned()), None).unwrap()
}

fn entries(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn two_labs_never_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = take(directory.path());
    let second = State::take(Some(directory.path().to_owned()), None).unwrap_err();
    let sentence = second.to_string();
    assert!(
        sentence.contains(&format!("pid {}", std::process::id())),
        "{sentence}"
    );
    drop(first);
    take(directory.path());
}

#[test]
fn deployments_come_back_under_newer_versions() {
    let directory = tempfile::tempdir().unwrap();
    let state = take(directory.path());
    let (store, known) = state.restore().unwrap();
    assert!(!known);
    let object =
        json!({"metadata": {"namespace": "default", "name": "d"}, "spec": {"replicas": 2}});
    let made = store.create(Resource::Deployments, object).unwrap();
    state.save(&store, 0).unwrap();
    drop(state);

    let (again, known) = take(directory.path()).restore().unwrap();
    assert!(known);
    let found = again
        .get(&Key::new(Resource::Deployments, "default", "d"))
        .unwrap();
    assert_eq!(found["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(found["spec"]["replicas"], 2);
    let old = store.rv();
    let error = again.watch(&[Resource::Pods], old).unwrap_err();
    assert!(matches!(error, StoreError::Expired { .. }));
}

#[test]
fn what_was_saved_and_cannot_be_read_is_said_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("objects.json");
    fs::write(&file, "{").unwrap();
    let error = take(directory.path()).restore().unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{");
}

fn users() -> Users {
    Users::new("t".to_owned(), "look".to_owned(), "none".to_owned())
}

#[test]
fn a_kubeconfig_is_private_and_no_other_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = directory.path().join("config");
    fs::write(&theirs, "apiVersion: v1\n").unwrap();
    let home = directory.path().join("state");
    let state = State::take(Some(home.clone()), Some(theirs.clone())).unwrap();
    let error = state
        .write_kubeconfig("https://x", "ca", &users())
        .unwrap_err();
    assert!(matches!(error, StateError::Foreign(_)));
    drop(state);

    let state = take(&home);
    state.write_kubeconfig("https://x", "ca", &users()).unwrap();
    state.write_kubeconfig("https://y", "ca", &users()).unwrap();
    let file = home.join("kubeconfig");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let config = fs::read_to_string(&file).unwrap();
    let config: Value = serde_yaml::from_str(&config).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://y");
    state.remove().unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "apiVersion: v1\n");
}

#[test]
fn a_stopped_lab_leaves_what_is_not_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("notes"), "mine").unwrap();
    let state = take(path);
    state.restore().unwrap();
    state.write_kubeconfig("https://x", "ca", &users()).unwrap();
    state.write_ready(&json!({})).unwrap();
    fs::create_dir_all(state.node().join("pods")).unwrap();
    state.remove().unwrap();
    assert_eq!(entries(path), ["notes"]);

    let made = path.join("deep").join("state");
    take(&made).remove().unwrap();
    assert!(!made.exists());
}

#[test]
fn defined_kinds_and_their_objects_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let state = take(directory.path());
    let (store, _) = state.restore().unwrap();
    let definition = json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1"}],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    });
    store
        .create(Resource::CustomResourceDefinitions, definition)
        .unwrap();
    let kind = store.find_kind("example.com", "foos").unwrap();
    let object = json!({"metadata": {"namespace": "default", "name": "a"}, "status": {"n": 1}});
    store.create(kind, object).unwrap();
    state.save(&store, 0).unwrap();
    drop(state);

    let (again, _) = take(directory.path()).restore().unwrap();
    let kind = again.find_kind("example.com", "foos").unwrap();
    let found = again.get(&Key::new(kind, "default", "a")).unwrap();
    assert_eq!(found["status"]["n"], 1);
}
