//! Plans and progress as lines of text.

use std::fmt::Write as _;

use crate::core::azure::{
    plan::{Action, Plan, Verdict, kind_name},
    progress::{Progress, State},
};

const fn mark(action: Action) -> char {
    match action {
        Action::Create => '+',
        Action::Modify => '~',
        Action::Delete => '-',
        Action::Keep => '=',
        Action::Ignore => '*',
        Action::Unknown => '?',
    }
}

/// A plan for a person.
pub fn plan(plan: &Plan) -> String {
    let account = &plan.account;
    let mut text = format!(
        "{} in {} ({}), signed in by {}\nresource group {} in {}\n\n",
        account.name,
        account.tenant,
        account.subscription,
        account.how,
        account.group,
        account.location
    );
    for check in &plan.checks {
        let word = match check.verdict {
            Verdict::Fine => "ok",
            Verdict::Doubt => "??",
            Verdict::Stop => "NO",
        };
        let _ = writeln!(text, "  {word}  {:<16} {}", check.name, check.what);
    }
    text.push('\n');
    for change in &plan.changes {
        let _ = writeln!(
            text,
            "  {} {:<18} {}",
            mark(change.action),
            kind_name(&change.kind),
            change.name
        );
        for delta in &change.deltas {
            let side =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
            let _ = writeln!(
                text,
                "      {}: {} -> {}",
                delta.path,
                side(&delta.before),
                side(&delta.after)
            );
        }
        if change.folded > 0 {
            let _ = writeln!(
                text,
                "      ({} differences are only the service's own defaults)",
                change.folded
            );
        }
    }
    let count = |action| plan.count(action);
    let _ = writeln!(
        text,
        "\n{} to create, {} to change, {} to delete, {} as they should be, {} of others left alone",
        count(Action::Create),
        count(Action::Modify),
        count(Action::Delete),
        count(Action::Keep),
        count(Action::Ignore)
    );
    let drifted = plan.drifted().count();
    if drifted > 0 {
        let _ = writeln!(
            text,
            "{drifted} of them were changed by others since they were made (~)"
        );
    }
    if let Some(cost) = &plan.cost {
        text.push('\n');
        for item in &cost.items {
            let _ = writeln!(
                text,
                "  {:>9.4} {}/h  {}",
                item.per_hour, cost.currency, item.what
            );
        }
        let _ = writeln!(
            text,
            "  {:>9.4} {}/h  in all, {:.0} {} a month; without {}",
            cost.per_hour(),
            cost.currency,
            cost.per_month(),
            cost.currency,
            cost.leaves_out.join(", ")
        );
    }
    if !plan.is_done() {
        let _ = writeln!(text, "takes about {}", length(plan.seconds));
    }
    text
}

/// `5 min 20 s`.
pub fn length(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A line of progress for a person.
pub fn progress(progress: &Progress) -> String {
    match progress {
        Progress::Step { doing } => format!("> {doing}"),
        Progress::Note { text } => format!("  {text}"),
        Progress::Wait { why, seconds } => format!("  {why}; again in {seconds:.0} s"),
        Progress::Resource(resource) => {
            let sign = match resource.state {
                State::Running => "…",
                State::Done => "✓",
                State::Failed => "✗",
            };
            let took = resource
                .seconds
                .filter(|_| resource.state != State::Running)
                .map_or_else(String::new, |seconds| format!(" ({seconds:.1} s)"));
            let why = resource
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(": {error}"));
            format!(
                "  {sign} {} {}: {}{took}{why}",
                kind_name(&resource.kind),
                resource.name,
                resource.word
            )
        }
    }
}
