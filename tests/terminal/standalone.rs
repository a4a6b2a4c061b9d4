//! A lab that no demo started: any cluster, as far as the cockpit knows.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::sandbox::{GENTLE, Sandbox, called, ended, kill, processes_with, run_mark};

pub struct Lab {
    child: Child,
    mark: String,
    pub kubeconfig: PathBuf,
}

impl Lab {
    /// Starts a lab in a sandbox.
    pub fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let kubeconfig = sandbox.path("kubeconfig");
        let run = format!("standalone-{}", fastrand::u64(..));
        let mut child = sandbox
            .command(&["lab", "--backoff", "none", "--state"])
            .arg(sandbox.path("lab"))
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(GENTLE)
            .args(args)
            .env("AKS_TUI_RUN", &run)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let about: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(about["ready"], true, "{about}");
        assert_eq!(about["run"], run.as_str(), "{about}");
        Self {
            child,
            mark: run_mark(&run),
            kubeconfig,
        }
    }

    pub fn kubeconfig(&self) -> &str {
        self.kubeconfig.to_str().unwrap()
    }

    /// The processes in its pods that are called so.
    pub fn processes_called(&self, name: &str) -> Vec<i32> {
        called(processes_with(std::slice::from_ref(&self.mark)), name)
    }

    /// Stops it in good order: nothing may be left.
    #[track_caller]
    pub fn stop(mut self) {
        kill(self.child.id() as i32, Signal::TERM);
        assert!(ended(&mut self.child));
        assert_eq!(
            processes_with(std::slice::from_ref(&self.mark)),
            Vec::<i32>::new(),
            "left behind"
        );
    }

    /// Ends it like a machine that loses its power.
    pub fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for pid in processes_with(std::slice::from_ref(&self.mark)) {
            kill(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
