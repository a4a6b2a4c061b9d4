//! Objects that nothing acts on: how any of them is written, read and deleted.

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::Api;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

use crate::frame::{Case, case, eventually, refusal, within};

fn config(name: &str, data: &serde_json::Value) -> ConfigMap {
    let object = json!({"metadata": {"name": name, "labels": {"set": "mine"}}, "data": data});
    serde_json::from_value(object).unwrap()
}

async fn create(case: &Case, object: &ConfigMap) -> ConfigMap {
    let maps: Api<ConfigMap> = case.api();
    maps.create(&PostParams::default(), object).await.unwrap()
}

#[test]
fn an_object_is_written_once_and_changed_by_who_has_its_newest_version() {
    case("objects", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let made = create(case, &config("a", &json!({"k": "1"}))).await;
        assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
        let again = maps
            .create(&PostParams::default(), &config("a", &json!({})))
            .await;
        let taken = (409, "configmaps \"a\" already exists".to_owned());
        assert_eq!(refusal(again), taken);

        let mut changed = made.clone();
        changed.data = Some([("k".to_owned(), "2".to_owned())].into());
        let changed = maps
            .replace("a", &PostParams::default(), &changed)
            .await
            .unwrap();
        assert_ne!(
            changed.metadata.resource_version,
            made.metadata.resource_version
        );
        assert_eq!(changed.metadata.uid, made.metadata.uid);
        let stale = maps.replace("a", &PostParams::default(), &made).await;
        let (code, message) = refusal(stale);
        assert_eq!(code, 409);
        assert!(
            message.contains("the object has been modified"),
            "{message}"
        );

        let patch = Patch::Merge(json!({"data": {"l": "3", "k": null}}));
        let patched = maps
            .patch("a", &PatchParams::default(), &patch)
            .await
            .unwrap();
        assert_eq!(
            patched.data,
            Some([("l".to_owned(), "3".to_owned())].into())
        );
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        let gone = (404, "configmaps \"a\" not found".to_owned());
        assert_eq!(refusal(maps.get("a").await), gone);
    });
}

#[test]
fn a_dry_run_answers_as_the_write_would_and_writes_nothing() {
    case("dry-run", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = maps
            .create(&dry, &config("a", &json!({"k": "v"})))
            .await
            .unwrap();
        assert!(answer.metadata.uid.is_some());
        assert!(maps.get_opt("a").await.unwrap().is_none());
    });
}

#[test]
fn names_are_generated_and_follow_the_rules() {
    case("names", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let mut object = config("", &json!({}));
        object.metadata.name = None;
        object.metadata.generate_name = Some("made-".to_owned());
        let first = create(case, &object).await.metadata.name.unwrap();
        let second = create(case, &object).await.metadata.name.unwrap();
        assert!(first.starts_with("made-") && first.len() == 10, "{first}");
        assert_ne!(first, second);
        for (name, what) in [
            ("A", "a lowercase RFC 1123 subdomain must consist of"),
            ("a_b", "a lowercase RFC 1123 subdomain must consist of"),
        ] {
            let answer = maps
                .create(&PostParams::default(), &config(name, &json!({})))
                .await;
            let (code, message) = refusal(answer);
            assert_eq!(code, 422);
            let start = format!(
                "ConfigMap \"{name}\" is invalid: metadata.name: Invalid value: \"{name}\": "
            );
            assert!(
                message.starts_with(&start) && message.contains(what),
                "{message}"
            );
        }
    });
}

#[test]
fn a_collection_is_deleted_by_selector() {
    case("collection", async |case| {
        let maps: Api<ConfigMap> = case.api();
        for name in ["a", "b"] {
            create(case, &config(name, &json!({}))).await;
        }
        let mut other = config("c", &json!({}));
        other.metadata.labels = None;
        create(case, &other).await;
        let mine = ListParams::default().labels("set=mine");
        assert_eq!(maps.list(&mine).await.unwrap().items.len(), 2);
        maps.delete_collection(&DeleteParams::default(), &mine)
            .await
            .unwrap();
        eventually("the two are gone", async || {
            maps.list(&mine).await.unwrap().items.is_empty()
        })
        .await;
        assert!(maps.get("c").await.is_ok());
    });
}

#[test]
fn a_watch_tells_what_happens_after_a_list() {
    use futures::TryStreamExt as _;
    case("watch", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let mine = ListParams::default().labels("set=mine");
        let from = maps
            .list(&mine)
            .await
            .unwrap()
            .metadata
            .resource_version
            .unwrap();
        create(case, &config("a", &json!({}))).await;
        let patch = Patch::Merge(json!({"data": {"k": "v"}}));
        maps.patch("a", &PatchParams::default(), &patch)
            .await
            .unwrap();
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        let wanted = WatchParams::default().labels("set=mine");
        let mut events = Box::pin(maps.watch(&wanted, &from).await.unwrap());
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let event = within("three events", events.try_next()).await;
            seen.push(match event.unwrap().unwrap() {
                WatchEvent::Added(_) => "added",
                WatchEvent::Modified(_) => "modified",
                WatchEvent::Deleted(_) => "deleted",
                _ => continue,
            });
        }
        assert_eq!(seen, ["added", "modified", "deleted"]);
    });
}

#[test]
fn a_finalizer_keeps_an_object_until_it_is_removed() {
    case("finalizer", async |case| {
        let maps: Api<ConfigMap> = case.api();
        let mut object = config("a", &json!({}));
        object.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
        create(case, &object).await;
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        let marked = maps.get("a").await.unwrap();
        assert!(marked.metadata.deletion_timestamp.is_some());
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        maps.patch("a", &PatchParams::default(), &patch)
            .await
            .unwrap();
        assert!(maps.get_opt("a").await.unwrap().is_none());
    });
}

#[test]
fn a_secrets_plain_text_is_kept_as_bytes() {
    case("secret", async |case| {
        let secrets: Api<Secret> = case.api();
        let object = json!({"metadata": {"name": "s"}, "stringData": {"user": "me"}});
        let object = serde_json::from_value(object).unwrap();
        let made = secrets
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        assert_eq!(made.type_.as_deref(), Some("Opaque"));
        assert_eq!(made.data.unwrap()["user"].0, b"me");
        assert!(made.string_data.is_none());
        let opaque = ListParams::default().fields("type=Opaque");
        assert_eq!(secrets.list(&opaque).await.unwrap().items.len(), 1);
    });
}

#[test]
fn an_account_is_an_object_like_any_other() {
    case("account", async |case| {
        let accounts: Api<ServiceAccount> = case.api();
        let object = serde_json::from_value(json!({"metadata": {"name": "robot"}})).unwrap();
        accounts
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        assert!(accounts.get("robot").await.is_ok());
    });
}
