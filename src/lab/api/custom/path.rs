//! The paths by which the columns of custom objects find their values: the
//! simple part of kubectl's JSONPath.

use serde_json::Value;

/// A path: `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items of a list whose field is, or is not, this value.
    Filter(JsonPath, bool, Value),
}

impl JsonPath {
    /// Reads a path; none when it is not one that is understood here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
                bracket(inner)?
            } else {
                field(rest.strip_prefix('.')?)?
            };
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|it| step.from(it)).collect();
        }
        found.into_iter().next()
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = value.as_array().map(Vec::as_slice);
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let items = items.unwrap_or_default();
                let place = if *index < 0 {
                    items.len().checked_sub(index.unsigned_abs() as usize)
                } else {
                    Some(*index as usize)
                };
                place
                    .and_then(|place| items.get(place))
                    .into_iter()
                    .collect()
            }
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Filter(path, equal, wanted) => {
                let means = |item: &&Value| {
                    path.first(item)
                        .is_some_and(|found| (found == wanted) == *equal)
                };
                items.unwrap_or_default().iter().filter(means).collect()
            }
        }
    }
}

/// A name after a dot; dots in it are written `\.`.
fn field(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            '.' | '[' => {
                end = at;
                break;
            }
            letter => name.push(letter),
        }
    }
    let step = match name.as_str() {
        "" => return None,
        "*" => Step::All,
        _ => Step::Field(name),
    };
    Some((step, &text[end..]))
}

/// What is between brackets, and what comes after them.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(filter) = text.strip_prefix("?(@") {
        let (condition, after) = filter.split_once(")]")?;
        let (path, equal, value) = if let Some((path, value)) = condition.split_once("==") {
            (path, true, value)
        } else {
            let (path, value) = condition.split_once("!=")?;
            (path, false, value)
        };
        let path = JsonPath::parse(path.trim())?;
        return Some((Step::Filter(path, equal, literal(value.trim())?), after));
    }
    let (inside, after) = text.split_once(']')?;
    let step = match inside {
        "*" => Step::All,
        quoted if quoted.starts_with(['\'', '"']) => {
            Step::Field(literal(quoted)?.as_str()?.to_owned())
        }
        number => Step::Index(number.parse().ok()?),
    };
    Some((step, after))
}

fn literal(text: &str) -> Option<Value> {
    match text.strip_prefix('\'') {
        Some(rest) => Some(Value::from(rest.strip_suffix('\'')?)),
        None => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_to_the_first_value() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "note"}},
            "spec": {"list": [1, 2, 3]},
            "status": {"conditions": [
                {"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, expected) in [
            (".spec.list[0]", json!(1)),
            (".spec.list[-1]", json!(3)),
            (".spec.list[*]", json!(1)),
            (".metadata.annotations.a\\.b/c", json!("note")),
            (".metadata.annotations['a.b/c']", json!("note")),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type!='Ready')].status",
                json!("False"),
            ),
        ] {
            let path = JsonPath::parse(path).unwrap();
            assert_eq!(path.first(&object), Some(&expected), "{path:?}");
        }
        assert_eq!(JsonPath::parse(".a.b").unwrap().first(&object), None);
    }

    #[test]
    fn what_is_no_path_is_none() {
        for text in ["", ".", "spec", ".a[", ".a[x]", ".a[?(@.b)]", ".a..b"] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }
}
