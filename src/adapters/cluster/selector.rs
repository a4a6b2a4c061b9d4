//! Label selectors as people type them, in kubectl's language.
//!
//! `app=x`, `tier!=db`, `env in (a,b)`, `env notin (a,b)`, `canary`,
//! `!canary`, and any of these joined by commas.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "label selector `{selector}`: {why}; write it as kubectl does, e.g. `app=perftest,tier in (a,b)`"
)]
pub struct SelectorError {
    selector: String,
    why: String,
}

/// Reads a selector. It must select by at least one label: one that matches
/// every pod of a namespace is never meant.
pub fn parse(text: &str) -> Result<Selector, SelectorError> {
    let wrong = |why: String| SelectorError {
        selector: text.to_owned(),
        why,
    };
    let mut selector = Selector::default();
    for part in split(text) {
        let expression = requirement(part.trim()).map_err(wrong)?;
        selector.extend(expression);
    }
    Ok(selector)
}

/// At the commas that are not inside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
}

fn requirement(text: &str) -> Result<Expression, String> {
    if text.is_empty() {
        return Err("a requirement is missing".to_owned());
    }
    if let Some(rest) = text.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(key(rest)?));
    }
    if let Some((left, right)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(key(left)?, value(right)?));
    }
    if let Some((left, right)) = text.split_once('=') {
        let right = right.strip_prefix('=').unwrap_or(right);
        return Ok(Expression::Equal(key(left)?, value(right)?));
    }
    if let Some((left, set)) = text.split_once('(') {
        let (name, operator) = left
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or_else(|| format!("`{text}` has a set but no key and operator"))?;
        let values = set
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| format!("`{text}` lacks its closing parenthesis"))?
            .split(',')
            .map(value)
            .collect::<Result<BTreeSet<_>, _>>()?;
        return match operator {
            "in" => Ok(Expression::In(key(name)?, values)),
            "notin" => Ok(Expression::NotIn(key(name)?, values)),
            _ => Err(format!("`{operator}` is neither `in` nor `notin`")),
        };
    }
    Ok(Expression::Exists(key(text)?))
}

/// A label's key: an optional DNS prefix and a slash, then a name.
fn key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.split_once('/').unwrap_or(("", text));
    let prefix_fits = prefix.len() <= 253
        && prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && (!text.contains('/') || !prefix.is_empty());
    if prefix_fits && !name.is_empty() && is_name(name) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a label key"))
    }
}

fn value(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a label value"))
    }
}

fn is_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn every_operator_of_kubectl_is_read() {
        let labels = [("app", "perf"), ("app.kubernetes.io/component", "client")];
        for (selector, expected) in [
            ("app=perf", true),
            ("app==perf", true),
            ("app!=perf", false),
            (" app = perf , app.kubernetes.io/component=client ", true),
            ("app in (perf, other),!canary", true),
            ("app notin (perf,other)", false),
            ("canary notin (yes)", true),
            ("canary", false),
            ("app.kubernetes.io/component", true),
            ("canary!=yes", true),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn a_selector_that_is_wrong_says_where() {
        for (selector, hint) in [
            ("", "missing"),
            ("app=x,", "missing"),
            ("app in (a,b", "parenthesis"),
            ("app within (a)", "within"),
            ("(a)", "key and operator"),
            ("app=a b", "label value"),
            ("=x", "label key"),
            ("/name=x", "label key"),
            ("a/b/c=x", "label key"),
        ] {
            let error = parse(selector).unwrap_err().to_string();
            assert!(error.contains(hint), "{selector}: {error}");
            assert!(error.contains("kubectl"), "{error}");
        }
    }
}
