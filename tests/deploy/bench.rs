//! A lab with nothing in it, and the command line pointed at it.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{kubectl, support::Lab};

/// An empty cluster.
pub struct Bench {
    pub lab: Lab,
}

/// What a command said and how it ended.
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            lab: Lab::start(&["--empty", "--backoff", "none"]),
        }
    }

    /// Runs the program against the cluster.
    pub fn run(&self, line: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_aks-tui"))
            .args(line.split_whitespace())
            .arg("--kubeconfig")
            .arg(self.lab.kubeconfig())
            .env("HOME", self.lab.state.parent().unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said {
            out: text(output.stdout),
            err: text(output.stderr),
            code: output.status.code().unwrap(),
        }
    }

    /// Runs it with `--json`, which must end well, and reads the answer.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let said = self.run(&format!("{line} --json"));
        assert_eq!(said.code, 0, "{line}: {}{}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap()
    }

    /// Deploys, until the client does new work.
    #[track_caller]
    pub fn deploy(&self, options: &str) -> Value {
        let told = self.json(&format!("deploy perftest {options}"));
        assert_eq!(told["outcome"], "working", "{told}");
        told
    }

    /// Deploys with a load that leaves others some air.
    #[track_caller]
    pub fn deploy_gently(&self) -> Value {
        self.deploy("--rate 2MiB --bytes-per-round 256KiB")
    }

    /// An object of the cluster.
    pub fn get(&self, what: &str) -> Value {
        let mut words: Vec<_> = vec!["get"];
        words.extend(what.split_whitespace());
        words.extend(["-o", "json"]);
        serde_json::from_str(&kubectl::ok(&self.lab, &words)).unwrap()
    }

    /// The names of all objects of these kinds, `kind/name`, sorted.
    pub fn names(&self, kinds: &str) -> Vec<String> {
        let list = kubectl::ok(&self.lab, &["get", kinds, "-o", "name"]);
        let mut names: Vec<_> = list.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The uids of the workload's pods.
    pub fn pods(&self) -> Vec<String> {
        let list = self.get("pods -l app.kubernetes.io/part-of=perftest");
        let items = list["items"].as_array().unwrap();
        let mut uids: Vec<_> = items
            .iter()
            .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
            .collect();
        uids.sort();
        uids
    }

    /// The epoch that the client's newest execution tells.
    pub fn epoch(&self) -> u64 {
        let log = kubectl::ok(&self.lab, &["logs", "deploy/generated-perftestclient"]);
        let told = log.lines().rev().find_map(|line| {
            let rest = line.strip_prefix("*X* progress epoch=")?;
            rest.split(' ').next()?.parse().ok()
        });
        told.unwrap()
    }
}

/// What would become of each object of a told plan, `Kind name: change`.
pub fn changes(told: &Value) -> Vec<String> {
    told["plan"]["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let text = |field: &str| object[field].as_str().unwrap().to_owned();
            format!("{} {}: {}", text("kind"), text("name"), text("change"))
        })
        .collect()
}
