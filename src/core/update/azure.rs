//! Asking for something in Azure.

use super::ui::{AzureUi, Dialog, REPLAYED, Ui};
use crate::core::{
    action::Action,
    azure::{clean::Scope, desk::Wish},
    effect::Effect,
    model::Model,
};

/// What an action about Azure leads to.
pub(super) fn act(ui: &mut Ui, live: &Model, action: Action) -> Result<Option<Effect>, String> {
    if !matches!(ui.dialog, Some(Dialog::Azure(_))) {
        ui.dialog = Some(Dialog::Azure(AzureUi::default()));
    }
    let wish = match action {
        Action::AzurePlan => Wish::Plan,
        Action::AzureClean => Wish::Preview(Scope::All),
        Action::AzureCleanMost => Wish::Preview(Scope::Most),
        Action::AzureCleanAuth => Wish::Preview(Scope::Auth),
        Action::AzureCleanLogs => Wish::Preview(Scope::Logs),
        Action::AzureCancel => {
            return if live.azure.busy.is_some() {
                Ok(Some(Effect::Azure(Wish::Cancel)))
            } else {
                Err("nothing is being done in Azure".to_owned())
            };
        }
        _ => return Ok(None),
    };
    // Of a recording there is nobody to ask.
    if let Some(why) = ui.locked.filter(|why| *why == REPLAYED) {
        return Err(format!("{why}: nothing is asked of Azure"));
    }
    if let Some((busy, _)) = live.azure.busy {
        return Err(format!("{} goes on: wait, or cancel it", busy.words()));
    }
    Ok(Some(Effect::Azure(wish)))
}

/// Accept in the dialog: asks for the word, or, when it was typed, begins.
pub(super) fn accept(ui: &mut Ui, live: &Model) -> Result<Option<Effect>, String> {
    let Some(Dialog::Azure(azure)) = &mut ui.dialog else {
        return Ok(None);
    };
    let (wish, word) = live.azure.offer().inspect_err(|_| azure.typed = None)?;
    if let Some(why) = ui.locked {
        return Err(format!("{why}: nothing is changed"));
    }
    match &azure.typed {
        None => {
            azure.typed = Some(String::new());
            Ok(None)
        }
        Some(typed) if *typed == word => {
            azure.typed = None;
            Ok(Some(Effect::Azure(wish)))
        }
        Some(_) => Err(format!("type {word} to go on, Esc to leave it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        azure::{
            clean::{Fate, Object, Preview},
            desk::Seen,
        },
        time::Time,
    };

    fn with_preview() -> Model {
        let mut model = Model::default();
        let object = Object {
            id: "/g".to_owned(),
            kind: "resource group".to_owned(),
            name: "xyz-group".to_owned(),
            fate: Fate::Delete,
            note: String::new(),
        };
        let preview = Preview {
            scope: Scope::All,
            group: "xyz-group".to_owned(),
            objects: vec![object],
            refused: Vec::new(),
        };
        model.azure.apply(Time::ZERO, &Seen::Previewed(preview));
        model
    }

    fn typed(ui: &mut Ui, word: &str) {
        if let Some(Dialog::Azure(azure)) = &mut ui.dialog {
            azure.typed = Some(word.to_owned());
        }
    }

    #[test]
    fn looking_is_one_key_and_deleting_takes_the_groups_name() {
        let model = with_preview();
        let mut ui = Ui::new(1);
        let asked = act(&mut ui, &model, Action::AzureClean);
        assert_eq!(asked, Ok(Some(Effect::Azure(Wish::Preview(Scope::All)))));
        assert_eq!(accept(&mut ui, &model), Ok(None), "first it asks");
        typed(&mut ui, "xyz");
        assert!(accept(&mut ui, &model).is_err());
        typed(&mut ui, "xyz-group");
        let begun = accept(&mut ui, &model);
        assert_eq!(begun, Ok(Some(Effect::Azure(Wish::Clean(Scope::All)))));
    }

    #[test]
    fn while_something_is_done_nothing_else_begins() {
        let mut model = with_preview();
        let wish = Wish::Clean(Scope::All);
        model.azure.apply(Time::ZERO, &Seen::Began { wish });
        let mut ui = Ui::new(1);
        assert!(act(&mut ui, &model, Action::AzurePlan).is_err());
        let cancel = act(&mut ui, &model, Action::AzureCancel);
        assert_eq!(cancel, Ok(Some(Effect::Azure(Wish::Cancel))));
        assert!(accept(&mut ui, &model).is_err());
    }

    #[test]
    fn a_locked_screen_looks_and_changes_nothing() {
        let model = with_preview();
        let mut ui = Ui::new(1);
        ui.locked = Some("--read-only");
        assert!(act(&mut ui, &model, Action::AzurePlan).is_ok());
        assert!(accept(&mut ui, &model).unwrap_err().contains("--read-only"));
    }
}
