//! Faults that need more than a shell in the container: networks and nodes.

use std::collections::BTreeMap;

use aks_tui::core::{
    around::Ability,
    effect::Effect,
    event::Fact,
    trial::{Fault, TrialId},
};
use serde_json::{Value, json};

use crate::{
    cockpit::{Cockpit, inject, victim},
    fake::{Exec, Fake, pod, running, until},
};

async fn told(cockpit: &mut Cockpit, which: Ability) -> Option<String> {
    let fact = cockpit
        .hear(
            "an ability",
            |fact| matches!(fact, Fact::Able { ability, .. } if *ability == which),
        )
        .await;
    match fact {
        Fact::Able { why_not, .. } => why_not,
        other => panic!("{other:?}"),
    }
}

async fn a_client() -> Fake {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.state().execs = vec![("pidof Job", Exec::Exit("17\n", "", 0))];
    fake
}

fn heal(fault: Fault) -> Effect {
    Effect::Heal {
        trial: TrialId(1),
        fault,
        victim: victim("c"),
    }
}

async fn hear_injected(cockpit: &mut Cockpit) {
    let fact = cockpit
        .hear("the injection", |fact| {
            matches!(fact, Fact::FaultInjected { .. } | Fact::FaultRefused { .. })
        })
        .await;
    assert!(matches!(fact, Fact::FaultInjected { .. }), "{fact:?}");
}

async fn hear_healed(cockpit: &mut Cockpit) {
    let fact = cockpit
        .hear("the heal", |fact| {
            matches!(fact, Fact::Healed { .. } | Fact::Trouble(_))
        })
        .await;
    assert!(matches!(fact, Fact::Healed { .. }), "{fact:?}");
}

#[tokio::test]
async fn what_a_cluster_cannot_do_it_is_said_not_to_do() {
    let fake = a_client().await;
    let mut cockpit = Cockpit::at(&fake);
    let why = told(&mut cockpit, Ability::Network).await.unwrap();
    assert!(why.contains("no Chaos Mesh here"), "{why}");

    let fake = a_client().await;
    let mut cockpit = Cockpit::at(&fake);
    let why = told(&mut cockpit, Ability::Power).await.unwrap();
    assert!(why.contains("look at the nodes"), "{why}");

    let fake = a_client().await;
    fake.state().node = Some(node(&json!({})));
    let mut cockpit = Cockpit::at(&fake);
    let why = told(&mut cockpit, Ability::Power).await.unwrap();
    assert!(why.contains("no node here has a power switch"), "{why}");

    let fake = a_client().await;
    fake.state().chaos = Some(BTreeMap::new());
    fake.state().denied = vec!["create"];
    let mut cockpit = Cockpit::at(&fake);
    let why = told(&mut cockpit, Ability::Network).await.unwrap();
    assert!(why.contains("may not create networkchaos"), "{why}");
}

#[tokio::test]
async fn a_network_fault_is_an_object_that_goes_when_it_is_healed() {
    for (fault, action) in [
        (Fault::NetworkCut, "partition"),
        (Fault::NetworkDelay, "delay"),
        (Fault::NetworkLoss, "loss"),
    ] {
        let fake = a_client().await;
        fake.state().chaos = Some(BTreeMap::new());
        let mut cockpit = Cockpit::at(&fake);
        assert_eq!(told(&mut cockpit, Ability::Network).await, None);
        cockpit.ask(inject(fault, "c")).await;
        hear_injected(&mut cockpit).await;
        until("there is a fault", || chaos(&fake).len() == 1).await;
        let object = chaos(&fake).pop().unwrap();
        assert_eq!(object["spec"]["action"], action, "{object:#}");
        assert_eq!(object["spec"]["selector"]["pods"]["default"][0], "c");
        // Who dies meanwhile leaves nobody cut off for ever.
        assert_eq!(object["spec"]["duration"], "25s", "{object:#}");
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "aks-tui");
        assert_eq!(labels["aks-tui.dev/victim"], "uid-c");
        cockpit.ask(heal(fault)).await;
        hear_healed(&mut cockpit).await;
        assert!(chaos(&fake).is_empty());
    }
}

fn chaos(fake: &Fake) -> Vec<Value> {
    fake.state()
        .chaos
        .iter()
        .flatten()
        .map(|(_, object)| object.clone())
        .collect()
}

#[tokio::test]
async fn what_an_earlier_run_left_is_found_and_can_be_healed() {
    let fake = a_client().await;
    let left = json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
        "metadata": {"name": "aks-tui-3-0badcafe", "namespace": "default",
            "labels": {"app.kubernetes.io/managed-by": "aks-tui"}}});
    fake.state().chaos = Some(BTreeMap::from([("aks-tui-3-0badcafe".to_owned(), left)]));
    fake.state().node = Some(node(
        &json!({"aks-tui.dev/power": "off", "aks-tui.dev/powered-off-by": "aks-tui"}),
    ));
    let mut cockpit = Cockpit::at(&fake);
    cockpit
        .hear("the leftovers", |fact| {
            matches!(fact, Fact::Leftovers { what } if what[0].contains("aks-tui-3-0badcafe"))
        })
        .await;
    assert_eq!(chaos(&fake).len(), 1, "nothing is healed unasked");
    cockpit.ask(Effect::HealLeftovers).await;
    cockpit
        .hear(
            "no leftovers",
            |fact| matches!(fact, Fact::Leftovers { what } if what.is_empty()),
        )
        .await;
    assert!(chaos(&fake).is_empty());
    let deeds = fake.state().deeds.clone();
    assert!(deeds.iter().any(|deed| is_switch(deed, "on")), "{deeds:?}");
}

fn node(annotations: &Value) -> Value {
    json!({"metadata": {"name": "node", "annotations": annotations},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn is_switch(deed: &str, to: &str) -> bool {
    deed.starts_with("patch node ") && deed.contains(&format!("\"aks-tui.dev/power\":\"{to}\""))
}

#[tokio::test]
async fn a_node_is_switched_off_and_on_by_its_annotation() {
    let fake = a_client().await;
    // The same answer serves whoever asks for the node by its name.
    fake.state().annotations = json!({"aks-tui.dev/power": "on"});
    fake.state().node = Some(node(&json!({"aks-tui.dev/power": "on"})));
    let mut cockpit = Cockpit::at(&fake);
    assert_eq!(told(&mut cockpit, Ability::Power).await, None);
    cockpit
        .ask(Effect::LookAtNode {
            node: "node".to_owned(),
        })
        .await;
    let fact = cockpit
        .hear("its pods", |fact| matches!(fact, Fact::OnNode { .. }))
        .await;
    let Fact::OnNode { residents, .. } = fact else {
        panic!("{fact:?}");
    };
    assert_eq!(residents.pods[0].name, "default/c");
    assert!(residents.any_foreign(), "nobody labelled it ours");
    cockpit.ask(inject(Fault::NodeOff, "c")).await;
    hear_injected(&mut cockpit).await;
    let switched = |to: &'static str| {
        let fake = &fake;
        move || fake.state().deeds.iter().any(|deed| is_switch(deed, to))
    };
    until("it is off", switched("off")).await;
    cockpit.ask(heal(Fault::NodeOff)).await;
    hear_healed(&mut cockpit).await;
    assert!(switched("on")());

    // Without a switch nothing is tried.
    fake.state().annotations = json!({});
    fake.state().deeds.clear();
    cockpit.ask(inject(Fault::NodeOff, "c")).await;
    let reason = cockpit.hear_refusal().await;
    assert!(reason.contains("has no power switch"), "{reason}");
    assert!(!switched("off")());
}
