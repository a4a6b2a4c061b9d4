//! Commands as a person types them, against the lab's Azure.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use aks_tui::config::write;
use aks_tui::core::azure::settings::{CloudName, Settings, SignIn};
use serde_json::Value;

use crate::azure::Azure;
use crate::lab;
use crate::support::{Lab, required};

const GROUP: &str = "rg1";
const CLUSTER: &str = "test";

/// What `azure.json` says, as settings.
pub fn settings(azure: &Azure) -> Settings {
    let mut settings = Settings::default();
    settings.azure.subscription = azure.text("subscription");
    settings.azure.tenant = azure.text("tenant");
    GROUP.clone_into(&mut settings.azure.resource_group);
    settings.azure.sign_in = SignIn::ServicePrincipal;
    settings.azure.cloud = CloudName::Custom;
    settings.azure.custom.resource_manager = azure.text("resource_manager");
    settings.azure.custom.authority = azure.text("authority");
    settings.azure.custom.certificate_authority = azure.text("certificate_authority");
    CLUSTER.clone_into(&mut settings.cluster.name);
    "xyzstorage".clone_into(&mut settings.storage.account);
    "logs".clone_into(&mut settings.storage.shares[0].name);
    "xyzregistry".clone_into(&mut settings.registry.name);
    settings
}

/// Somebody with a shell, a settings file and a sign-in.
pub struct Typist {
    /// Ends when nobody types any more.
    _lab: Lab,
    home: tempfile::TempDir,
    sign_in: [(&'static str, String); 3],
}

/// What a command said and how it ended.
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Typist {
    pub fn new() -> Self {
        let lab = lab(&["--backoff", "none"]);
        let azure = Azure::stranger(&lab);
        let home = tempfile::tempdir().unwrap();
        let text = write::commented(&settings(&azure));
        std::fs::write(home.path().join("aks-tui.yaml"), text).unwrap();
        Self {
            sign_in: [
                ("AZURE_TENANT_ID", azure.text("tenant")),
                ("AZURE_CLIENT_ID", azure.text("client_id")),
                ("AZURE_CLIENT_SECRET", azure.text("client_secret")),
            ],
            home,
            _lab: lab,
        }
    }

    /// Where `provision` puts the cluster's credentials.
    pub fn kubeconfig(&self) -> PathBuf {
        let name = format!("{GROUP}.{CLUSTER}");
        self.home
            .path()
            .join("state/azure")
            .join(name)
            .join("kubeconfig")
    }

    /// Types a command in the directory of the settings file.
    pub fn types(&self, line: &str) -> Said {
        self.runs(env!("CARGO_BIN_EXE_aks-tui"), line)
    }

    /// The same; it must end well.
    #[track_caller]
    pub fn must(&self, line: &str) -> String {
        let said = self.types(line);
        assert_eq!(said.code, 0, "{line}: {}{}", said.out, said.err);
        said.out
    }

    /// Types a command that is to be spoken with.
    pub fn begins(&self, line: &str) -> Child {
        let program = env!("CARGO_BIN_EXE_aks-tui");
        let mut command = self.command(program, line);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        piped.spawn().unwrap()
    }

    /// Asks the cluster.
    #[track_caller]
    pub fn kubectl(&self, line: &str) -> String {
        let kubeconfig = self.kubeconfig();
        let said = self.runs(
            "kubectl",
            &format!("--kubeconfig {} {line}", kubeconfig.display()),
        );
        assert_eq!(said.code, 0, "kubectl {line}: {}", said.err);
        said.out
    }

    fn command(&self, program: &str, line: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(line.split_whitespace())
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("AKS_TUI_STATE", self.home.path().join("state"))
            .envs(self.sign_in.iter().map(|(name, value)| (name, value)));
        command
    }

    fn runs(&self, program: &str, line: &str) -> Said {
        let mut command = self.command(program, line);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said {
            out: text(output.stdout),
            err: text(output.stderr),
            code: output.status.code().unwrap(),
        }
    }
}

/// Whether kubectl is there; says so when it is not.
fn kubectl_is_here() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    let here = version.is_ok_and(|it| it.status.success());
    if !here {
        assert!(!required("kubectl"), "kubectl is required and not there");
        println!("skipped: there is no kubectl on this machine");
    }
    here
}

#[tokio::test]
async fn most_takes_the_workload_before_the_share_it_is_on_and_leaves_the_cluster() {
    if !kubectl_is_here() {
        return;
    }
    let desk = Typist::new();
    desk.must("provision --yes");
    let kubeconfig = desk.kubeconfig().display().to_string();
    desk.must(&format!(
        "deploy perftest --storage share:logs --rate 1MiB --kubeconfig {kubeconfig}"
    ));
    desk.kubectl("create deployment other --image=aks-tui/pause");

    // Also whoever did not make the cluster sees what is in it.
    std::fs::remove_file(desk.kubeconfig()).unwrap();
    let shown = desk.types("clean most --preview --json");
    assert_eq!(shown.code, 2, "{}", shown.err);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let goes: Vec<_> = shown["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", it["fate"], it["kind"], it["name"]).replace('"', ""))
        .collect();
    let at = |what: &str| goes.iter().position(|it| it == what).expect(what);
    let workload = at("delete deployment default/generated-perftestclient");
    assert!(workload < at("delete storage account xyzstorage"));
    at("delete persistent volume default/aks-tui-default-logs");
    at("delete secret default/azure-fileshare-secret");
    at("stays deployment default/other");

    desk.must("clean most --yes");
    let left = desk.kubectl("get deployments,services,pvc,pv -o name");
    assert_eq!(left.trim(), "deployment.apps/other\nservice/kubernetes");
    let rest = desk.types("clean most --preview");
    assert_eq!(rest.code, 0, "nothing of ours is left");
    assert!(rest.out.contains("--also other lets it go"), "{}", rest.out);
    desk.must("clean most --also other --yes");
    let left = desk.kubectl("get deployments -o name");
    assert_eq!(left.trim(), "");
}

#[tokio::test]
async fn one_command_does_the_whole_document_and_may_be_repeated() {
    let desk = Typist::new();
    let line = "run perftest --yes --json --rounds 3 --max-message 1024 --bytes-per-round 64KiB --rate 128KiB";
    let told = |text: &str| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let checkout = env!("CARGO_MANIFEST_DIR");
    let first = told(&desk.must(&format!("{line} --build {checkout}")));
    let plan = first.iter().find(|it| !it["changes"].is_null());
    assert_eq!(plan.expect("a plan is shown first")["to_do"], true);
    let deployed = first.iter().find(|it| it["outcome"] == "working").unwrap();
    let order = &deployed["plan"]["order"];
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("xyzregistry.azurecr.io/aks-tui/perftest:{version}");
    assert_eq!(order["image"], image);
    assert_eq!(order["storage"]["share"]["share"], "logs", "{order}");
    let rounds = first.iter().filter(|it| it["what"] == "round");
    assert_eq!(rounds.count(), 3, "{first:#?}");
    let done = serde_json::json!({"what": "done", "bytes": 3 * 64 * 1024});
    assert_eq!(first.last(), Some(&done));

    let again = told(&desk.must(line));
    assert!(
        again.iter().all(|it| it["changes"].is_null()),
        "there is nothing to make"
    );
    let deployed = again.iter().find(|it| it["outcome"] == "working").unwrap();
    assert_eq!(deployed["plan"]["resumes"], true);
    assert_eq!(again.last(), Some(&done), "it had ended, and says so again");

    let fresh = told(&desk.must(&format!("{line} --fresh")));
    let rounds = fresh.iter().filter(|it| it["what"] == "round");
    assert_eq!(rounds.count(), 3, "{fresh:#?}");

    // Only the logs go; what is deployed next begins anew.
    assert_eq!(desk.types("clean logs --preview").code, 2);
    desk.must("clean logs --yes");
    assert_eq!(desk.types("clean logs --preview").code, 0);
    let anew = told(&desk.must(line));
    let deployed = anew.iter().find(|it| it["outcome"] == "working").unwrap();
    assert_eq!(deployed["plan"]["resumes"], false);
}

#[tokio::test]
async fn whoever_runs_the_greeting_presses_enter_with_nothing_but_this_program() {
    let desk = Typist::new();
    let mut run = desk.begins("run helloworld --yes");
    let mut keys = run.stdin.take().unwrap();
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        if line.starts_with("!! Client: Press enter") {
            keys.write_all(b"\n").unwrap();
        }
        said.push(line);
    }
    let ended = run.wait().unwrap();
    let count = |what: &str| said.iter().filter(|line| *line == what).count();
    assert!(ended.success(), "{said:#?}");
    assert_eq!(count("!! Client: Sent message 1."), 1, "{said:#?}");
    assert_eq!(count("!! Client: Press enter to shutdown."), 1, "{said:#?}");
    assert_eq!(said.last().map(String::as_str), Some("done"));
}
