//! Label and field selectors: which objects a list, a watch or a controller
//! means.

use serde_json::Value;

/// A label selector, either as written in a query (`app=web,tier in (a, b)`)
/// or as an object in a spec (`matchLabels`, `matchExpressions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    Absent,
}

impl LabelSelector {
    /// Parses the query form.
    ///
    /// # Errors
    /// A sentence that says where the text stopped making sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut requirements = Vec::new();
        while !rest.is_empty() {
            let (requirement, after) =
                requirement(rest).map_err(|why| format!("unable to parse requirement: {why}"))?;
            requirements.push(requirement);
            rest = match after.trim_start() {
                "" => "",
                after => match after.strip_prefix(',') {
                    Some(next) if !next.trim().is_empty() => next.trim_start(),
                    _ => {
                        return Err(format!(
                            "unable to parse requirement: found '{after}', expected: ',' or 'end of string'"
                        ));
                    }
                },
            };
        }
        Ok(Self(requirements))
    }

    /// Reads the object form; an absent one selects nothing, an empty one
    /// everything, as in the API.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let object = selector.as_object()?;
        let mut requirements = Vec::new();
        let labels = object.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![value.as_str()?.to_owned()],
            });
        }
        let expressions = object.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let values = expression["values"].as_array();
            requirements.push(Requirement {
                key: expression["key"].as_str()?.to_owned(),
                operator: match expression["operator"].as_str()? {
                    "In" => Operator::In,
                    "NotIn" => Operator::NotIn,
                    "Exists" => Operator::Exists,
                    "DoesNotExist" => Operator::Absent,
                    _ => return None,
                },
                values: values
                    .into_iter()
                    .flatten()
                    .filter_map(|value| value.as_str().map(str::to_owned))
                    .collect(),
            });
        }
        Some(Self(requirements))
    }

    /// Whether it has no requirement and so selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let label = labels.get(&requirement.key).and_then(Value::as_str);
            let listed = |label| requirement.values.iter().any(|value| value == label);
            match requirement.operator {
                Operator::In => label.is_some_and(listed),
                Operator::NotIn => !label.is_some_and(listed),
                Operator::Exists => label.is_some(),
                Operator::Absent => label.is_none(),
            }
        })
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let (key, values) = (&requirement.key, requirement.values.join(","));
            match requirement.operator {
                Operator::In if requirement.values.len() == 1 => write!(f, "{key}={values}")?,
                Operator::NotIn if requirement.values.len() == 1 => write!(f, "{key}!={values}")?,
                Operator::In => write!(f, "{key} in ({values})")?,
                Operator::NotIn => write!(f, "{key} notin ({values})")?,
                Operator::Exists => write!(f, "{key}")?,
                Operator::Absent => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

/// Reads one requirement and returns what follows it.
fn requirement(text: &str) -> Result<(Requirement, &str), String> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = word(rest.trim_start());
        return Ok((made(key, Operator::Absent, vec![])?, rest));
    }
    let (key, rest) = word(text);
    let rest = rest.trim_start();
    for (sign, operator) in [
        ("==", Operator::In),
        ("!=", Operator::NotIn),
        ("=", Operator::In),
    ] {
        if let Some(rest) = rest.strip_prefix(sign) {
            let (value, rest) = word(rest.trim_start());
            return Ok((made(key, operator, vec![value.to_owned()])?, rest));
        }
    }
    for (name, operator) in [("notin", Operator::NotIn), ("in", Operator::In)] {
        if let Some(list) = rest.strip_prefix(name)
            && let Some(list) = list.trim_start().strip_prefix('(')
        {
            let (values, rest) = list
                .split_once(')')
                .ok_or_else(|| format!("found '{list}', expected: ')'"))?;
            let values = values.split(',').map(|value| value.trim().to_owned());
            return Ok((made(key, operator, values.collect())?, rest));
        }
    }
    Ok((made(key, Operator::Exists, vec![])?, rest))
}

fn made(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, String> {
    if key.is_empty() {
        return Err("found '', expected: identifier".to_owned());
    }
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let odd = |text: &str| text.len() > 63 || !text.chars().all(is_label_char);
    if name.is_empty() || odd(name) {
        return Err(format!("invalid label key {key:?}"));
    }
    if let Some(value) = values.iter().find(|value| odd(value)) {
        return Err(format!("invalid label value: {value:?}"));
    }
    Ok(Requirement {
        key: key.to_owned(),
        operator,
        values,
    })
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn word(text: &str) -> (&str, &str) {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '=' | '!' | '(' | ')');
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// A field selector: `metadata.name=x,status.phase!=Running`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// Parses the query form, allowing only the fields in `known`.
    ///
    /// # Errors
    /// A sentence in the server's words.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in text
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty())
        {
            let (field, equal, value) = [("!=", false), ("==", true), ("=", true)]
                .into_iter()
                .find_map(|(sign, equal)| {
                    let (field, value) = term.split_once(sign)?;
                    Some((field.trim(), equal, value.trim()))
                })
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{term}'"))?;
            if !known.contains(&field) {
                return Err(format!("field label not supported: {field}"));
            }
            terms.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(terms))
    }

    /// Whether it has no term and so selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object is selected. An absent field reads as empty, an
    /// absent truth value as false.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, wanted)| {
            // The event table calls the component that reported it `source`.
            let field = match field.as_str() {
                "source" => "source.component",
                field => field,
            };
            let found = field.split('.').try_fold(object, |at, name| at.get(name));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None if wanted == "false" => "false".to_owned(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (text == *wanted) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(labels)
    }

    #[test]
    fn every_label_operator_selects_as_documented() {
        let labels = json!({"app": "web", "tier": "front"});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app=db", false),
            ("app!=db", true),
            ("zone!=db", true),
            ("app in (db, web)", true),
            ("app in (db)", false),
            ("app notin (db,cache)", true),
            ("zone notin (a)", true),
            ("app", true),
            ("zone", false),
            ("!zone", true),
            ("!app", false),
            ("app,!zone,tier in (front)", true),
            ("app=", false),
            ("index", false),
        ] {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn a_label_selector_that_makes_no_sense_is_refused() {
        for text in [
            "=a", "a in (b", "a b", "a=b,", "a=b,,c", "a=b c", "a=$", "a/=b", "!",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_object_form_selects_like_the_query_form() {
        let object = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "zone", "operator": "DoesNotExist"},
            ],
        });
        let selector = LabelSelector::from_object(&object).unwrap();
        assert!(selector.matches(&json!({"app": "web", "tier": "front"})));
        assert!(!selector.matches(&json!({"app": "web", "tier": "back"})));
        assert!(!selector.matches(&json!({"app": "web", "zone": "z"})));
        assert_eq!(selector.to_string(), "app=web,tier!=back,!zone");
        assert!(LabelSelector::from_object(&Value::Null).is_none());
        assert!(LabelSelector::from_object(&json!({})).unwrap().is_empty());
    }

    #[test]
    fn fields_are_compared_as_text_and_absent_ones_are_empty() {
        let known = ["metadata.name", "spec.nodeName", "spec.unschedulable"];
        let pod = json!({"metadata": {"name": "a"}, "spec": {}});
        for (selector, expected) in [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("spec.unschedulable=false", true),
            ("metadata.name=a,spec.nodeName=n", false),
        ] {
            let parsed = FieldSelector::parse(selector, &known).unwrap();
            assert_eq!(parsed.matches(&pod), expected, "{selector}");
        }
        assert_eq!(
            FieldSelector::parse("spec.foo=1", &known).unwrap_err(),
            "field label not supported: spec.foo"
        );
        assert!(FieldSelector::parse("nonsense", &known).is_err());
    }
}
