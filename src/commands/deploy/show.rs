//! A plan as text.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::core::deploy::{Change, Plan, Planned};

/// A plan, for a person: what it is about, what would be done to which object,
/// and what to know before. With `fields`, every field that would change.
pub(super) fn plan(plan: &Plan, fields: bool) -> String {
    let mut text = format!(
        "{} in namespace {} of context {}\n",
        plan.workload, plan.namespace, plan.context
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  image    {}", plan.order.image());
    if let Some(storage) = &plan.order.storage {
        let _ = writeln!(text, "  storage  {storage}");
    }
    let begun = if plan.resumes { "goes on" } else { "begins" };
    let _ = writeln!(text, "  run      {}, which {begun}", plan.run);
    objects(&mut text, plan, fields);
    text
}

/// What would become of the objects, and the notes.
pub(in crate::commands) fn objects(text: &mut String, plan: &Plan, fields: bool) {
    for object in &plan.objects {
        let _ = writeln!(
            text,
            "{} {} {}",
            object.change.sign(),
            object.kind,
            object.name
        );
        if fields {
            details(text, object);
        }
    }
    for conflict in &plan.conflicts {
        let _ = writeln!(text, "! {conflict}");
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
}

fn details(text: &mut String, planned: &Planned) {
    if planned.change == Change::Create {
        for line in yaml(&planned.object).lines() {
            let _ = writeln!(text, "    + {line}");
        }
    }
    for field in &planned.fields {
        let _ = writeln!(text, "    {field}");
    }
}

/// One object as YAML.
fn yaml(object: &Value) -> String {
    serde_yaml::to_string(object).unwrap_or_else(|_| object.to_string())
}

/// Every object that is sent, as one YAML text that kubectl takes.
pub(super) fn manifests(plan: &Plan) -> String {
    let documents: Vec<_> = plan.objects.iter().map(|it| yaml(&it.object)).collect();
    documents.join("---\n")
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Told<'a> {
    /// `planned`, `rolled_out`, `working`, `removed` or `failed`.
    pub outcome: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds from the first request to the first new work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What was to be done, where that became known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<&'a Plan>,
}

impl Told<'_> {
    /// As one line.
    pub(in crate::commands) fn line(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::deploy::Field;
    use serde_json::json;

    #[test]
    fn a_plan_reads_like_a_diff() {
        let planned = |kind: &str, change, fields| Planned {
            kind: kind.into(),
            name: "x".into(),
            change,
            fields,
            object: json!({"kind": kind}),
        };
        let image = Field {
            path: "spec.image".into(),
            before: Some(json!("a")),
            after: Some(json!("b")),
        };
        let shown = plan(
            &Plan {
                context: "c".into(),
                namespace: "n".into(),
                run: "run-1".into(),
                resumes: true,
                objects: vec![
                    planned("Service", Change::Create, vec![]),
                    planned("Deployment", Change::Change, vec![image]),
                ],
                notes: vec!["look out".into()],
                ..Plan::default()
            },
            true,
        );
        assert_eq!(
            shown,
            format!(
                "perftest in namespace n of context c\n  image    {}\n  run      run-1, which goes on\n\
                 + Service x\n    + kind: Service\n~ Deployment x\n    ~ spec.image: \"a\" -> \"b\"\nnote: look out\n",
                crate::core::workload::order::IMAGE
            )
        );
    }
}
