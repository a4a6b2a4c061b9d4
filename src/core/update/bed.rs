//! The view of Azure: what is selected there, and the power of the cluster.

use super::ui::{Dialog, ListUi, Place, REPLAYED, Ui};
use crate::core::{
    action::Action,
    azure::{
        bed::{Look, Sight},
        desk::Wish,
    },
    effect::Effect,
    model::Model,
};

/// What this screen knows of the view.
#[derive(Debug, Clone, Default)]
pub struct BedUi {
    /// The list of what is there.
    pub things: ListUi,
    /// The list of what was done.
    pub activity: ListUi,
    /// Keys go to what was done.
    pub on_activity: bool,
    /// Rows that each list has on the screen, as it was drawn last.
    pub rows: [u16; 2],
}

/// A question before the cluster's power is switched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PowerUi {
    /// Whether it is to run.
    pub on: bool,
    /// What was typed of the word that confirms.
    pub typed: String,
}

/// What must be typed before the cluster's power is switched.
pub const WORD: &str = "yes";

/// What an action of the view leads to.
pub(super) fn act(ui: &mut Ui, live: &Model, action: Action) -> Result<Option<Effect>, String> {
    match action {
        Action::Azure => go(ui, Place::Azure),
        Action::Cockpit => go(ui, Place::Cockpit),
        Action::LookAgain => {
            if let Some(why) = ui.locked.filter(|why| *why == REPLAYED) {
                return Err(format!("{why}: nothing is asked of Azure"));
            }
            return Ok(Some(Effect::LookAtAzure(Look::Now)));
        }
        Action::SwitchCluster => ask(ui, live)?,
        _ => {}
    }
    Ok(None)
}

fn go(ui: &mut Ui, place: Place) {
    ui.place = place;
    ui.dialog = None;
}

/// Asks before the cluster is stopped or started.
fn ask(ui: &mut Ui, live: &Model) -> Result<(), String> {
    if let Some(why) = ui.locked {
        return Err(format!("{why}: nothing is changed"));
    }
    if let Some((busy, _)) = live.azure.busy {
        return Err(format!("{} goes on: wait, or cancel it", busy.words()));
    }
    let sight = live.bed.sight.as_ref();
    let Some(sight) = sight else {
        return Err("nobody has looked yet whether there is a cluster".to_owned());
    };
    let Some(cluster) = &sight.cluster else {
        return Err("there is no cluster to start or stop".to_owned());
    };
    if sight
        .things
        .iter()
        .any(|it| it.kind == "cluster" && it.moves)
    {
        return Err(format!(
            "the cluster {} is {}: wait until that is over",
            cluster.name, cluster.state
        ));
    }
    ui.dialog = Some(Dialog::Power(PowerUi {
        on: !cluster.runs(),
        typed: String::new(),
    }));
    Ok(())
}

/// Accept in the question: switches, if the word was typed.
pub(super) fn confirm(ui: &mut Ui, power: PowerUi) -> Result<Option<Effect>, String> {
    if power.typed.trim() == WORD {
        return Ok(Some(Effect::Azure(Wish::Switch { on: power.on })));
    }
    ui.dialog = Some(Dialog::Power(power));
    Err(format!("type {WORD} to go on, or leave it"))
}

/// The list that has the focus, and how long it is.
fn list<'a>(ui: &'a mut Ui, live: &Model) -> (&'a mut ListUi, usize) {
    let sight = ui.frozen.as_deref().unwrap_or(live).bed.sight.as_ref();
    let length = |of: fn(&Sight) -> usize| sight.map_or(0, of);
    if ui.bed.on_activity {
        let len = length(|sight| sight.activity.len());
        (&mut ui.bed.activity, len)
    } else {
        let len = length(|sight| sight.things.len());
        (&mut ui.bed.things, len)
    }
}

/// Moves in the list that has the focus.
pub(super) fn scroll(ui: &mut Ui, live: &Model, by: isize) {
    let (list, len) = list(ui, live);
    list.cursor = list.window(len, 1).1;
    list.step(by, len);
    // What is new comes first: the row that was chosen is stayed at.
    list.follow = false;
}

/// Chooses a row by its place on the screen.
pub(super) fn select(ui: &mut Ui, live: &Model, on_activity: bool, row: u16) {
    ui.bed.on_activity = on_activity;
    let height = ui.bed.rows[usize::from(on_activity)].into();
    let (list, len) = list(ui, live);
    let (window, _) = list.window(len, height);
    if window.start + usize::from(row) < window.end {
        list.to(window.start + usize::from(row), len);
        list.follow = false;
    }
}

/// Lists scroll as far as they must to show what is selected.
pub(super) fn sync(ui: &mut Ui, live: &Model) {
    let sight = ui.frozen.as_deref().unwrap_or(live).bed.sight.as_ref();
    let (things, deeds) = sight.map_or((0, 0), |it| (it.things.len(), it.activity.len()));
    let [first, second] = ui.bed.rows.map(usize::from);
    let bed = &mut ui.bed;
    bed.things.offset = bed.things.window(things, first).0.start;
    bed.activity.offset = bed.activity.window(deeds, second).0.start;
}

/// What is selected, in full: a title, and names with values.
pub(super) fn open(ui: &Ui, shown: &Model) -> Option<Dialog> {
    let sight = shown.bed.sight.as_ref()?;
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (title, facts) = if ui.bed.on_activity {
        let last = sight.activity.len().checked_sub(1)?;
        let deed = sight.activity.get(ui.bed.activity.cursor.min(last))?;
        let mut facts = vec![
            field("what", &deed.what),
            field("of", &deed.whom),
            field("status", &deed.status),
            field("by", &deed.by),
        ];
        if !deed.why.is_empty() {
            facts.push(field("because", &deed.why));
        }
        (deed.what.clone(), facts)
    } else {
        let thing = thing(ui, sight)?;
        let mut facts = vec![
            field("kind", &thing.kind),
            field("name", &thing.name),
            field("state", &thing.state),
            field(
                "made by",
                if thing.ours {
                    "aks-tui"
                } else {
                    "somebody else"
                },
            ),
        ];
        if let Some(price) = thing.per_hour {
            facts.push(field("an hour", &format!("{price:.4}")));
        }
        facts.extend(thing.more.iter().cloned());
        facts.push(field("id", &thing.id));
        (format!("{} {}", thing.kind, thing.name), facts)
    };
    Some(Dialog::Facts {
        title,
        facts,
        scroll: 0,
    })
}

fn thing<'a>(ui: &Ui, sight: &'a Sight) -> Option<&'a crate::core::azure::bed::Thing> {
    let last = sight.things.len().checked_sub(1)?;
    sight.things.get(ui.bed.things.cursor.min(last))
}

/// What is copied of the row that is selected.
pub(super) fn copied(ui: &Ui, shown: &Model) -> Option<String> {
    let sight = shown.bed.sight.as_ref()?;
    if ui.bed.on_activity {
        let last = sight.activity.len().checked_sub(1)?;
        let deed = &sight.activity[ui.bed.activity.cursor.min(last)];
        return Some(format!("{} {} {}", deed.what, deed.whom, deed.status));
    }
    thing(ui, sight).map(|thing| thing.id.clone())
}

/// What must be looked at after the screen was `before` and is now `ui`, and after
/// something was begun.
pub(super) fn looks(before: Place, ui: &Ui, effects: &[Effect]) -> Option<Effect> {
    if ui.locked == Some(REPLAYED) {
        return None;
    }
    let begun = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Azure(wish) if wish.changes()));
    let look = match (before, ui.place) {
        (Place::Cockpit, Place::Azure) => Look::Watch,
        (Place::Azure, Place::Cockpit) => Look::Away,
        (_, Place::Azure) if begun => Look::Soon,
        _ => return None,
    };
    Some(Effect::LookAtAzure(look))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        azure::bed::{Cluster, Thing, Told},
        time::Time,
        update::update,
    };

    fn model(power: &str, moves: bool) -> Model {
        let mut model = Model::default();
        let sight = Sight {
            cluster: Some(Cluster {
                name: "xyz".to_owned(),
                power: power.to_owned(),
                state: "Stopping".to_owned(),
                version: "1.36.2".to_owned(),
            }),
            things: vec![Thing {
                kind: "cluster".to_owned(),
                name: "xyz".to_owned(),
                moves,
                ..Thing::default()
            }],
            ..Sight::default()
        };
        model.bed.apply(Time::ZERO, &Told::Sight(Box::new(sight)));
        model
    }

    fn press(ui: &mut Ui, model: &Model, actions: &[Action]) -> Vec<Effect> {
        let presses = actions.iter();
        presses
            .flat_map(|action| update(ui, model, Time::ZERO, *action))
            .collect()
    }

    #[test]
    fn azure_is_watched_while_it_is_looked_at() {
        let model = Model::default();
        let mut ui = Ui::new(1);
        let effects = press(&mut ui, &model, &[Action::Azure, Action::Azure]);
        assert_eq!(effects, [Effect::LookAtAzure(Look::Watch)]);
        let effects = press(&mut ui, &model, &[Action::Back]);
        assert_eq!(effects, [Effect::LookAtAzure(Look::Away)]);
        ui.locked = Some(REPLAYED);
        assert_eq!(press(&mut ui, &model, &[Action::Azure]), []);
    }

    #[test]
    fn a_cluster_is_stopped_after_a_word() {
        let model = model("Running", false);
        let mut ui = Ui::new(1);
        press(&mut ui, &model, &[Action::Azure, Action::SwitchCluster]);
        assert_eq!(press(&mut ui, &model, &[Action::Accept]), []);
        let letters = WORD.chars().map(Action::Type).collect::<Vec<_>>();
        press(&mut ui, &model, &letters);
        let wish = Wish::Switch { on: false };
        let begun = press(&mut ui, &model, &[Action::Accept]);
        assert_eq!(
            begun,
            [Effect::Azure(wish), Effect::LookAtAzure(Look::Soon)]
        );
    }

    #[test]
    fn what_is_stopped_is_started_and_what_is_on_its_way_is_left_alone() {
        let mut ui = Ui::new(1);
        act(&mut ui, &model("Stopped", false), Action::SwitchCluster).unwrap();
        assert!(matches!(&ui.dialog, Some(Dialog::Power(power)) if power.on));
        let refused = act(&mut ui, &model("Running", true), Action::SwitchCluster);
        assert!(refused.unwrap_err().contains("Stopping"));
        let refused = act(&mut ui, &Model::default(), Action::SwitchCluster);
        assert!(refused.is_err());
    }
}
