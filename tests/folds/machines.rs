//! Trials of what Azure does to the machine of the victim's node.

use aks_tui::core::{
    around::{Ability, Node},
    azure::{bed::Told, machines::Machine},
    event::Fact,
    time::Time,
    trial::{Fault, Phase, State},
    update::{
        fault::{leftovers, obstacle, offered},
        ui::Ui,
    },
};

use crate::story::{Client, Does, Server, Story, pod, victim};

fn injected(fault: Fault) -> Story {
    let mut story = Story::of_a_running_workload();
    story.node("n1", true).node("n2", true);
    story.at(2_000).injects(1, fault, victim(Server, "s", 0));
    story
}

#[test]
fn a_restarted_machine_is_seen_from_not_ready_to_ready_again() {
    let mut story = injected(Fault::NodeRestart);
    story.at(2_100).progress(Client, 1, 104);
    story.at(42_000).node("n1", false);
    assert_eq!(story.state(1), &State::NodeDown);
    story.at(60_000).node("n1", true);
    assert_eq!(
        story.phases(1),
        [(Phase::Detect, 40_000), (Phase::Boot, 18_000)]
    );
    story.at(61_000).pod(Server, "s", 1, Does::Runs);
    assert_eq!(story.state(1), &State::Restarted);
    story.at(61_500).pod(Server, "s", 1, Does::RunsReady);
    story.at(61_600).progress(Server, 2, 105);
    story.at(61_700).progress(Client, 1, 106);
    story.at(61_800).progress(Server, 2, 107);
    let trial = story.trial(1);
    assert!(trial.survived() && !trial.is_unhealed());
    assert_eq!(trial.marks.node_back, Some(Time::from_millis(60_000)));
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 40_000),
            (Phase::Boot, 18_000),
            (Phase::Restart, 1_000),
            (Phase::Ready, 500),
            (Phase::Recover, 200)
        ]
    );
    assert_eq!(story.rto(1), Some(59_700));
}

/// The cluster waits before it calls a node dead, and this one is back sooner: work
/// says when it was away.
#[test]
fn a_machine_that_is_back_before_anybody_missed_it_was_away_since_work_stopped() {
    let mut story = injected(Fault::NodeRestart);
    story.at(5_000).progress(Client, 1, 104);
    story.at(25_000).pod(Server, "s", 1, Does::RunsReady);
    story.at(25_200).progress(Server, 2, 105);
    story.at(25_300).progress(Client, 1, 106);
    story.at(25_400).progress(Server, 2, 107);
    assert!(story.trial(1).survived());
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 3_000),
            (Phase::Restart, 20_000),
            (Phase::Ready, 0),
            (Phase::Recover, 300)
        ]
    );
}

/// A fresh disk knows no number of restarts: the container's id tells.
#[test]
fn a_reimaged_node_runs_its_pods_as_if_for_the_first_time() {
    let mut story = injected(Fault::NodeReimage);
    story.at(42_000).node("n1", false);
    story.at(90_000).node("n1", true);
    story.at(91_000).pod(Server, "s", 0, Does::Runs);
    assert_eq!(story.state(1), &State::NodeDown, "that is the old account");
    let mut anew = pod(Server, "s", 0, Does::RunsReady);
    anew.containers[0].id = Some("s/anew".into());
    story.at(92_000).sees(Fact::Pod(Box::new(anew)));
    assert_eq!(story.state(1), &State::Ready);
    story.at(92_100).progress(Server, 2, 105);
    story.at(92_200).progress(Client, 1, 106);
    story.at(92_300).progress(Server, 2, 107);
    assert!(story.trial(1).survived());
    assert_eq!(story.trial(1).phase(Phase::Boot).as_secs(), 48);
}

#[test]
fn a_deallocated_node_loses_its_pod_and_is_started_when_the_trial_is_over() {
    let mut story = injected(Fault::NodeDeallocate);
    story.at(42_000).node("n1", false);
    let mut leaving = pod(Server, "s", 0, Does::Runs);
    leaving.deleting = true;
    story.at(342_000).sees(Fact::Pod(Box::new(leaving)));
    assert_eq!(story.state(1), &State::Down);
    assert_eq!(story.trial(1).heal_due(), None, "not before it is over");
    story.at(344_000).pod(Server, "s2", 0, Does::RunsReady);
    story.at(344_100).progress(Server, 2, 105);
    story.at(344_200).progress(Client, 1, 106);
    story.at(344_300).progress(Server, 2, 107);
    assert!(story.trial(1).survived());
    assert_eq!(story.trial(1).phase(Phase::Evict).as_secs(), 300);
    assert_eq!(story.trial(1).heal_due(), Some(Time::ZERO));
    story.at(345_000).heal_sent(1);
    story.at(385_000).node("n1", true).healed(1);
    let trial = story.trial(1);
    assert!(!trial.is_unhealed() && trial.survived());
    assert_eq!(trial.marks.node_back, Some(Time::from_millis(385_000)));
    assert_eq!(trial.phase(Phase::Boot).as_secs(), 0, "its pod was gone");
    assert_eq!(story.rto(1), Some(342_200));
}

const MACHINE: &str = "/subscriptions/s/resourceGroups/MC_g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-p-1-vmss/virtualMachines/0";

fn machine(id: &str, power: &str) -> Machine {
    Machine {
        node: "n1".into(),
        pool: "p".into(),
        id: id.into(),
        power: power.into(),
    }
}

fn on_azure(machines: Vec<Machine>) -> Story {
    let mut story = Story::of_a_running_workload();
    let mut pod = pod(Server, "s", 0, Does::RunsReady);
    pod.node = Some("n1".into());
    story.sees(Fact::Pod(Box::new(pod)));
    story.sees(Fact::Node(Node {
        name: "n1".into(),
        ready: true,
        machine: Some(MACHINE.to_lowercase()),
        ..Node::default()
    }));
    story.sees(Fact::Bed(Told::Machines(machines)));
    story
}

fn why_not(story: &Story) -> Option<String> {
    obstacle(&Ui::new(0), &story.model, Fault::NodeRestart, Server)
}

#[test]
fn azures_faults_are_offered_where_its_machines_can_be_seen() {
    let mut story = on_azure(vec![machine(MACHINE, "running")]);
    assert!(!offered(&story.model).contains(&Fault::NodeRestart));
    assert!(offered(&story.model).contains(&Fault::NodeOff));
    assert!(why_not(&story).unwrap().contains("not asked yet"));
    story.sees(Fact::Able {
        ability: Ability::Machines,
        why_not: None,
    });
    assert!(offered(&story.model).contains(&Fault::NodeRestart));
    assert!(!offered(&story.model).contains(&Fault::NodeOff));
    assert_eq!(why_not(&story), None);
    // A test bed may have a node of the same name, and be another.
    let other = MACHINE.replace("MC_g", "MC_other");
    story.sees(Fact::Bed(Told::Machines(vec![machine(&other, "running")])));
    assert!(why_not(&story).unwrap().contains("not the machine"));
    story.sees(Fact::Bed(Told::Machines(Vec::new())));
    assert!(
        why_not(&story)
            .unwrap()
            .contains("no machine of the test bed")
    );
    story.sees(Fact::Bed(Told::Machines(vec![machine(MACHINE, "stopped")])));
    assert!(why_not(&story).unwrap().contains("stopped"));
}

/// Found by what Azure says, not by what any cockpit remembers.
#[test]
fn a_machine_that_an_earlier_cockpit_stopped_is_offered_to_be_healed() {
    let story = on_azure(vec![machine(MACHINE, "deallocated")]);
    assert_eq!(leftovers(&story.model), ["node n1 is deallocated in Azure"]);
    let story = on_azure(vec![machine(MACHINE, "running")]);
    assert!(leftovers(&story.model).is_empty());
}
