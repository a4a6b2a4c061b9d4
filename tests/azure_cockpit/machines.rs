//! A cockpit on a cluster in Azure, as far as this machine has one: what it has Azure
//! do to the machines of nodes, and to the cluster.

use std::{fs, process::Output};

use aks_tui::{
    config::write::commented,
    core::azure::settings::{CloudName, Settings, SignIn},
};
use rustix::process::Signal;
use serde_json::Value;
use termlens::{Key, Screen, Terminal};

use crate::{
    sandbox::{GENTLE, PROGRAM, Sandbox, eventually, kill},
    screen::{See, at_work, leave, press, survived},
    support::Lab,
};

/// A test bed with a workload at work.
struct Bed {
    sandbox: Sandbox,
    variables: Vec<(&'static str, String)>,
    kubeconfig: String,
    // Last, so that what looks at it goes first.
    _lab: Lab,
}

impl Bed {
    fn new() -> Self {
        let lab = Lab::start(&["--azure", "--azure-time-scale", "40", "--backoff", "none"]);
        let about = fs::read(lab.state.join("azure.json")).unwrap();
        let about: Value = serde_json::from_slice(&about).unwrap();
        let text = |key: &str| about[key].as_str().unwrap().to_owned();
        let mut settings = Settings::default();
        let azure = &mut settings.azure;
        azure.subscription = text("subscription");
        azure.tenant = text("tenant");
        azure.sign_in = SignIn::ServicePrincipal;
        azure.cloud = CloudName::Custom;
        azure.custom.resource_manager = text("resource_manager");
        azure.custom.authority = text("authority");
        azure.custom.certificate_authority = text("certificate_authority");
        azure.custom.prices = text("prices");
        "test-group".clone_into(&mut azure.resource_group);
        "test-cluster".clone_into(&mut settings.cluster.name);
        "teststorage".clone_into(&mut settings.storage.account);
        "logs".clone_into(&mut settings.storage.shares[0].name);
        "testregistry".clone_into(&mut settings.registry.name);
        let sandbox = Sandbox::new();
        let file = sandbox.path("home").join("aks-tui.yaml");
        fs::write(&file, commented(&settings)).unwrap();
        let kubeconfig = sandbox.path("state/azure/test-group.test-cluster/kubeconfig");
        let bed = Self {
            variables: vec![
                ("AKS_TUI_SETTINGS", file.display().to_string()),
                ("AZURE_TENANT_ID", text("tenant")),
                ("AZURE_CLIENT_ID", text("client_id")),
                ("AZURE_CLIENT_SECRET", text("client_secret")),
            ],
            kubeconfig: kubeconfig.display().to_string(),
            sandbox,
            _lab: lab,
        };
        bed.must(&["provision", "--yes"]);
        let mut deploy = vec!["deploy", "perftest", "--storage", "share:logs"];
        deploy.extend(GENTLE);
        deploy.extend(["--kubeconfig", &bed.kubeconfig]);
        bed.must(&deploy);
        bed
    }

    /// A command that a person would type.
    fn run(&self, args: &[&str]) -> Output {
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        let mut command = self.sandbox.command(args);
        command.envs(variables).output().unwrap()
    }

    /// One that must succeed; what it says.
    #[track_caller]
    fn must(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.run(args);
        let (said, why) = (String::from_utf8(stdout), String::from_utf8(stderr));
        assert!(status.success(), "{args:?}: {}", why.unwrap());
        said.unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["cluster", "status", "--json"])).unwrap()
    }

    fn powers(&self) -> Vec<String> {
        let status = self.status();
        let nodes = status["nodes"].as_array().unwrap();
        let powers = nodes.iter().map(|node| node["power"].as_str().unwrap());
        powers.map(str::to_owned).collect()
    }

    fn cockpit(&self) -> Terminal {
        let mut terminal = self.open();
        terminal.see(at_work);
        terminal
    }

    fn open(&self) -> Terminal {
        let set = self.variables.iter().map(|(k, v)| format!("{k}={v}"));
        let set: Vec<String> = set.collect();
        let mut args: Vec<&str> = set.iter().map(String::as_str).collect();
        args.extend([PROGRAM, "--kubeconfig", &self.kubeconfig]);
        self.sandbox.run("/usr/bin/env", &args)
    }
}

fn type_word(terminal: &mut Terminal, word: &str) {
    for c in word.chars() {
        terminal.send(Key::Char(c)).unwrap();
    }
    terminal.send(Key::Enter).unwrap();
}

/// A question about a node is asked, and what runs there is known.
fn is_asked(screen: &Screen) -> bool {
    screen.contains("runs there") && !screen.contains("looking...")
}

/// The row of the cluster says that this is how it is.
fn has_cluster(screen: &Screen, state: &str) -> bool {
    let text = screen.text();
    let mut rows = text.lines().filter(|row| row.contains(" test-cluster  "));
    rows.any(|row| row.contains(state))
}

#[test]
fn what_azure_does_to_a_node_is_survived_and_healed_by_whoever_comes_after() {
    let bed = Bed::new();
    let mut cockpit = bed.cockpit();
    // Offered as soon as somebody is signed in and has seen the machines.
    press(&mut cockpit, 'x', |s| {
        s.contains("restart the node's machine")
    });
    press(&mut cockpit, 'b', |s| {
        s.contains("Azure does not support") && is_asked(s)
    });
    press(&mut cockpit, 'y', survived(1));

    press(&mut cockpit, 'x', |s| {
        s.contains("deallocate the node's machine")
    });
    let asked = press(&mut cockpit, 'e', is_asked);
    assert!(
        !asked.text().contains("Azure does not support"),
        "said once"
    );
    press(&mut cockpit, 'y', |s| s.contains("#2"));
    eventually("a machine is deallocated", || {
        bed.powers().contains(&"deallocated".to_owned())
    });
    let pid = i32::try_from(cockpit.pid().unwrap()).unwrap();
    kill(pid, Signal::KILL);
    drop(cockpit);

    // Nobody remembers; what is off is seen. A pod of the workload is on it.
    let mut cockpit = bed.open();
    cockpit.see(|s| s.contains("deallocated in Azure"));
    press(&mut cockpit, 'H', |s| s.contains("healing"));
    cockpit.see(at_work);
    assert_eq!(bed.powers(), ["running", "running"]);
    leave(cockpit);
}

#[test]
fn a_cluster_is_stopped_and_started_where_what_it_costs_is_seen() {
    let bed = Bed::new();
    let before = bed.status();
    assert_eq!(before["power"], "Running");
    let mut cockpit = bed.cockpit();
    press(&mut cockpit, '3', |s| {
        s.contains("cluster test-cluster Running")
            && s.contains("signed in by")
            && s.contains("so far")
            && s.contains("container registry")
            && s.contains("by ")
    });
    press(&mut cockpit, 'o', |s| s.contains("Stop the cluster?"));
    type_word(&mut cockpit, "no");
    cockpit.see(|s| s.contains("type yes to go on"));
    cockpit.send(Key::Ctrl('u')).unwrap();
    type_word(&mut cockpit, "yes");
    cockpit.see(|s| has_cluster(s, "Stopped") && s.contains("deallocated"));
    let stopped = bed.status();
    assert_eq!(stopped["power"], "Stopped");
    let cost = |status: &Value| status["cost_per_hour"].as_f64().unwrap();
    assert!(cost(&stopped) < cost(&before) / 2.0, "{stopped:#}");

    cockpit.see(|s| s.contains("stopping the cluster: done"));
    press(&mut cockpit, 'o', |s| s.contains("Start the cluster?"));
    type_word(&mut cockpit, "yes");
    cockpit.see(|s| has_cluster(s, "Running") && !s.contains("deallocated"));
    cockpit.see(|s| s.contains("starting the cluster: done"));
    let status = bed.status();
    let spent = |key: &str| status["spent"][key].as_i64().unwrap();
    assert!(spent("ran_ms") < spent("there_ms"), "{status:#}");
    // What it is told of by its activity, as any other change there.
    cockpit.see(|s| s.contains("stop ") && s.contains("start "));
    press(&mut cockpit, '1', |s| s.contains("Throughput"));
    leave(cockpit);
}
