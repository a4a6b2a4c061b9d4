//! How long the workload is away when its process is killed or its pod deleted,
//! as the demo itself measures it.

use std::process::Stdio;

use aks_tui::core::trial::Phase;
use color_eyre::eyre::{Result, WrapErr, bail, eyre};
use serde_json::Value;

use super::{
    bare,
    home::Home,
    rooms::Args,
    table::{Figure, Row, Spread, Unit},
};

/// Measures both faults, and what remains of it without a cluster around.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let bare = bare::kills(args)?;
    let mut rows = Vec::new();
    for (fault, what, limit) in [
        ("process", "RTO, process killed", 500.0),
        ("pod", "RTO, pod deleted", 1_000.0),
    ] {
        let trials = demo(args, fault)?;
        let spread =
            |of: &dyn Fn(&Value) -> Option<f64>| Spread::of(trials.iter().filter_map(of).collect());
        let rto = spread(&|trial| trial["rto_ms"].as_f64());
        rows.push(
            Row::new(what, Unit::Millis, rto)
                .at_most(Figure::P50, limit)
                .at_most(Figure::P95, limit),
        );
        for phase in Phase::ALL.map(Phase::name) {
            let spread = spread(&|trial| trial["phases_ms"][phase].as_f64());
            let what = format!("of which {phase}");
            // Without back-off there is no such phase.
            if spread.is_some() {
                rows.push(Row::reference(what, Unit::Millis, spread));
            }
        }
    }
    let what = "bare process, kill to new work, no cluster";
    let bare = Spread::of_times(bare);
    rows.push(Row::reference(what, Unit::Millis, bare));
    Ok(rows)
}

/// Runs the demo without a screen; every trial must have been survived.
fn demo(args: &Args, fault: &str) -> Result<Vec<Value>> {
    let home = Home::new()?;
    let output = home
        .command(&args.program)
        .args(["demo", "--headless", "--json", "--every", "300ms"])
        .args(["--fault", fault, "--target", "client", "--seed", "1"])
        .args(["--linger", "30", "--kills", &args.kills.to_string()])
        .args(args.demo())
        .stderr(Stdio::piped())
        .output()
        .wrap_err("cannot run the demo")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let outcome: Value = stdout
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| eyre!("the demo gave no outcome:\n{stderr}"))?;
    if !output.status.success() {
        bail!("the demo did not end well: {outcome}\n{stderr}");
    }
    let trials = outcome["trials"].as_array().cloned();
    trials.ok_or_else(|| eyre!("the outcome has no trials: {outcome}"))
}
