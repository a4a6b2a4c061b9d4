//! helloworld: three messages, a person in between, and a kill whenever it hurts.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use crate::{
    bench::{Bench, changes},
    kubectl::{kubectl, kubectl_is_here, ok},
    support::eventually,
};

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PROMPT: &str = "!! Client: Press enter to continue (will send 2&3)";
const LAST: &str = "!! Client: Press enter to shutdown.";
const RECEIVED: &str = "!! SERVER Received message from a client: ";

/// One of the two programs, and what it prints.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    fn start(home: &Path, line: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aks-tui"))
            .arg("helloworld")
            .args(line.split(' '))
            .args(["--log", "logs"])
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Reads on until this line, and gives what came before.
    #[track_caller]
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line == wanted => return read,
                Ok(line) => read.push(line),
                Err(why) => panic!("no {wanted:?} ({why}) after {read:#?}"),
            }
        }
    }

    fn enter(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn killed_between_two_messages_it_neither_repeats_nor_forgets_one() {
    let home = tempfile::tempdir().unwrap();
    let port = 40_000 + fastrand::u32(0..20_000);
    let server_line = format!("server --port {port}");
    let client_line = format!("client client server --port {port}");
    let mut server = Program::start(home.path(), &server_line);
    let mut client = Program::start(home.path(), &client_line);
    client.until("!! Client: Sent message 1.");
    client.until(PROMPT);
    server.until(RECEIVED);
    server.until("!! Client: Hello World 1!");

    client.child.kill().unwrap();
    client.child.wait().unwrap();
    client = Program::start(home.path(), &client_line);
    let again = client.until(PROMPT);
    assert!(
        again.iter().any(|it| it.starts_with("*X* recovered"))
            || client
                .until(PROMPT)
                .iter()
                .any(|it| it.starts_with("*X* recovered")),
        "it says that it has recovered: {again:?}"
    );
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    server = Program::start(home.path(), &server_line);
    client.enter();
    client.until(LAST);
    server.until("*X* received 1 messages so far");
    let mut between = server.until("!! Client: Hello World 2!");
    between.retain(|line| !line.starts_with("*X*"));
    assert_eq!(between, ["", RECEIVED], "the first is not repeated");
    server.until("!! Client: Hello World 3!");
    client.enter();
    assert!(client.child.wait().unwrap().success());
    assert!(
        !server
            .lines
            .try_iter()
            .any(|line| line.contains("Out of order"))
    );
}

#[test]
fn on_a_cluster_somebody_who_attaches_presses_enter() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let told = bench.json("deploy helloworld");
    assert_eq!(told["outcome"], "working", "{told}");
    assert_eq!(told["plan"]["workload"], "helloworld");
    let log = |who: &str| {
        ok(
            &bench.lab,
            &["logs", &format!("deploy/generated-hello{who}")],
        )
    };
    assert!(log("client").contains("!! Client: Sent message 1.\n\n"));

    // What was deployed again is what was there, and a kill changes nothing.
    let again = bench.json("deploy helloworld");
    assert!(
        changes(&again).iter().all(|it| it.ends_with(": same")),
        "{again}"
    );
    let kill = "exec deploy/generated-helloclient -- sh -c";
    let mut words: Vec<_> = kill.split(' ').collect();
    words.push("kill -9 $(pidof Job)");
    let _ = kubectl(&bench.lab, &words).output().unwrap();
    eventually("it is back", || {
        log("client").contains("*X* recovered epoch=2")
    });

    let mut attached = kubectl(
        &bench.lab,
        &["attach", "-i", "deploy/generated-helloclient"],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    let mut keys = attached.stdin.take().unwrap();
    keys.write_all(b"\n").unwrap();
    eventually("all three came", || {
        log("server").contains("!! Client: Hello World 3!")
    });
    drop(keys);
    let _ = attached.kill();
    let _ = attached.wait();
    let said = log("server");
    assert_eq!(said.matches("Hello World").count(), 3, "{said}");

    let both = bench.deploy_gently();
    assert_eq!(both["outcome"], "working");
    bench.json("undeploy helloworld --yes");
    assert_eq!(
        bench.names("deployments"),
        [
            "deployment.apps/generated-perftestclient",
            "deployment.apps/generated-perftestserver"
        ]
    );
    bench.json("undeploy --yes --storage");
    assert_eq!(bench.names("deployments,pvc"), [] as [&str; 0]);
}
