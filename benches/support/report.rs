//! From measuring to the last line and the exit code.

use std::path::Path;
use std::process::ExitCode;

use color_eyre::eyre::Result;
use serde_json::json;

use super::machine::Machine;
use super::table::{Row, print};

/// Says where the bench of this name runs, measures, and prints the table; with
/// `json` as one object on the last line too. Succeeds if every target was met.
pub fn report(
    bench: &str,
    program: &Path,
    json: bool,
    measure: impl FnOnce() -> Result<Vec<Row>>,
) -> ExitCode {
    let machine = Machine::read(bench, program);
    println!("{machine}");
    let rows = match measure() {
        Ok(rows) => rows,
        Err(report) => {
            eprintln!("error: {report:#}");
            return ExitCode::FAILURE;
        }
    };
    print(&rows);
    if json {
        println!("{}", json!({"machine": machine, "rows": rows}));
    }
    if rows.iter().all(Row::is_met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
