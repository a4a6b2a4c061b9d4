//! The view of Azure, drawn.

use std::time::Duration;

use aks_tui::core::{
    action::Action,
    azure::{
        bed::{Cluster, Deed, Sight, Thing, Told},
        desk::{Seen, Wish},
        plan::Account,
        progress::Progress,
        spent::Spent,
    },
    event::Fact,
};

use crate::{
    drawn::{SIZES, at_sizes},
    story::Story,
};

fn pictures(name: &str, story: Story, actions: &[Action]) {
    at_sizes(&SIZES, story, actions, |size, text| {
        insta::assert_snapshot!(format!("{name}_{size}"), text);
    });
}

/// So many hours before the story begins.
fn hours_ago(story: &Story, hours: i64) -> i64 {
    story.model.run.as_ref().unwrap().wall_ms - hours * 3_600_000
}

fn thing(kind: &str, name: &str, state: &str, per_hour: Option<f64>) -> Thing {
    Thing {
        id: format!("/subscriptions/s/resourceGroups/xyz-group/providers/x/{name}"),
        kind: kind.to_owned(),
        name: name.to_owned(),
        state: state.to_owned(),
        per_hour,
        ours: true,
        more: vec![("location".to_owned(), "eastus".to_owned())],
        ..Thing::default()
    }
}

fn sight(story: &Story, power: &str) -> Sight {
    let made = Some(hours_ago(story, 3));
    let runs = power == "Running";
    let node = |number: u32| Thing {
        inside: true,
        ..thing(
            "node",
            &format!("aks-nodepool1-30616169-vmss00000{number}"),
            if runs { "running" } else { "deallocated" },
            Some(if runs { 0.096 } else { 0.0 }),
        )
    };
    let mut things = vec![
        thing("resource group", "xyz-group", "Succeeded", None),
        thing("cluster", "xyz-cluster", power, Some(0.03)),
        node(0),
        node(1),
        thing(
            "container registry",
            "xyzcontainerreg",
            "Succeeded",
            Some(0.007),
        ),
        thing("storage account", "xyzstorage", "Succeeded", None),
        Thing {
            ours: false,
            ..thing(
                "Microsoft.Network/publicIPAddresses",
                "theirs",
                "Succeeded",
                None,
            )
        },
    ];
    for thing in &mut things {
        if !thing.inside {
            thing.made_ms = made;
        }
    }
    let deed = |hours: i64, what: &str, whom: &str, status: &str, why: &str| Deed {
        at_ms: hours_ago(story, hours),
        what: what.to_owned(),
        whom: whom.to_owned(),
        status: status.to_owned(),
        by: "someone@example.com".to_owned(),
        why: why.to_owned(),
    };
    Sight {
        account: Account {
            how: "az login".to_owned(),
            name: "Testing".to_owned(),
            subscription: "33333333-3333-3333-3333-333333333333".to_owned(),
            tenant: "11111111-1111-1111-1111-111111111111".to_owned(),
            group: "xyz-group".to_owned(),
            location: "eastus".to_owned(),
        },
        cluster: Some(Cluster {
            name: "xyz-cluster".to_owned(),
            power: power.to_owned(),
            state: "Succeeded".to_owned(),
            version: "1.36.2".to_owned(),
        }),
        per_hour: Some(things.iter().filter_map(|thing| thing.per_hour).sum()),
        things,
        activity: vec![
            deed(1, "start", "cluster xyz-cluster", "Succeeded", ""),
            deed(2, "stop", "cluster xyz-cluster", "Succeeded", ""),
            deed(
                2,
                "delete",
                "storage account xyzstorage",
                "Failed",
                "it is locked by keep (ScopeLocked)",
            ),
            deed(3, "write", "cluster xyz-cluster", "Succeeded", ""),
        ],
        spent: Some(Spent {
            currency: "USD".to_owned(),
            total: 0.53,
            since_ms: hours_ago(story, 3),
            ran_ms: 2 * 3_600_000,
            there_ms: 3 * 3_600_000,
        }),
        leaves_out: vec![
            "the nodes' disks".to_owned(),
            "traffic out of the region".to_owned(),
        ],
        unseen: Vec::new(),
    }
}

fn seen(power: &str) -> Story {
    let mut story = Story::killed_once();
    let sight = sight(&story, power);
    story.tell(Fact::Bed(Told::Sight(Box::new(sight))));
    story
}

#[test]
fn what_there_is_what_it_costs_and_what_was_done() {
    pictures("view", seen("Running"), &[Action::Azure, Action::Down]);
}

#[test]
fn a_cluster_that_is_being_stopped() {
    let mut story = seen("Stopped");
    let wish = Wish::Switch { on: false };
    story.tell(Fact::Azure(Seen::Began { wish }));
    let doing = "stop the cluster xyz-cluster".to_owned();
    story.tell(Fact::Azure(Seen::Progress(Progress::Step { doing })));
    pictures("view_stops", story, &[Action::Azure, Action::FocusNext]);
}

#[test]
fn a_question_before_the_power_is_switched() {
    let actions = [Action::Azure, Action::SwitchCluster, Action::Type('y')];
    pictures("view_asks", seen("Running"), &actions);
}

#[test]
fn a_thing_in_full() {
    let actions = [Action::Azure, Action::Down, Action::Accept];
    pictures("view_thing", seen("Running"), &actions);
}

#[test]
fn why_nothing_can_be_seen() {
    let mut story = Story::killed_once();
    story.tell(Fact::Bed(Told::Blind {
        why: "there are no settings here: `aks-tui init` makes them, --config names others"
            .to_owned(),
        again: Duration::from_secs(10),
    }));
    pictures("view_blind", story, &[Action::Azure]);
}
