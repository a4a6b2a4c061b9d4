use aks_tui::core::{
    action::Action,
    azure::{
        clean::{Fate, Object, Preview, Scope},
        desk::{Seen, Wish},
        plan::{
            Account, Action as Becomes, Change, Check, Cost, Delta, Paid, Plan, Price, Verdict,
        },
        progress::{Progress, Resource, State},
    },
    event::Fact,
};

use crate::{drawn::at_sizes, story::Story};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 36)];

pub fn pictures(name: &str, story: Story, actions: &[Action]) {
    at_sizes(&SIZES, story, actions, |size, text| {
        insta::assert_snapshot!(format!("{name}_{size}"), text);
    });
}

fn change(kind: &str, name: &str, action: Becomes) -> Change {
    Change {
        id: format!("/{name}"),
        kind: kind.to_owned(),
        name: name.to_owned(),
        action,
        deltas: Vec::new(),
        folded: 0,
    }
}

fn plan() -> Plan {
    let mut cluster = change(
        "Microsoft.ContainerService/managedClusters",
        "xyz-cluster",
        Becomes::Modify,
    );
    cluster.deltas.push(Delta {
        path: "properties.agentPoolProfiles.0.count".to_owned(),
        before: Some("2".to_owned()),
        after: Some("3".to_owned()),
    });
    Plan {
        account: Account {
            how: "az login".to_owned(),
            name: "Testing".to_owned(),
            subscription: "33333333-3333-3333-3333-333333333333".to_owned(),
            tenant: "11111111-1111-1111-1111-111111111111".to_owned(),
            group: "xyz-group".to_owned(),
            location: "eastus".to_owned(),
        },
        made_before: false,
        checks: vec![Check {
            name: "quota".to_owned(),
            verdict: Verdict::Doubt,
            what: "no room for the node more that an upgrade needs".to_owned(),
        }],
        changes: vec![
            change(
                "Microsoft.ContainerRegistry/registries",
                "xyzcontainerreg",
                Becomes::Create,
            ),
            cluster,
            change(
                "Microsoft.Storage/storageAccounts",
                "xyzstorage",
                Becomes::Keep,
            ),
        ],
        cost: Some(Cost {
            currency: "USD".to_owned(),
            items: vec![Price {
                what: "3 × Standard_D2s_v5".to_owned(),
                per_hour: 0.288,
                paid: Paid::Nodes,
            }],
            leaves_out: vec!["the nodes' disks".to_owned()],
        }),
        seconds: 300,
    }
}

fn tell(story: &mut Story, all: Vec<Seen>) {
    for seen in all {
        story.tell(Fact::Azure(seen));
    }
}

#[test]
fn a_plan_and_the_question_before_it_is_carried_out() {
    let mut story = Story::killed_once();
    tell(
        &mut story,
        vec![
            Seen::Began { wish: Wish::Plan },
            Seen::Planned(Box::new(plan())),
            Seen::Ended {
                wish: Wish::Plan,
                failure: None,
            },
        ],
    );
    pictures(
        "plan",
        story,
        &[Action::AzurePlan, Action::Accept, Action::Type('y')],
    );
}

#[test]
fn every_resource_says_how_far_it_is() {
    let mut story = Story::killed_once();
    let resource = |kind: &str, name: &str, state, word: &str, seconds, error: Option<&str>| {
        Seen::Progress(Progress::Resource(Resource {
            kind: kind.to_owned(),
            name: name.to_owned(),
            state,
            word: word.to_owned(),
            seconds,
            error: error.map(str::to_owned),
        }))
    };
    tell(
        &mut story,
        vec![
            Seen::Began {
                wish: Wish::Provision,
            },
            Seen::Progress(Progress::Step {
                doing: "deploy to xyz-group".to_owned(),
            }),
            resource(
                "Microsoft.Storage/storageAccounts",
                "xyzstorage",
                State::Done,
                "Succeeded",
                Some(21.4),
                None,
            ),
            resource(
                "Microsoft.ContainerService/managedClusters",
                "xyz-cluster",
                State::Running,
                "Running",
                None,
                None,
            ),
            resource(
                "Microsoft.ContainerRegistry/registries",
                "xyzcontainerreg",
                State::Failed,
                "Failed",
                Some(3.0),
                Some("the name is taken (AlreadyInUse)"),
            ),
        ],
    );
    pictures("progress", story, &[Action::Azure]);
}

#[test]
fn what_a_clean_deletes_and_what_stands_in_its_way() {
    let mut story = Story::killed_once();
    let object = |kind: &str, name: &str, fate, note: &str| Object {
        id: format!("/{name}"),
        kind: kind.to_owned(),
        name: name.to_owned(),
        fate,
        note: note.to_owned(),
    };
    let preview = Preview {
        scope: Scope::All,
        group: "xyz-group".to_owned(),
        objects: vec![
            object(
                "cluster",
                "xyz-cluster",
                Fate::GoesAlong,
                "with its nodes and everything that runs on them",
            ),
            object(
                "container registry",
                "theirs",
                Fate::Objects,
                "not made by aks-tui; --also theirs lets it go",
            ),
            object("resource group", "xyz-group", Fate::Delete, ""),
        ],
        refused: Vec::new(),
    };
    tell(
        &mut story,
        vec![
            Seen::Began {
                wish: Wish::Preview(Scope::All),
            },
            Seen::Previewed(preview),
            Seen::Ended {
                wish: Wish::Preview(Scope::All),
                failure: None,
            },
        ],
    );
    pictures("clean", story, &[Action::AzureClean, Action::Accept]);
}
