//! The command palette: every action by name, best match first.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};

use crate::core::action::{Bindable, CATALOGUE};

/// The actions whose name or description fits what was typed, best first; all
/// of them while nothing is typed.
pub fn matches(typed: &str) -> Vec<&'static Bindable> {
    let all = CATALOGUE.iter().filter(|entry| entry.palette);
    if typed.trim().is_empty() {
        return all.collect();
    }
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    // In a sentence any letters can be found; words say something.
    let words = Pattern::new(
        typed,
        CaseMatching::Ignore,
        Normalization::Smart,
        AtomKind::Substring,
    );
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut scored: Vec<_> = all
        .filter_map(|entry| {
            let name = entry.name.replace('_', " ");
            let by_name = pattern.score(Utf32Str::new(&name, &mut buffer), &mut matcher);
            let by_help = words.score(Utf32Str::new(entry.help, &mut buffer), &mut matcher);
            // A name that fits says more than a description that does.
            let score = by_name.map(|score| score * 2).max(by_help)?;
            Some((score, entry))
        })
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_found_by_a_few_letters_of_its_name() {
        assert_eq!(matches("kill pr")[0].name, "kill_process");
        assert_eq!(matches("ownlog")[0].name, "own_log");
        assert!(matches("zzzz").is_empty());
    }

    #[test]
    fn what_only_makes_sense_as_a_key_is_not_offered() {
        assert!(matches("").iter().all(|entry| entry.name != "backspace"));
    }
}
