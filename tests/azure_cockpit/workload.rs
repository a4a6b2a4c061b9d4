use aks_tui::core::{
    action::Action,
    deploy::{Change, Conflict, Field, Plan, Planned, Progress},
    event::{Fact, Trouble},
    workload::{
        Role,
        order::{Order, Storage},
    },
};
use serde_json::{Value, json};

use crate::{pictures::pictures, story::Story};

const CLIENT: &str = "generated-perftestclient-6d9f7b5c44-x2x7p";

fn planned(kind: &str, name: &str, change: Change) -> Planned {
    Planned {
        kind: kind.into(),
        name: name.into(),
        change,
        fields: Vec::new(),
        object: Value::Null,
    }
}

fn plan() -> Plan {
    let image = Field {
        path: "spec.template.spec.containers[perftestclient].image".into(),
        before: Some(json!("xyz.azurecr.io/aks-tui/perftest:1")),
        after: Some(json!("xyz.azurecr.io/aks-tui/perftest:2")),
    };
    let mut client = planned("Deployment", "generated-perftestclient", Change::Change);
    client.fields.push(image);
    Plan {
        context: "xyz-cluster".into(),
        namespace: "default".into(),
        order: Order {
            image: Some("xyz.azurecr.io/aks-tui/perftest:2".into()),
            storage: Some(Storage::Share {
                share: "ambrosia-logs-smbshare".into(),
                resource_group: None,
            }),
            ..Order::default()
        },
        run: "run-20251122-093000".into(),
        resumes: true,
        objects: vec![
            planned("PersistentVolume", "perftest-logs", Change::Same),
            planned("Service", "generated-perftestserver", Change::Create),
            planned("Deployment", "generated-perftestserver", Change::Create),
            client,
        ],
        notes: vec![
            "run-20251122-093000 goes on where it is: its own number of rounds and sizes win over -n 0"
                .into(),
        ],
        ..Plan::default()
    }
}

fn told(facts: Vec<Fact>) -> Story {
    let mut story = Story::killed_once();
    for fact in facts {
        story.tell(fact);
    }
    story
}

fn begun() -> Story {
    let mut story = told(vec![
        Fact::DeployPlanning,
        Fact::DeployPlanned(Box::new(plan())),
        Fact::DeployBegan { removes: false },
    ]);
    for object in plan().objects.iter().take(3) {
        story.wait(130);
        let object = format!("{} {}", object.kind, object.name);
        story.tell(Fact::DeployApplied { object });
    }
    story
}

fn rollout(role: Role, ready: bool, waits_for: Option<&str>) -> Fact {
    Fact::Rollout(Progress {
        role,
        ready,
        waits_for: waits_for.map(str::to_owned),
    })
}

#[test]
fn a_plan_and_the_question_before_the_cluster_is_changed() {
    let planned = || {
        told(vec![
            Fact::DeployPlanning,
            Fact::DeployPlanned(Box::new(plan())),
        ])
    };
    pictures("deploy_plan", planned(), &[Action::Deploy]);
    let asked = [Action::Deploy, Action::Accept, Action::Type('y')];
    pictures("deploy_question", planned(), &asked);
}

#[test]
fn what_belongs_to_others_and_what_cannot_be_planned() {
    let mut conflicts = plan();
    conflicts.conflicts.push(Conflict {
        object: "Deployment generated-perftestclient".into(),
        field: ".spec.replicas".into(),
        owner: "kubectl-edit".into(),
    });
    let conflicting = told(vec![Fact::DeployPlanned(Box::new(conflicts))]);
    pictures("deploy_conflict", conflicting, &[Action::Deploy]);
    let trouble = Trouble::new(
        "you may not create deployments in namespace `default`",
        "ask for the role, or choose another namespace or context",
    );
    let failed = told(vec![Fact::DeployPlanning, Fact::DeployFailed(trouble)]);
    pictures("deploy_refused", failed, &[Action::Deploy]);
}

#[test]
fn every_object_and_both_sides_say_how_far_they_are() {
    let mut story = begun();
    story.tell(rollout(Role::Server, true, None));
    let image = "image xyz.azurecr.io/aks-tui/perftest:2: ErrImagePull: 401 Unauthorized";
    story.tell(rollout(Role::Client, false, Some(image)));
    story.wait(4_300);
    pictures("deploy_rollout", story, &[Action::Deploy]);
}

#[test]
fn done_is_when_the_new_client_works() {
    let serves = || {
        let mut story = begun();
        story.wait(2_000);
        story.tell(rollout(Role::Server, true, None));
        story.tell(rollout(Role::Client, true, None));
        let client = CLIENT.to_owned();
        story.tell(Fact::RolledOut { client });
        story
    };
    let mut waiting = serves();
    waiting.wait(12_000);
    pictures("deploy_waiting", waiting, &[Action::Deploy]);
    let mut working = serves();
    working.tell(Fact::LogBegan {
        role: Role::Client,
        pod: CLIENT.to_owned(),
        restart: 0,
    });
    working.works(400);
    // What is done is looked at, not planned again: the screen is as it was left.
    pictures("deploy_done", working, &[Action::Deploy]);
}

#[test]
fn taking_it_away_names_what_goes_and_what_stays() {
    let going = || Plan {
        objects: vec![
            planned("Deployment", "generated-perftestserver", Change::Delete),
            planned("Deployment", "generated-perftestclient", Change::Delete),
            planned("PersistentVolumeClaim", "perftest-logs", Change::Leave),
        ],
        notes: Vec::new(),
        ..plan()
    };
    let planned = told(vec![Fact::DeployPlanned(Box::new(going()))]);
    pictures(
        "undeploy_plan",
        planned,
        &[Action::Undeploy, Action::Accept],
    );
    let mut gone = told(vec![
        Fact::DeployPlanned(Box::new(going())),
        Fact::DeployBegan { removes: true },
    ]);
    for object in ["server", "client"] {
        gone.wait(400);
        let object = format!("Deployment generated-perftest{object}");
        gone.tell(Fact::DeployApplied { object });
    }
    gone.tell(Fact::DeployRemoved);
    pictures("undeploy_done", gone, &[Action::Undeploy]);
}
