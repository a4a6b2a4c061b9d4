//! What a person typed after `/`: a regular expression that never fails hard.

use regex::{Regex, RegexBuilder};

/// A filter or search as typed.
///
/// Lower case matches both cases; a leading `!` inverts. What is no regular
/// expression is taken literally, and [`Pattern::problem`] says so: a filter
/// that silently shows every row would lie.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    typed: String,
    inverted: bool,
    regex: Option<Regex>,
    problem: Option<String>,
}

impl Pattern {
    /// Reads what was typed.
    pub fn new(typed: &str) -> Self {
        let (inverted, text) = match typed.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, typed),
        };
        if text.is_empty() {
            return Self {
                typed: typed.to_owned(),
                ..Self::default()
            };
        }
        let build = |text: &str| {
            RegexBuilder::new(text)
                .case_insensitive(!text.chars().any(char::is_uppercase))
                .size_limit(1 << 20)
                .build()
        };
        let (regex, problem) = match build(text) {
            Ok(regex) => (Some(regex), None),
            Err(error) => {
                let why = error.to_string();
                let why = why
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                (
                    build(&regex::escape(text)).ok(),
                    Some(format!("taken literally: {why}")),
                )
            }
        };
        Self {
            typed: typed.to_owned(),
            inverted,
            regex,
            problem,
        }
    }

    /// What was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Whether everything matches because nothing was asked for.
    pub const fn is_empty(&self) -> bool {
        self.regex.is_none()
    }

    /// What is odd about it, if anything is.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether a text passes.
    pub fn matches(&self, text: &str) -> bool {
        self.regex
            .as_ref()
            .is_none_or(|regex| regex.is_match(text) != self.inverted)
    }

    /// The byte ranges of a text to highlight.
    pub fn ranges<'a>(
        &'a self,
        text: &'a str,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        let regex = self.regex.as_ref().filter(|_| !self.inverted);
        regex
            .into_iter()
            .flat_map(|regex| regex.find_iter(text))
            .map(|found| found.range())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_matters_once_a_capital_is_typed() {
        assert!(Pattern::new("done").matches("DONE"));
        assert!(!Pattern::new("Done").matches("DONE"));
    }

    #[test]
    fn an_exclamation_mark_inverts() {
        assert!(!Pattern::new("!done").matches("DONE"));
        assert!(Pattern::new("!done").matches("*X* 16\t0.1"));
        assert!(Pattern::new("!").matches("anything"));
    }

    #[test]
    fn what_is_no_expression_is_literal_and_says_so() {
        let pattern = Pattern::new("*X* 16");
        assert!(pattern.matches("*X* 16\t0.1") && !pattern.matches("X 16"));
        assert!(pattern.problem().unwrap().starts_with("taken literally"));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_can_be_matched(typed: String, text: String) {
            let pattern = Pattern::new(&typed);
            pattern.matches(&text);
            for range in pattern.ranges(&text) {
                prop_assert!(text.get(range).is_some());
            }
        }
    }
}
