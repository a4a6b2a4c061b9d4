//! Asking for the workload's deployment, or for its end.

use super::ui::{DeployUi, Dialog, REPLAYED, Ui};
use crate::core::{
    action::Action,
    deploy::{GONE_WITHIN, ROLLOUT_WITHIN, Request},
    effect::Effect,
    model::Model,
    workload::{Workload, order::Run},
};

/// What an action about a deployment leads to.
pub(super) fn act(ui: &mut Ui, live: &Model, action: Action) -> Result<Option<Effect>, String> {
    let mut asked = match ui.dialog.take() {
        Some(Dialog::Deploy(asked)) => asked,
        _ => DeployUi::default(),
    };
    let busy = live.deploy.stage.is_busy();
    if !busy {
        asked.scroll = 0;
        match action {
            Action::DeployFresh => asked.fresh = !asked.fresh,
            Action::DeployForce => asked.force = !asked.force,
            _ => asked = DeployUi::default(),
        }
    }
    let (fresh, force) = (asked.fresh, asked.force);
    ui.dialog = Some(Dialog::Deploy(asked));
    // Of a recording there is nobody to ask.
    if let Some(why) = ui.locked.filter(|why| *why == REPLAYED) {
        return Err(format!("{why}: nothing is asked of the cluster"));
    }
    if busy {
        // Looking at what goes on is no wish for more.
        return match action {
            Action::Deploy => Ok(None),
            _ => Err(format!("{} goes on: wait", live.deploy.stage.words())),
        };
    }
    Ok(Some(match action {
        Action::Undeploy | Action::UndeployStorage => Effect::PlanUndeploy {
            workload: Some(Workload::Perftest),
            storage: action == Action::UndeployStorage,
        },
        _ => Effect::PlanDeploy(Box::new(Request {
            workload: Workload::Perftest,
            order: ui.order.clone().over(live.azure.order()),
            run: if fresh { Run::Fresh } else { Run::Present },
            force,
        })),
    }))
}

/// Accept in the dialog: asks for the word, or, when it was typed, begins.
pub(super) fn accept(ui: &mut Ui, live: &Model) -> Result<Option<Effect>, String> {
    let Some(Dialog::Deploy(asked)) = &mut ui.dialog else {
        return Ok(None);
    };
    let offered = live.deploy.offer(asked.force);
    let plan = offered.inspect_err(|_| asked.typed = None)?;
    if let Some(why) = ui.locked {
        return Err(format!("{why}: nothing is changed"));
    }
    match &asked.typed {
        None => {
            asked.typed = Some(String::new());
            asked.scroll = 0;
            Ok(None)
        }
        Some(typed) if typed == plan.word() => {
            asked.typed = None;
            let plan = Box::new(plan.clone());
            Ok(Some(if plan.removes() {
                Effect::Undeploy {
                    plan,
                    within: GONE_WITHIN,
                }
            } else {
                Effect::Deploy {
                    plan,
                    force: asked.force,
                    within: ROLLOUT_WITHIN,
                }
            }))
        }
        Some(_) => Err(format!("type {} to go on, Esc to leave it", plan.word())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        deploy::{Change, Conflict, Plan, Planned},
        event::{Event, Fact},
        time::Time,
    };

    fn planned(change: Change, conflicts: Vec<Conflict>) -> Model {
        let mut model = Model::default();
        let plan = Plan {
            namespace: "place".into(),
            objects: vec![Planned {
                kind: "Service".into(),
                name: "x".into(),
                change,
                fields: Vec::new(),
                object: serde_json::Value::Null,
            }],
            conflicts,
            ..Plan::default()
        };
        tell(&mut model, Fact::DeployPlanned(Box::new(plan)));
        model
    }

    fn tell(model: &mut Model, fact: Fact) {
        model.apply(&Event {
            at: Time::ZERO,
            fact,
        });
    }

    fn typed(ui: &mut Ui, word: &str) {
        if let Some(Dialog::Deploy(asked)) = &mut ui.dialog {
            asked.typed = Some(word.to_owned());
        }
    }

    #[test]
    fn looking_is_one_key_and_deploying_takes_a_word() {
        let model = planned(Change::Create, Vec::new());
        let mut ui = Ui::new(1);
        ui.order.rate = Some("1MiB".into());
        let asked = act(&mut ui, &model, Action::Deploy).unwrap();
        let Some(Effect::PlanDeploy(request)) = asked else {
            panic!("{asked:?}")
        };
        assert_eq!(
            (request.order.rate.as_deref(), request.run),
            (Some("1MiB"), Run::Present)
        );
        assert_eq!(accept(&mut ui, &model), Ok(None), "first it asks");
        typed(&mut ui, "y");
        assert!(accept(&mut ui, &model).unwrap_err().contains("type yes"));
        typed(&mut ui, "yes");
        let begun = accept(&mut ui, &model).unwrap();
        assert!(
            matches!(begun, Some(Effect::Deploy { force: false, .. })),
            "{begun:?}"
        );
    }

    #[test]
    fn what_belongs_to_others_is_taken_over_only_when_asked() {
        let conflict = Conflict {
            object: "Service x".into(),
            field: ".spec.ports".into(),
            owner: "helm".into(),
        };
        let model = planned(Change::Change, vec![conflict]);
        let mut ui = Ui::new(1);
        act(&mut ui, &model, Action::Deploy).unwrap();
        assert!(
            accept(&mut ui, &model)
                .unwrap_err()
                .contains("belongs to helm")
        );
        let asked = act(&mut ui, &model, Action::DeployForce).unwrap();
        assert!(matches!(asked, Some(Effect::PlanDeploy(request)) if request.force));
        typed(&mut ui, "yes");
        let begun = accept(&mut ui, &model).unwrap();
        assert!(matches!(begun, Some(Effect::Deploy { force: true, .. })));
    }

    #[test]
    fn taking_away_asks_for_the_namespace() {
        let model = planned(Change::Delete, Vec::new());
        let mut ui = Ui::new(1);
        let asked = act(&mut ui, &model, Action::UndeployStorage);
        assert_eq!(
            asked,
            Ok(Some(Effect::PlanUndeploy {
                workload: Some(Workload::Perftest),
                storage: true,
            }))
        );
        typed(&mut ui, "yes");
        assert!(accept(&mut ui, &model).unwrap_err().contains("type place"));
        typed(&mut ui, "place");
        assert!(matches!(
            accept(&mut ui, &model),
            Ok(Some(Effect::Undeploy { .. }))
        ));
    }

    #[test]
    fn what_goes_on_is_looked_at_and_not_begun_again() {
        let mut model = planned(Change::Create, Vec::new());
        tell(&mut model, Fact::DeployBegan { removes: false });
        let mut ui = Ui::new(1);
        assert_eq!(act(&mut ui, &model, Action::Deploy), Ok(None));
        assert!(
            act(&mut ui, &model, Action::Undeploy)
                .unwrap_err()
                .contains("goes on")
        );
        assert!(accept(&mut ui, &model).unwrap_err().contains("goes on"));
    }

    #[test]
    fn a_locked_screen_looks_and_changes_nothing() {
        let model = planned(Change::Create, Vec::new());
        let mut ui = Ui::new(1);
        ui.locked = Some("--read-only");
        assert!(act(&mut ui, &model, Action::Deploy).is_ok());
        assert!(accept(&mut ui, &model).unwrap_err().contains("--read-only"));
        ui.locked = Some(REPLAYED);
        assert!(act(&mut ui, &model, Action::Deploy).is_err());
    }
}
