//! From a template to the resources that it names: loops unrolled, nested
//! resources brought out, names and dependencies known.

use serde_json::{Map, Value, json};

use super::super::answer::ArmError;
use super::super::ids;
use super::super::template::Frame;
use super::{State, Step, unmet};

fn invalid(message: &str) -> ArmError {
    ArmError::bad(
        "InvalidTemplate",
        format!("Deployment template validation failed: '{message}'."),
    )
}

/// The resources of a template.
///
/// # Errors
/// When it is not well formed, names the same resource twice, or one depends
/// on what it does not name.
pub fn steps(frame: &Frame<'_>) -> Result<Vec<Step>, ArmError> {
    let mut steps = Vec::new();
    match &frame.template["resources"] {
        Value::Array(all) => {
            for raw in all {
                unroll(frame, None, raw, None, &mut steps)?;
            }
        }
        Value::Object(all) => {
            for (symbol, raw) in all {
                unroll(frame, Some(symbol), raw, None, &mut steps)?;
            }
        }
        _ => return Err(invalid("The template has no 'resources'")),
    }
    for (at, step) in steps.iter().enumerate() {
        if steps[..at]
            .iter()
            .any(|it| ids::key(&it.id) == ids::key(&step.id))
        {
            return Err(invalid(&format!(
                "The resource '{}' at line '1' and column '1' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details.",
                step.id
            )));
        }
    }
    resolve(&mut steps)?;
    Ok(steps)
}

/// One resource, or as many as its loop makes, with those nested in it.
fn unroll(
    frame: &Frame<'_>,
    symbol: Option<&String>,
    raw: &Value,
    parent: Option<(&str, &str)>,
    steps: &mut Vec<Step>,
) -> Result<(), ArmError> {
    if raw["existing"] == true {
        return Ok(());
    }
    if raw["copy"].is_null() {
        return one(frame, symbol, raw, parent, steps);
    }
    let name = raw["copy"]["name"].as_str().unwrap_or_default();
    let count = frame.count(&raw["copy"]["count"]).map_err(unmet)?;
    for index in 0..count {
        let mut copies = frame.copies.to_vec();
        copies.push((name.to_owned(), index));
        let frame = Frame {
            copies: &copies,
            ..*frame
        };
        one(&frame, symbol, raw, parent, steps)?;
    }
    Ok(())
}

fn one(
    frame: &Frame<'_>,
    symbol: Option<&String>,
    raw: &Value,
    parent: Option<(&str, &str)>,
    steps: &mut Vec<Step>,
) -> Result<(), ArmError> {
    if !raw["condition"].is_null() && frame.evaluate(&raw["condition"]).map_err(unmet)? != true {
        return Ok(());
    }
    let text = |field: &str| -> Result<String, ArmError> {
        let value = frame.evaluate(&raw[field]).map_err(unmet)?;
        let text = value
            .as_str()
            .filter(|it| !it.is_empty() && !it.starts_with('['));
        text.map(str::to_owned).ok_or_else(|| {
            invalid(&format!(
                "The template resource has no valid '{field}': '{}'",
                raw[field]
            ))
        })
    };
    let (mut kind, mut name) = (text("type")?, text("name")?);
    text("apiVersion")?;
    if let Some((parent_kind, parent_name)) = parent {
        kind = format!("{parent_kind}/{kind}");
        name = format!("{parent_name}/{name}");
    }
    let scope = match &raw["scope"] {
        Value::Null => None,
        scope => Some(frame.evaluate(scope).map_err(unmet)?),
    };
    let id = id(frame, scope.as_ref().and_then(Value::as_str), &kind, &name)?;
    let mut depends = Vec::new();
    for each in raw["dependsOn"].as_array().into_iter().flatten() {
        let each = frame.evaluate(each).map_err(unmet)?;
        depends.push(each.as_str().unwrap_or_default().to_owned());
    }
    if parent.is_some()
        && let Some(above) = steps.last()
    {
        depends.push(above.id.clone());
    }
    let mut plain = raw.clone();
    if let Some(fields) = plain.as_object_mut() {
        for field in [
            "copy",
            "condition",
            "dependsOn",
            "resources",
            "scope",
            "comments",
            "metadata",
        ] {
            fields.remove(field);
        }
    }
    steps.push(Step {
        id,
        operation: format!("{:016X}", fastrand::u64(..)),
        symbol: symbol.cloned().unwrap_or_else(|| name.clone()),
        raw: plain,
        copies: frame.copies.to_vec(),
        depends,
        state: State::Waiting,
        provider: None,
        started: None,
        ended: None,
        error: None,
        status: 200,
    });
    for nested in raw["resources"].as_array().into_iter().flatten() {
        unroll(frame, None, nested, Some((&kind, &name)), steps)?;
    }
    Ok(())
}

/// The id of a resource. What is about another has that in front: as a scope,
/// or as `Type/providers/…` with the other's name first.
fn id(frame: &Frame<'_>, scope: Option<&str>, kind: &str, name: &str) -> Result<String, ArmError> {
    let group = frame.group;
    if let Some((about, extension)) = kind.split_once("/providers/") {
        let kinds = about.split('/').count() - 1;
        let names: Vec<&str> = name.split('/').collect();
        if names.len() < kinds + 2 {
            return Err(segments(kind, name));
        }
        let about = joined(group, about, &names[..kinds])?;
        // Behind the other's name stands the namespace, and then the own name.
        let kind = format!("{}/{extension}", names[kinds]);
        return joined(&about, &kind, &names[kinds + 1..]);
    }
    let names: Vec<&str> = name.split('/').collect();
    let scope = match scope {
        None => group.to_owned(),
        Some(scope) if scope.starts_with('/') => scope.to_owned(),
        Some(scope) => {
            // A type and a name by turns, without the group that they are in.
            format!("{group}/providers/{scope}")
        }
    };
    joined(&scope, kind, &names)
}

fn joined(scope: &str, kind: &str, names: &[&str]) -> Result<String, ArmError> {
    let mut kinds = kind.split('/');
    let mut id = format!("{scope}/providers/{}", kinds.next().unwrap_or_default());
    let kinds: Vec<&str> = kinds.collect();
    if kinds.len() != names.len() {
        return Err(segments(kind, &names.join("/")));
    }
    for (kind, name) in kinds.iter().zip(names) {
        id.push('/');
        id.push_str(kind);
        id.push('/');
        id.push_str(name);
    }
    Ok(id)
}

fn segments(kind: &str, name: &str) -> ArmError {
    invalid(&format!(
        "The template resource '{name}' for type '{kind}' at line '1' and column '1' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage details."
    ))
}

/// Turns what a resource depends on into ids: of ids, names, symbols and loops.
fn resolve(steps: &mut [Step]) -> Result<(), ArmError> {
    let known: Vec<(String, String, Vec<String>)> = steps
        .iter()
        .map(|it| {
            (
                it.symbol.clone(),
                it.id.clone(),
                it.copies.iter().map(|it| it.0.clone()).collect(),
            )
        })
        .collect();
    for step in steps.iter_mut() {
        let mut ids_of = Vec::new();
        for wanted in &step.depends {
            let matches = |(symbol, id, loops): &&(String, String, Vec<String>)| {
                ids::key(id) == ids::key(wanted)
                    || symbol.eq_ignore_ascii_case(wanted)
                    || loops.iter().any(|it| it.eq_ignore_ascii_case(wanted))
                    || kind_and_name(id).eq_ignore_ascii_case(wanted)
            };
            let found: Vec<String> = known
                .iter()
                .filter(matches)
                .map(|it| it.1.clone())
                .collect();
            // What is not deployed for its condition's sake is no obstacle; what
            // is named by an id may be there already.
            if found.is_empty() && !wanted.starts_with('/') {
                return Err(invalid(&format!(
                    "The resource '{wanted}' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details."
                )));
            }
            ids_of.extend(found);
        }
        ids_of.retain(|it| *it != step.id);
        step.depends = ids_of;
    }
    Ok(())
}

/// `Namespace/kind/name`, as dependencies may be written.
fn kind_and_name(id: &str) -> String {
    format!("{}/{}", ids::kind(id), ids::name(id))
}

/// The body that a resource's provider gets.
pub fn body(evaluated: &Value) -> Value {
    let fields = evaluated.as_object().into_iter().flatten();
    let fields =
        fields.filter(|(name, _)| !["type", "name", "apiVersion"].contains(&name.as_str()));
    let fields: Map<String, Value> = fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!(fields)
}
