//! What is done to pods, and what is not.

use aks_tui::core::{
    around::Volume,
    effect::Effect,
    event::{Fact, Feed},
    trial::{Fault, TrialId, Victim},
    workload::Role,
};
use http::Method;

use crate::{
    cockpit::{Cockpit, inject, victim},
    fake::{Exec, Fake, pod, running, until},
};

async fn running_client(execs: &[(&'static str, Exec)]) -> (Fake, Cockpit) {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    // The kill is found first: its command names pidof, too.
    fake.state().execs = execs.to_vec();
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Pods).await;
    (fake, cockpit)
}

async fn injected(cockpit: &mut Cockpit) -> Victim {
    let fact = cockpit
        .hear("the injection", |fact| {
            matches!(fact, Fact::FaultInjected { .. })
        })
        .await;
    match fact {
        Fact::FaultInjected { victim, .. } => victim,
        other => panic!("{other:?}"),
    }
}

const PID: (&str, Exec) = ("pidof Job", Exec::Exit("17 \n", "", 0));

#[tokio::test]
async fn a_kill_names_its_victims_process_and_is_announced_before_it_is_sent() {
    let (fake, mut cockpit) = running_client(&[("kill -9", Exec::Exit("", "", 0)), PID]).await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    assert_eq!(injected(&mut cockpit).await.pid, Some(17));
    until("the kill", || fake.state().deeds.len() == 2).await;
    assert_eq!(fake.state().deeds[0], "exec c pidof Job");
    assert_eq!(fake.state().deeds[1], "exec c sh -c kill -9 $(pidof Job)");
}

#[tokio::test]
async fn an_answer_that_dies_with_the_container_counts_as_sent() {
    for lost in [Exec::Dies, Exec::Exit("", "", 137)] {
        let (fake, mut cockpit) = running_client(&[("kill $(", lost), PID]).await;
        cockpit.ask(inject(Fault::ProcessTerm, "c")).await;
        injected(&mut cockpit).await;
        until("the kill", || fake.state().deeds.len() == 2).await;
        fake.put_pod(&pod("later", "other", 0, &running()));
        cockpit
            .hear(
                "another pod",
                |fact| matches!(fact, Fact::Pod(pod) if pod.name == "later"),
            )
            .await;
        assert!(
            !cockpit
                .said
                .iter()
                .any(|fact| matches!(fact, Fact::FaultRefused { .. }))
        );
    }
}

#[tokio::test]
async fn a_kill_that_never_answers_blocks_nothing() {
    let (fake, mut cockpit) = running_client(&[("kill -9", Exec::Silence), PID]).await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    injected(&mut cockpit).await;
    until("the kill", || fake.state().deeds.len() == 2).await;
    cockpit
        .ask(Effect::AskPid {
            trial: TrialId(1),
            role: Role::Client,
        })
        .await;
    let pid = cockpit
        .hear("the pid", |fact| matches!(fact, Fact::PidAfter { .. }))
        .await;
    assert_eq!(
        pid,
        Fact::PidAfter {
            trial: TrialId(1),
            pid: 17
        }
    );
}

#[tokio::test]
async fn where_nothing_runs_nothing_is_injected() {
    let (fake, mut cockpit) = running_client(&[("pidof Job", Exec::Exit("", "", 1))]).await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(
        reason.contains("nothing to kill: no process named Job"),
        "{reason}"
    );
    assert_eq!(fake.state().deeds, ["exec c pidof Job"]);
    assert!(
        !cockpit
            .said
            .iter()
            .any(|fact| matches!(fact, Fact::FaultInjected { .. }))
    );
}

#[tokio::test]
async fn an_image_without_the_tools_is_said_to_lack_them() {
    let missing =
        "error executing command in container: exec: \"pidof\": executable file not found in $PATH";
    let (_fake, mut cockpit) = running_client(&[("pidof Job", Exec::NotStarted(missing))]).await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("has no `pidof`"), "{reason}");

    let (_fake, mut cockpit) =
        running_client(&[("kill -9", Exec::Exit("", "sh: not found", 127)), PID]).await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    injected(&mut cockpit).await;
    let reason = cockpit.hear_refusal().await;
    assert!(
        reason.contains("127") && reason.contains("sh: not found"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_kill_that_is_forbidden_is_refused_with_the_servers_words() {
    let (_fake, mut cockpit) = running_client(&[(
        "pidof Job",
        Exec::Refused(403, "cannot create resource pods/exec"),
    )])
    .await;
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(
        reason.contains("not allowed") && reason.contains("pods/exec"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_pod_is_deleted_at_once_and_only_if_it_is_the_one() {
    let (fake, mut cockpit) = running_client(&[PID]).await;
    cockpit.ask(inject(Fault::PodDelete, "c")).await;
    assert_eq!(injected(&mut cockpit).await.pid, Some(17));
    until("the deletion", || fake.state().deeds.len() == 2).await;
    assert_eq!(
        fake.state().deeds[1],
        "delete c {\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"uid-c\"}}"
    );
}

#[tokio::test]
async fn a_pod_that_is_another_one_by_now_is_not_deleted() {
    let (fake, mut cockpit) = running_client(&[PID]).await;
    fake.state().refusals.push((
        Method::DELETE,
        "/pods/c",
        409,
        "the UID in the precondition does not match",
    ));
    cockpit.ask(inject(Fault::PodDelete, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("precondition"), "{reason}");
}

#[tokio::test]
async fn a_stopped_process_has_a_clock_beside_it_and_is_let_go() {
    let (fake, mut cockpit) = running_client(&[
        ("sleep 15", Exec::Exit("", "", 0)),
        ("kill -STOP", Exec::Exit("", "", 0)),
        ("kill -CONT", Exec::Exit("", "", 0)),
        PID,
    ])
    .await;
    cockpit.ask(inject(Fault::ProcessStop, "c")).await;
    assert_eq!(injected(&mut cockpit).await.pid, Some(17));
    until("the stop", || fake.state().deeds.len() == 3).await;
    // The clock first: a cockpit that dies now leaves nobody stopped for ever.
    let clock = fake.state().deeds[1].clone();
    assert!(clock.contains("sleep 15"), "{clock}");
    assert!(clock.contains("kill -CONT $(pidof Job)"), "{clock}");
    assert_eq!(
        fake.state().deeds[2],
        "exec c sh -c kill -STOP $(pidof Job)"
    );
    cockpit.ask(heal()).await;
    cockpit
        .hear("the heal's clock", |fact| {
            matches!(fact, Fact::HealSent { .. })
        })
        .await;
    cockpit
        .hear("the heal", |fact| matches!(fact, Fact::Healed { .. }))
        .await;
    assert_eq!(
        fake.state().deeds[3],
        "exec c sh -c kill -CONT $(pidof Job)"
    );
}

fn heal() -> Effect {
    Effect::Heal {
        trial: TrialId(1),
        fault: Fault::ProcessStop,
        victim: victim("c"),
    }
}

#[tokio::test]
async fn a_stop_that_did_not_work_is_refused_and_one_without_a_clock_is_not() {
    let (_fake, mut cockpit) = running_client(&[
        ("sleep 15", Exec::Exit("", "not here", 126)),
        ("kill -STOP", Exec::Exit("", "not permitted", 1)),
        PID,
    ])
    .await;
    cockpit.ask(inject(Fault::ProcessStop, "c")).await;
    injected(&mut cockpit).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("not permitted"), "{reason}");
}

#[tokio::test]
async fn what_is_gone_needs_no_heal_and_what_cannot_be_healed_is_trouble() {
    for (answers, is_healed) in [
        (
            &[
                ("kill -CONT", Exec::Exit("", "usage", 2)),
                ("pidof Job", Exec::Exit("", "", 1)),
            ][..],
            true,
        ),
        (
            &[("kill -CONT", Exec::Refused(404, "pods \"c\" not found"))],
            true,
        ),
        (
            &[("kill -CONT", Exec::Refused(500, "no route to the node"))],
            false,
        ),
        (
            &[("kill -CONT", Exec::Exit("", "not permitted", 1)), PID],
            false,
        ),
    ] {
        let (_fake, mut cockpit) = running_client(answers).await;
        cockpit.ask(heal()).await;
        let fact = cockpit
            .hear("an answer", |fact| {
                matches!(fact, Fact::Healed { .. } | Fact::Trouble(_))
            })
            .await;
        assert_eq!(matches!(fact, Fact::Healed { .. }), is_healed, "{fact:?}");
    }
}

#[tokio::test]
async fn all_of_a_container_is_killed_with_one_command() {
    let (fake, mut cockpit) = running_client(&[("kill -9 -1", Exec::Dies), PID]).await;
    cockpit.ask(inject(Fault::ContainerKill, "c")).await;
    assert_eq!(injected(&mut cockpit).await.pid, Some(17));
    until("the kill", || fake.state().deeds.len() == 2).await;
    assert_eq!(fake.state().deeds[1], "exec c sh -c kill -9 -1");
}

/// Linux ignores what a process inside a pid namespace sends to its process 1.
#[tokio::test]
async fn process_1_is_not_even_tried() {
    for fault in [Fault::ProcessKill, Fault::ProcessStop, Fault::ContainerKill] {
        let (fake, mut cockpit) = running_client(&[("pidof Job", Exec::Exit("1\n", "", 0))]).await;
        cockpit.ask(inject(fault, "c")).await;
        let reason = cockpit.hear_refusal().await;
        assert!(reason.contains("process 1 of its container"), "{reason}");
        assert_eq!(fake.state().deeds, ["exec c pidof Job"]);
    }
}

#[tokio::test]
async fn a_read_only_cockpit_refuses_everything() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    let server = format!("http://{}", fake.address);
    let mut cockpit = Cockpit::with(&server, "{}", |options| options.read_only = true);
    for fault in Fault::ALL {
        cockpit.ask(inject(fault, "c")).await;
        assert!(cockpit.hear_refusal().await.contains("read-only"));
    }
    cockpit
        .ask(Effect::FinishRun {
            victim: victim("c"),
        })
        .await;
    cockpit
        .hear(
            "trouble",
            |fact| matches!(fact, Fact::Trouble(t) if t.what.contains("read-only")),
        )
        .await;
    assert!(fake.state().deeds.is_empty(), "{:?}", fake.state().deeds);
}

#[tokio::test]
async fn without_a_cluster_a_fault_is_refused_with_the_reason() {
    let mut cockpit = Cockpit::with("http://127.0.0.1:1", "{}", |_| {});
    cockpit.ask(inject(Fault::ProcessKill, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("nothing listens at"), "{reason}");
}

#[tokio::test]
async fn the_workload_is_asked_to_finish() {
    let (fake, mut cockpit) = running_client(&[("kill -USR1", Exec::Exit("", "", 0))]).await;
    cockpit
        .ask(Effect::FinishRun {
            victim: victim("c"),
        })
        .await;
    cockpit
        .hear("yes", |fact| *fact == Fact::FinishRequested)
        .await;
    assert_eq!(fake.state().deeds, ["exec c sh -c kill -USR1 $(pidof Job)"]);
    fake.state().execs = vec![("kill -USR1", Exec::Exit("", "usage: kill pid", 2))];
    cockpit
        .ask(Effect::FinishRun {
            victim: victim("c"),
        })
        .await;
    cockpit
        .hear(
            "trouble",
            |fact| matches!(fact, Fact::Trouble(t) if t.what.contains("usage: kill pid")),
        )
        .await;
}

#[tokio::test]
async fn a_sidecar_is_never_hit() {
    let fake = Fake::start().await;
    let mut meshed = pod("c", "client", 0, &running());
    meshed["spec"]["containers"].as_array_mut().unwrap().insert(
        0,
        serde_json::json!({"name": "istio-proxy", "args": ["proxy"]}),
    );
    fake.put_pod(&meshed);
    fake.state().execs = vec![("kill -9", Exec::Exit("", "", 0)), PID];
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Pods).await;
    let mut named = victim("c");
    named.container = "istio-proxy".to_owned();
    cockpit
        .ask(Effect::Inject {
            trial: TrialId(1),
            fault: Fault::ProcessKill,
            victim: named,
            lasts: None,
        })
        .await;
    assert_eq!(injected(&mut cockpit).await.container, "client");
    assert_eq!(fake.count("container=istio-proxy"), 0);
}

/// A container with a disk of its own, as its kernel lists it.
const DISK: &str = "\
700 600 0:90 / / rw,relatime - overlay overlay rw
704 700 8:1 /kubelet/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
707 700 8:32 / /data rw,relatime - ext4 /dev/sdc rw
/data/log-1
";

const ROOM: (&str, Exec) = (
    "df -Pk /data",
    Exec::Exit(
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sdc 1048576 1024 1047552 1% /data\n",
        "",
        0,
    ),
);

const FULL: &str = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sdc 1048576 1048576 0 100% /data\n";

fn fill_heal() -> Effect {
    Effect::Heal {
        trial: TrialId(1),
        fault: Fault::DiskFill,
        victim: victim("c"),
    }
}

#[tokio::test]
async fn a_disk_is_filled_that_ends_by_itself_and_room_is_made_again() {
    let (fake, mut cockpit) = running_client(&[
        ("cat /proc/self/mountinfo", Exec::Exit(DISK, "", 0)),
        ("aks-tui-fill-", Exec::Exit(FULL, "", 0)),
        ("aks-tui-fil[l]", Exec::Exit("", "", 0)),
        ROOM,
        PID,
    ])
    .await;
    cockpit.ask(inject(Fault::DiskFill, "c")).await;
    let named = injected(&mut cockpit).await;
    assert_eq!(named.volume.as_deref(), Some("/data"));
    assert_eq!(named.pid, Some(17));
    cockpit
        .hear("that it is full", |fact| {
            matches!(fact, Fact::VolumeFull { .. })
        })
        .await;
    let filler = fake.state().deeds.last().unwrap().clone();
    // The file has no name, and the cockpit's death does not matter.
    assert!(filler.contains("rm -f"), "{filler}");
    assert!(filler.ends_with("aks-tui-fill /data 15"), "{filler}");
    cockpit.ask(fill_heal()).await;
    cockpit
        .hear("the heal", |fact| matches!(fact, Fact::Healed { .. }))
        .await;
    let heal = fake.state().deeds.last().unwrap().clone();
    assert!(heal.contains("kill -9"), "{heal}");
}

#[tokio::test]
async fn what_is_not_the_pods_own_is_not_filled_and_what_is_not_full_is_no_fault() {
    let shared = "700 600 0:90 / / rw - overlay overlay rw\n\
                  704 700 8:1 /etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
                  705 700 8:1 /empty /data rw - ext4 /dev/sda1 rw\n";
    let (fake, mut cockpit) =
        running_client(&[("cat /proc/self/mountinfo", Exec::Exit(shared, "", 0)), PID]).await;
    cockpit.ask(inject(Fault::DiskFill, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("would hit the node"), "{reason}");
    assert!(!fake.state().deeds.iter().any(|deed| deed.contains("dd ")));

    for (answer, why) in [
        (Exec::Exit(ROOM_LEFT, "", 0), "it has room left"),
        (Exec::Exit("", "Read-only file system", 2), "Read-only"),
    ] {
        let (_fake, mut cockpit) = running_client(&[
            ("cat /proc/self/mountinfo", Exec::Exit(DISK, "", 0)),
            ("aks-tui-fill-", answer),
            ROOM,
            PID,
        ])
        .await;
        cockpit.ask(inject(Fault::DiskFill, "c")).await;
        injected(&mut cockpit).await;
        let reason = cockpit.hear_refusal().await;
        assert!(reason.contains(why), "{reason}");
    }
}

const ROOM_LEFT: &str = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sdc 1048576 524288 524288 50% /data\n";

#[tokio::test]
async fn the_menu_is_told_which_volume_it_would_be() {
    let look = |victim| Effect::LookForVolumes {
        victims: vec![victim],
    };
    let (_fake, mut cockpit) =
        running_client(&[("cat /proc/self/mountinfo", Exec::Exit(DISK, "", 0)), ROOM]).await;
    cockpit.ask(look(victim("c"))).await;
    let found = hear_volume(&mut cockpit).await.unwrap();
    assert_eq!((found.path.as_str(), found.size), ("/data", 1 << 30));

    let (_fake, mut cockpit) =
        running_client(&[("cat /proc/self/mountinfo", Exec::Exit("", "no", 126))]).await;
    cockpit.ask(look(victim("c"))).await;
    let why = hear_volume(&mut cockpit).await.unwrap_err();
    assert!(why.contains("its volumes cannot be looked at"), "{why}");
}

async fn hear_volume(cockpit: &mut Cockpit) -> Result<Volume, String> {
    let fact = cockpit
        .hear("what volume there is", |fact| {
            matches!(fact, Fact::DataVolume { .. })
        })
        .await;
    match fact {
        Fact::DataVolume {
            volume, why_not, ..
        } => volume.ok_or_else(|| why_not.unwrap()),
        other => panic!("{other:?}"),
    }
}
