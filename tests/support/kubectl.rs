//! kubectl, pointed at a lab.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::process::{Command, Stdio};

use crate::support::{Lab, required};

/// Whether kubectl is there; says so when it is not.
pub fn kubectl_is_here() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    if version.is_ok_and(|it| it.status.success()) {
        return true;
    }
    assert!(!required("kubectl"), "kubectl is required and not there");
    println!("skipped: there is no kubectl on this machine");
    false
}

/// kubectl with these arguments, for this lab.
pub fn kubectl(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command
        .arg("--kubeconfig")
        .arg(lab.kubeconfig())
        .args(arguments)
        .env("HOME", lab.state.parent().unwrap())
        .stdin(Stdio::null());
    command
}

/// What a command printed, its errors and its exit code.
pub fn said(lab: &Lab, arguments: &[&str]) -> (String, String, i32) {
    let output = kubectl(lab, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

/// What a command that must succeed printed.
pub fn ok(lab: &Lab, arguments: &[&str]) -> String {
    let (out, err, code) = said(lab, arguments);
    assert_eq!(code, 0, "kubectl {arguments:?}: {err}");
    out
}
