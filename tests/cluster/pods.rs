//! The list of pods and its changes.

use aks_tui::core::event::{Fact, Feed};

use crate::{
    cockpit::Cockpit,
    fake::{Fake, pod, running, until},
};

#[tokio::test]
async fn pods_are_listed_in_pages_then_watched() {
    let fake = Fake::start().await;
    fake.state().page_size = 2;
    for i in 0..5 {
        fake.put_pod(&pod(&format!("p{i}"), "other", 0, &running()));
    }
    let mut cockpit = Cockpit::at(&fake);
    let listed = cockpit
        .hear("a list", |fact| matches!(fact, Fact::PodsListed { .. }))
        .await;
    let Fact::PodsListed { uids } = listed else {
        panic!()
    };
    assert_eq!(uids, ["uid-p0", "uid-p1", "uid-p2", "uid-p3", "uid-p4"]);
    cockpit.hear_live(Feed::Pods).await;
    fake.put_pod(&pod("p1", "other", 0, &running()));
    fake.put_pod(&pod("p2", "other", 1, &running()));
    fake.remove_pod("p3");
    cockpit
        .hear("p3 to be gone", |fact| {
            *fact
                == Fact::PodGone {
                    uid: "uid-p3".to_owned(),
                }
        })
        .await;
    let told: Vec<(&str, u32)> = cockpit
        .said
        .iter()
        .filter_map(|fact| match fact {
            Fact::Pod(pod) => Some((pod.name.as_str(), pod.containers[0].restarts)),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            ("p0", 0),
            ("p1", 0),
            ("p2", 0),
            ("p3", 0),
            ("p4", 0),
            ("p2", 1)
        ],
        "what did not change is not told again"
    );
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("a", "other", 0, &running()));
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Pods).await;
    until("the watch is open", || fake.count("watch=true") == 1).await;
    fake.cut_streams();
    fake.put_pod(&pod("b", "other", 0, &running()));
    cockpit
        .hear(
            "the pod that came meanwhile",
            |fact| matches!(fact, Fact::Pod(pod) if pod.name == "b"),
        )
        .await;
    // Nodes are listed, too.
    let lists = fake.count("/pods?&limit=500");
    assert_eq!(lists, 1, "it was not listed again");
    let again = fake
        .state()
        .requests
        .iter()
        .filter(|r| r.contains("watch=true"))
        .cloned()
        .collect::<Vec<_>>();
    assert!(
        again.iter().all(|r| r.contains("resourceVersion=1")),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_version_that_is_too_old_makes_a_new_list() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("a", "other", 0, &running()));
    fake.put_pod(&pod("b", "other", 0, &running()));
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Pods).await;
    until("the watch is open", || fake.count("watch=true") == 1).await;
    fake.remove_pod_silently("a");
    fake.state().forgotten = 3;
    fake.cut_streams();
    cockpit
        .hear("a list without the pod", |fact| {
            *fact
                == Fact::PodsListed {
                    uids: vec!["uid-b".to_owned()],
                }
        })
        .await;
}
