//! Getting to the server, and being told why not.

use aks_tui::{
    adapters::cluster,
    core::{
        azure::desk::Cluster,
        effect::Effect,
        event::{Fact, Feed, FeedState, Permitted},
        trial::Fault,
        workload::Role,
    },
};
use http::Method;
use serde_json::json;

use crate::{
    cockpit::{Cockpit, inject, kubeconfig, stamp},
    fake::{Fake, pod, running, until},
};

#[tokio::test]
async fn a_kubeconfig_that_appears_is_found() {
    let fake = Fake::start().await;
    let mut cockpit = Cockpit::reading("", |_| {});
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("no kubeconfig at"), "{why}");
    let text = kubeconfig(&format!("http://{}", fake.address), "{}");
    std::fs::write(&cockpit.kubeconfig, &text).unwrap();
    cockpit.hear_live(Feed::Pods).await;
    let after = std::fs::read_to_string(&cockpit.kubeconfig).unwrap();
    assert_eq!(after, text, "it is never written");
}

#[tokio::test]
async fn a_broken_kubeconfig_is_said_to_be() {
    let mut cockpit = Cockpit::reading("clusters: [", |_| {});
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("is broken"), "{why}");
}

#[tokio::test]
async fn an_unknown_context_names_the_nearest() {
    let text = kubeconfig("http://127.0.0.1:1", "{}");
    let mut cockpit = Cockpit::reading(&text, |options| options.context = Some("heer".to_owned()));
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("did you mean `here`?"), "{why}");
}

#[tokio::test]
async fn a_bad_selector_is_said_at_once() {
    assert!(cluster::check_selector("app in (").is_err());
    let mut cockpit = Cockpit::reading("", |options| {
        options.client_selector = "app in (".to_owned();
    });
    cockpit
        .hear(
            "trouble",
            |fact| matches!(fact, Fact::Trouble(t) if t.what.contains("app in (")),
        )
        .await;
}

#[tokio::test]
async fn a_server_that_comes_up_is_reached_at_a_wish() {
    let address = {
        let fake = Fake::start().await;
        fake.address
    };
    let mut cockpit = Cockpit::with(&format!("http://{address}"), "{}", |_| {});
    for _ in 0..2 {
        let why = cockpit.hear_broken(Feed::Pods).await;
        assert!(why.contains("nothing listens at"), "{why}");
    }
    let _fake = Fake::start_at(address).await;
    cockpit.ask(Effect::Reconnect).await;
    cockpit.hear_live(Feed::Pods).await;
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_a_dead_one() {
    let fake = Fake::start().await;
    let mut cockpit = Cockpit::with(&format!("https://{}", fake.address), "{}", |_| {});
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("does not speak TLS"), "{why}");
}

#[tokio::test]
async fn an_expired_token_is_read_anew() {
    let fake = Fake::start().await;
    fake.state().token = Some("new".to_owned());
    let server = format!("http://{}", fake.address);
    let mut cockpit = Cockpit::with(&server, "{token: hunter2}", |_| {});
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("401") && why.contains("sign in"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    std::fs::write(&cockpit.kubeconfig, kubeconfig(&server, "{token: new}")).unwrap();
    cockpit.hear_live(Feed::Pods).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_plug_in_that_fails_is_quoted_without_its_secrets() {
    let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, \
                args: ['-c', 'echo hunter2; echo AADSTS70043 sign in again >&2; exit 3']}}";
    let mut cockpit = Cockpit::with("http://127.0.0.1:1", user, |_| {});
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(
        why.contains("plug-in `sh` of the kubeconfig failed (exit status: 3)"),
        "{why}"
    );
    assert!(why.contains("AADSTS70043"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn what_is_forbidden_is_said_and_the_rest_goes_on() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), b"hello");
    fake.state()
        .refusals
        .push((Method::GET, "/c/log", 403, "cannot get resource pods/log"));
    let mut cockpit = Cockpit::at(&fake);
    let why = cockpit.hear_broken(Feed::Log(Role::Client)).await;
    assert!(why.contains("not allowed to read the log"), "{why}");
    assert!(why.contains("cannot get resource pods/log"), "{why}");
    fake.state().refusals.clear();
    cockpit.ask(Effect::Reconnect).await;
    cockpit.hear_line("hello").await;
}

#[tokio::test]
async fn a_namespace_that_may_not_be_read_is_broken_not_empty() {
    let fake = Fake::start().await;
    fake.state()
        .refusals
        .push((Method::GET, "/pods", 403, "pods is forbidden"));
    let mut cockpit = Cockpit::at(&fake);
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(
        why.contains("not allowed to list the pods of namespace `default`"),
        "{why}"
    );
    assert!(
        !cockpit
            .said
            .iter()
            .any(|fact| matches!(fact, Fact::PodsListed { .. }))
    );
}

#[tokio::test]
async fn an_empty_namespace_says_what_it_waits_for() {
    let fake = Fake::start().await;
    let mut cockpit = Cockpit::at(&fake);
    cockpit
        .hear("an empty list", |fact| {
            *fact == Fact::PodsListed { uids: vec![] }
        })
        .await;
    cockpit
        .hear("a waiting log", |fact| {
            matches!(fact, Fact::Feed { feed: Feed::Log(Role::Server), state: FeedState::Waiting { what } }
                if what.contains("component=server"))
        })
        .await;
}

#[tokio::test]
async fn the_cluster_tells_what_it_is_and_what_is_allowed() {
    let fake = Fake::start().await;
    fake.state().denied.push("delete");
    fake.state().annotations =
        json!({"lab.aks-tui.dev/backoff": "none", "lab.aks-tui.dev/isolation": "group"});
    let mut cockpit = Cockpit::at(&fake);
    let fact = cockpit
        .hear(
            "the cluster",
            |fact| matches!(fact, Fact::Cluster(info) if info.version.is_some()),
        )
        .await;
    let Fact::Cluster(info) = fact else { panic!() };
    assert_eq!(info.context, "here");
    assert_eq!(info.server, format!("http://{}", fake.address));
    assert_eq!(info.namespace, "default");
    assert_eq!(info.version.as_deref(), Some("v1.33.9"));
    assert_eq!(
        (info.backoff.as_deref(), info.isolation.as_deref()),
        (Some("none"), Some("group"))
    );
    for (action, allowed) in [
        (Permitted::ExecPods, true),
        (Permitted::DeletePods, false),
        (Permitted::ReadLogs, true),
    ] {
        cockpit
            .hear("a permission", |fact| {
                *fact == Fact::Permission { action, allowed }
            })
            .await;
    }
}

#[tokio::test]
async fn the_lease_is_taken_and_renewed() {
    let fake = Fake::start().await;
    let server = format!("http://{}", fake.address);
    let _cockpit = Cockpit::with(&server, "{}", |options| {
        options.lease.clone_from(&options.kubeconfig);
    });
    until("the lease is renewed", || {
        fake.state().deeds.contains(&"PUT lease".to_owned())
    })
    .await;
    assert_eq!(fake.state().deeds[0], "POST lease");
    let lease = fake.state().leases["aks-tui-cockpit"].clone();
    assert_eq!(lease["metadata"]["namespace"], "kube-system");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    assert!(
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap()
            .starts_with("aks-tui-")
    );
    assert!(lease["spec"]["renewTime"].as_str() > lease["spec"]["acquireTime"].as_str());
}

#[tokio::test]
async fn a_cluster_that_is_made_is_looked_at_until_it_is_gone() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    let server = format!("http://{}", fake.address);
    let mut cockpit = Cockpit::with(&server, "{}", |options| {
        options.nowhere = Some("no cluster yet".to_owned());
    });
    let turned = |nowhere: Option<&str>| Fact::Turned {
        nowhere: nowhere.map(str::to_owned),
    };
    let nowhere = turned(Some("no cluster yet"));
    cockpit
        .hear("that there is none", |it| *it == nowhere)
        .await;
    cockpit.ask(inject(Fault::PodDelete, "c")).await;
    assert_eq!(cockpit.hear_refusal().await, "no cluster yet");
    let kubeconfig = cockpit.kubeconfig.display().to_string();
    let there = Cluster::There {
        kubeconfig: kubeconfig.clone(),
        namespace: "default".to_owned(),
        order: Box::default(),
    };
    cockpit.ask(Effect::Connect(there.clone())).await;
    cockpit
        .hear("that there is one", |it| *it == turned(None))
        .await;
    cockpit.hear_live(Feed::Pods).await;
    // Heard twice, or of somebody else's end, it goes on as it is.
    cockpit.ask(Effect::Connect(there)).await;
    let elsewhere = "/elsewhere".to_owned();
    let gone = |kubeconfig| Effect::Connect(Cluster::Gone { kubeconfig });
    cockpit.ask(gone(elsewhere)).await;
    cockpit.ask(gone(kubeconfig)).await;
    let said = cockpit.said.len();
    let deleted = turned(Some("the cluster was deleted"));
    cockpit.hear("that it is gone", |it| *it == deleted).await;
    let turns = cockpit.said[said..].iter();
    assert_eq!(
        turns.filter(|it| matches!(it, Fact::Turned { .. })).count(),
        1
    );
    cockpit
        .hear("what is waited for", |it| {
            matches!(
                it,
                Fact::Feed {
                    feed: Feed::Pods,
                    state: FeedState::Waiting { .. }
                }
            )
        })
        .await;
}
