//! A node whose plug is pulled, and who gets power again.

use std::time::Instant;

use aks_tui::lab::kubelet::POWER_ANNOTATION;

use super::*;

impl Bed {
    /// Turns the node's switch, as any client of the API does.
    fn turn(&self, power: &str) {
        let node = Key::new(Resource::Nodes, "", NODE);
        let turned = self.store.update_with::<StoreError>(&node, |node| {
            node["metadata"]["annotations"][POWER_ANNOTATION] = json!(power);
            Ok(())
        });
        turned.unwrap();
    }

    fn node(&self) -> Arc<Value> {
        self.get(&Key::new(Resource::Nodes, "", NODE))
    }

    /// Waits until an event of a reason is there, and gives its text.
    async fn event(&self, reason: &str) -> String {
        let (_, mut watch) = self.store.list_and_watch(&[Resource::Events]);
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some((text, _)) = self.events(reason).pop() {
                    return text;
                }
                watch.next().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {reason}"))
    }
}

#[tokio::test]
async fn without_power_everything_is_gone_at_once_and_nobody_writes_it_down() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        assert_eq!(
            bed.node()["metadata"]["annotations"][POWER_ANNOTATION],
            "on"
        );
        let first_life = bed.node()["status"]["nodeInfo"]["bootID"].clone();
        // Neither would end by itself, or soon.
        let stubborn = format!("trap '' TERM; {STEADY}");
        let keys: Vec<_> = (0..3)
            .map(|index| bed.create(pod(&format!("p{index}"), &stubborn)))
            .collect();
        let mut before = Vec::new();
        for key in &keys {
            before.push(bed.ready(key).await);
        }
        let pulled = Instant::now();
        bed.turn("off");
        while !pod_processes(&bed.run).is_empty() {
            let left = pod_processes(&bed.run);
            assert!(pulled.elapsed() < PATIENCE, "{left:?}");
            tokio::task::yield_now().await;
        }
        println!(
            "{isolation}: the last process was gone after {:?}",
            pulled.elapsed()
        );
        let text = bed.event("PoweredOff").await;
        assert!(
            text.starts_with("The power is off: the processes of 3 pod(s)"),
            "{text}"
        );
        for (key, before) in keys.iter().zip(&before) {
            assert_eq!(*bed.get(key), *before, "nobody was left to tell");
        }
        assert_eq!(
            bed.kubelet.reach(NODE),
            Err(NodeError::Unreachable(
                before[0]["status"]["hostIP"].as_str().unwrap().to_owned()
            ))
        );
        // Who is deleted while it is off lingers, and one goes for good.
        bed.store.delete(&keys[1], &Deletion::default()).unwrap();
        let now = Deletion {
            grace: Some(0),
            ..Deletion::default()
        };
        bed.store.delete(&keys[2], &now).unwrap();
        bed.turn("on");
        let restarted = bed
            .pod(&keys[0], "it runs again", |pod| {
                is_ready(pod) && container(pod)["restartCount"] == 1
            })
            .await;
        let last = &container(&restarted)["lastState"]["terminated"];
        assert_eq!(last["reason"], "Unknown");
        assert_eq!(restarted["status"]["podIP"], before[0]["status"]["podIP"]);
        bed.until(&keys[1], "it is finished", |pod| pod.is_none())
            .await;
        assert_eq!(bed.kubelet.reach(NODE), Ok(()));
        let boot = &bed.node()["status"]["nodeInfo"]["bootID"];
        assert_ne!(*boot, first_life);
        let text = bed.event("Rebooted").await;
        assert_eq!(
            text,
            format!(
                "Node {NODE} has been rebooted, boot id: {}",
                boot.as_str().unwrap()
            )
        );
        bed.close().await;
    }
}

#[tokio::test]
async fn off_and_on_in_one_breath_is_a_cut_all_the_same() {
    let Some(bed) = Bed::new(Isolation::Group, BackoffMode::None).await else {
        return;
    };
    let key = bed.create(pod("p", STEADY));
    bed.ready(&key).await;
    bed.turn("off");
    bed.turn("on");
    bed.pod(&key, "it runs again", |pod| {
        is_ready(pod) && container(pod)["restartCount"] == 1
    })
    .await;
    bed.close().await;
}

#[tokio::test]
async fn off_stays_off_when_the_lab_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(0);
    let start = || {
        Bed::with(
            store.clone(),
            directory.path(),
            Isolation::Group,
            BackoffMode::None,
        )
    };
    let bed = start().await.unwrap();
    bed.turn("off");
    bed.close().await;
    let bed = start().await.unwrap();
    assert!(bed.kubelet.reach(NODE).is_err());
    let key = bed.create(pod("p", STEADY));
    bed.turn("on");
    bed.ready(&key).await;
    bed.close().await;
}
