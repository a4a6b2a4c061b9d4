//! Azure's own Python packages, end to end on the lab's Azure: so that it is
//! not only our idea of Azure that it agrees with.
//!
//! `tests/azure_sdk/venv.sh` makes the environment that they need. Azure's command line
//! is too large for every run: `tests/azure_sdk/az.sh` does the same with it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Lab, required};

/// The environment, if it is there with what it must have.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/azure-sdk");
    let place = std::env::var_os("AKS_TUI_AZURE_SDK").map_or(own, PathBuf::from);
    let python = place.join("bin/python");
    let wanted =
        "import azure.mgmt.containerservice, azure.mgmt.resource.deployments, azure.identity";
    let there = Command::new(&python).args(["-c", wanted]).output();
    if there.is_ok_and(|it| it.status.success()) {
        return Some(python);
    }
    assert!(
        !required("azure-sdk"),
        "Azure's packages are required and not in {}",
        place.display()
    );
    println!(
        "skipped: Azure's packages are not in {}; tests/azure_sdk/venv.sh puts them there",
        place.display()
    );
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/azure_sdk")
        .join(name)
}

#[test]
fn azures_packages_drive_the_simulator_from_nothing_to_nothing() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start(&["--azure", "--azure-time-scale", "100"]);
    let ran = Command::new(python)
        .arg(script("drive.py"))
        .arg(lab.state.join("azure.json"))
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&ran.stdout), said(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    assert!(out.ends_with("everything held\n"), "{out}");
    lab.stop();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}

#[test]
fn the_table_of_operations_is_what_the_packages_say() {
    let Some(python) = python() else { return };
    let ran = Command::new(python)
        .arg(script("extract.py"))
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let kept = std::fs::read_to_string(script("operations.json")).unwrap();
    assert!(
        kept == String::from_utf8(ran.stdout).unwrap(),
        "run extract.py again"
    );
}
