//! Services as pods and this machine meet them: by address and by name, load
//! balanced, and the way back to the API server.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod lab;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Lab, eventually, required};
use serde_json::{Value, json};

/// A lab, and kubectl as a person uses it.
struct Bed {
    lab: Lab,
}

impl Bed {
    /// A lab whose pods have networks of their own; none with the reason
    /// printed where the kernel gives none.
    fn new() -> Option<Self> {
        let bed = Self {
            lab: Lab::start(&["--empty", "--backoff", "none"]),
        };
        let nodes: Value = bed.json(&["get", "nodes"]);
        let network = &nodes["items"][0]["metadata"]["annotations"]["lab.aks-tui.dev/network"];
        if network == "namespaces" {
            return Some(bed);
        }
        assert!(!required("networks"), "networks are required: {network}");
        println!("skipped: {network}");
        None
    }

    fn kubectl(&self, arguments: &[&str], input: Option<&Value>) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(arguments)
            .env("KUBECONFIG", self.lab.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl");
        let mut stdin = child.stdin.take().unwrap();
        if let Some(input) = input {
            stdin.write_all(input.to_string().as_bytes()).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.kubectl(&[arguments, &["-o", "json"]].concat(), None);
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    fn create(&self, object: &Value) {
        self.kubectl(&["create", "-f", "-"], Some(object)).unwrap();
    }

    /// Runs pods of the image and waits until they are ready; their addresses.
    fn pods(&self, names: &[&str], image: &str, command: &[&str]) -> Vec<String> {
        for name in names {
            self.create(&json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": image, "command": command}]},
            }));
        }
        let address = |name: &&str| {
            let pod = format!("pod/{name}");
            let ready = ["wait", "--for=condition=Ready", "--timeout=60s", &pod];
            self.kubectl(&ready, None).unwrap();
            let pod = self.json(&["get", &pod]);
            pod["status"]["podIP"].as_str().unwrap().to_owned()
        };
        names.iter().map(address).collect()
    }

    /// A service without a selector, with these pods behind it.
    fn service(&self, name: &str, spec: &Value, port: u16, pods: &[(&str, &str)]) {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 8080, "targetPort": port}]},
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            service["spec"][field] = value.clone();
        }
        self.create(&service);
        let endpoints: Vec<_> = pods
            .iter()
            .map(|(name, ip)| json!({"addresses": [ip], "hostname": name, "conditions": {"ready": true}}))
            .collect();
        self.create(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": port, "protocol": "TCP"}],
            "endpoints": endpoints,
        }));
    }

    fn sh(&self, pod: &str, script: &str) -> Result<String, String> {
        self.kubectl(&["exec", pod, "--", "bash", "-c", script], None)
    }

    /// What a page says to a pod.
    fn page(&self, pod: &str, at: &str) -> Result<String, String> {
        let (host, port) = at.rsplit_once(':').unwrap();
        let script = format!(
            "exec 3<>/dev/tcp/{host}/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3"
        );
        self.sh(pod, &script)
    }
}

/// What a page says to this machine.
fn page(at: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn services_lead_to_pods() {
    let Some(mut bed) = Bed::new() else { return };
    let ips = bed.pods(&["a", "b"], "aks-tui/web", &["web", "--port", "80"]);
    let behind = [("a", ips[0].as_str()), ("b", ips[1].as_str())];
    bed.pods(&["client"], "aks-tui/shell", &["sleep", "3600"]);
    bed.service("web", &json!({}), 80, &behind);
    bed.service("nobody", &json!({}), 80, &[]);
    bed.service("each", &json!({"clusterIP": "None"}), 80, &behind);
    bed.service(
        "sticky",
        &json!({"sessionAffinity": "ClientIP"}),
        80,
        &behind,
    );

    // By address and by every one of its names, and both pods get work.
    let service = bed.json(&["get", "service", "web"]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for name in [
        address,
        "web",
        "web.default",
        "web.default.svc",
        "web.default.svc.cluster.local",
    ] {
        let at = format!("{name}:8080");
        eventually(&format!("{at} answers"), || {
            bed.page("client", &at).is_ok_and(|page| {
                assert!(["a", "b"].contains(&page.as_str()), "{page}");
                seen.insert(page);
                true
            })
        });
    }
    eventually("both have answered", || {
        seen.extend(bed.page("client", "web:8080").ok());
        seen.len() == 2
    });
    let first = bed.page("client", "sticky:8080").unwrap();
    for _ in 0..4 {
        assert_eq!(bed.page("client", "sticky:8080").unwrap(), first);
    }
    // A pod reaches itself through its service, too.
    for _ in 0..4 {
        bed.page("a", "web:8080").unwrap();
    }
    // A name for each pod behind a service without an address.
    for (name, ip) in behind {
        let found = bed.sh("client", &format!("getent hosts {name}.each"));
        assert!(
            found.clone().is_ok_and(|it| it.starts_with(ip)),
            "{found:?}"
        );
    }
    let all = bed.sh("client", "getent ahostsv4 each").unwrap();
    assert!(behind.iter().all(|(_, ip)| all.contains(ip)), "{all}");
    // As most people make one; its name means the service, not the deployment.
    let run = [
        "create",
        "deployment",
        "shop",
        "--image=aks-tui/web",
        "--",
        "web",
        "--port",
        "80",
    ];
    bed.kubectl(&run, None).unwrap();
    let expose = [
        "expose",
        "deployment",
        "shop",
        "--port=8080",
        "--target-port=80",
    ];
    bed.kubectl(&expose, None).unwrap();
    eventually("the deployment answers by its service", || {
        bed.page("client", "shop:8080")
            .is_ok_and(|page| page.starts_with("shop-"))
    });
    bed.pods(&["late"], "aks-tui/shell", &["sleep", "3600"]);
    let told = bed
        .sh("late", "echo $SHOP_SERVICE_HOST:$SHOP_SERVICE_PORT")
        .unwrap();
    assert!(bed.page("late", &told).is_ok(), "{told}");
    // Where nobody is, one is told so at once.
    let refused = bed.page("client", "nobody:8080").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(bed.sh("client", "getent hosts no-such-service").is_err());

    assert!(bed.lab.stop().success());
    assert_eq!(bed.lab.leftovers(), Vec::<String>::new());
}

#[test]
fn this_machine_reaches_services_by_load_balancer_and_node_port() {
    let Some(bed) = Bed::new() else { return };
    let ips = bed.pods(&["a"], "aks-tui/web", &["web", "--port", "80"]);
    let behind = [("a", ips[0].as_str())];
    bed.service("front", &json!({"type": "LoadBalancer"}), 80, &behind);
    let path = "{.status.loadBalancer.ingress[0].ip}";
    let mut address = String::new();
    eventually("the load balancer has an address", || {
        let path = format!("jsonpath={path}");
        address = bed
            .kubectl(&["get", "service", "front", "-o", &path], None)
            .unwrap();
        !address.is_empty()
    });
    assert!(address.starts_with("127."), "{address}");
    let at = format!("{address}:8080");
    eventually("the load balancer answers", || {
        page(&at).is_ok_and(|page| page == "a")
    });
    let service = bed.json(&["get", "service", "front"]);
    let port = &service["spec"]["ports"][0]["nodePort"];
    let nodes = bed.json(&["get", "nodes"]);
    let node = nodes["items"][0]["status"]["addresses"][0]["address"]
        .as_str()
        .unwrap();
    let on_node = format!("{node}:{port}");
    eventually("the node port answers", || {
        page(&on_node).is_ok_and(|page| page == "a")
    });
    // What the lab does not do is refused, not ignored.
    for spec in [
        json!({"externalTrafficPolicy": "Local"}),
        json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
        json!({"ports": [{"port": 1, "protocol": "SCTP"}]}),
    ] {
        let patch = json!({"spec": spec}).to_string();
        let refused = bed.kubectl(&["patch", "service", "front", "-p", &patch], None);
        let refused = refused.unwrap_err();
        assert!(refused.contains("Forbidden: the lab"), "{refused}");
    }
    bed.kubectl(&["delete", "service", "front"], None).unwrap();
    eventually("both doors are shut", || {
        TcpStream::connect(&at).is_err() && TcpStream::connect(&on_node).is_err()
    });
}

#[test]
fn a_pod_reaches_the_api_and_gets_nothing_without_a_token() {
    let Some(bed) = Bed::new() else { return };
    if !std::path::Path::new("/usr/bin/curl").exists() {
        println!("skipped: the pods have no curl");
        return;
    }
    bed.pods(&["client"], "aks-tui/shell", &["sleep", "3600"]);
    let ask = |more: &str| {
        let script = format!(
            "curl -sk -m 30 -o /dev/null -w '%{{http_code}}' {more} \
             https://kubernetes.default.svc/api/v1/namespaces"
        );
        bed.sh("client", &script)
    };
    eventually("the API answers a pod", || ask("").as_deref() == Ok("401"));
    assert_eq!(
        ask("-H 'Authorization: Bearer guess'").as_deref(),
        Ok("401")
    );
    // With a token it is the API, and its certificate is for that very name.
    let config = std::fs::read_to_string(bed.lab.kubeconfig()).unwrap();
    let config: Value = serde_yaml::from_str(&config).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        .as_str()
        .unwrap();
    let script = format!(
        "echo {authority} | base64 -d > /tmp/ca && curl -s -m 30 --cacert /tmp/ca \
         -H 'Authorization: Bearer {token}' \
         https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/default && \
         curl -s -m 30 --cacert /tmp/ca https://kubernetes.default.svc.cluster.local/ > /dev/null"
    );
    let namespace = bed.sh("client", &script).unwrap();
    assert!(namespace.contains("\"kind\":\"Namespace\""), "{namespace}");
}

#[test]
fn networks_go_with_a_lab_that_is_killed() {
    let Some(mut bed) = Bed::new() else { return };
    bed.pods(&["a", "b"], "aks-tui/shell", &["sleep", "3600"]);
    bed.lab.kill();
    eventually("no process is left", || {
        lab::marked(&bed.lab.run).is_empty()
    });
}

impl Bed {
    /// Does something to everything that a pod sends.
    fn chaos(&self, name: &str, pod: &str, spec: &Value) -> Result<String, String> {
        let mut chaos = json!({
            "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
            "metadata": {"name": name},
            "spec": {"mode": "all", "direction": "to",
                "selector": {"namespaces": ["default"], "pods": {"default": [pod]}}},
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            chaos["spec"][field] = value.clone();
        }
        self.kubectl(&["create", "-f", "-"], Some(&chaos))
    }

    fn wait_for(&self, condition: &str, chaos: &str) {
        let condition = format!("--for=condition={condition}");
        let chaos = format!("networkchaos/{chaos}");
        self.kubectl(&["wait", &condition, "--timeout=60s", &chaos], None)
            .unwrap();
    }

    /// The last progress lines of the workload's client.
    fn progress(&self, lines: usize) -> Vec<u64> {
        let tail = format!("--tail={lines}");
        let client = "deployment/generated-perftestclient";
        let log = self
            .kubectl(&["logs", client, &tail], None)
            .unwrap_or_default();
        let echoed = |line: &str| {
            line.split("echoed=")
                .nth(1)?
                .split(' ')
                .next()?
                .parse()
                .ok()
        };
        log.lines().filter_map(echoed).collect()
    }
}

#[test]
fn a_cut_stops_the_workload_and_healing_brings_it_back() {
    let Some(probe) = Bed::new() else { return };
    drop(probe);
    let bed = Bed {
        lab: Lab::start(&["--backoff", "none"]),
    };
    eventually("the workload runs", || {
        bed.progress(1).first().is_some_and(|echoed| *echoed > 0)
    });
    let pods = bed.json(&["get", "pods", "-l", "app.kubernetes.io/component=client"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    bed.chaos("cut", pod, &json!({"action": "partition"}))
        .unwrap();
    bed.wait_for("AllInjected", "cut");
    // A second of lines that all say the same.
    eventually("the workload stands still", || {
        let lines = bed.progress(10);
        lines.len() == 10 && lines.iter().all(|echoed| *echoed == lines[0])
    });
    let stood = bed.progress(1)[0];
    bed.kubectl(&["delete", "networkchaos", "cut"], None)
        .unwrap();
    eventually("the workload goes on", || {
        bed.progress(1)
            .first()
            .is_some_and(|echoed| *echoed > stood)
    });
    // It was the same process all the time, and it has lost nothing.
    let log = bed.kubectl(&["logs", "deployment/generated-perftestclient"], None);
    let log = log.unwrap();
    assert!(!log.contains("epoch=2"), "it was restarted");
    assert!(!log.to_lowercase().contains("missing"), "{log}");
}

#[test]
fn a_pod_is_slow_or_lossy_for_as_long_as_was_asked_for() {
    let Some(bed) = Bed::new() else { return };
    let ips = bed.pods(&["a"], "aks-tui/web", &["web", "--port", "80"]);
    bed.pods(&["client"], "aks-tui/shell", &["sleep", "3600"]);
    let at = format!("{}:80", ips[0]);
    eventually("the pod answers", || bed.page("client", &at).is_ok());
    // Milliseconds from one line of the shell to the next, the page in between.
    let took = || {
        let script = format!(
            "s=$(date +%s%N); exec 3<>/dev/tcp/{}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && \
             cat <&3 > /dev/null; e=$(date +%s%N); echo $(( (e - s) / 1000000 ))",
            ips[0]
        );
        bed.sh("client", &script).unwrap().parse::<u64>().unwrap()
    };
    let slow = json!({"action": "delay", "duration": "6s",
        "delay": {"latency": "150ms", "jitter": "0ms", "correlation": "0"}});
    bed.chaos("slow", "a", &slow).unwrap();
    bed.wait_for("AllInjected", "slow");
    let late = took();
    assert!(late >= 300, "{late} ms");
    // It ends by itself.
    bed.wait_for("AllRecovered", "slow");
    let phase = "jsonpath={.status.experiment.containerRecords[0].phase}";
    let phase = bed.kubectl(&["get", "networkchaos", "slow", "-o", phase], None);
    assert_eq!(phase.as_deref(), Ok("Not Injected"));
    eventually("the pod is fast again", || took() < 150);

    bed.chaos(
        "lossy",
        "a",
        &json!({"action": "loss", "loss": {"loss": "100", "correlation": "0"}}),
    )
    .unwrap();
    bed.wait_for("AllInjected", "lossy");
    let lost = bed.sh(
        "client",
        &format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{}/80'", ips[0]),
    );
    assert!(lost.is_err(), "{lost:?}");
    bed.kubectl(&["delete", "networkchaos", "lossy"], None)
        .unwrap();
    eventually("the pod answers again", || bed.page("client", &at).is_ok());

    // What the lab does not have is refused, not ignored.
    for spec in [
        json!({"action": "bandwidth", "bandwidth": {"rate": "1mbps"}}),
        json!({"action": "partition", "direction": "from"}),
        json!({"action": "partition", "target": {"mode": "all"}}),
        json!({"action": "partition", "mode": "fixed-percent", "value": "50"}),
        json!({"action": "loss", "loss": {"loss": "many"}}),
        json!({"action": "delay", "delay": {"latency": "1s", "correlation": "50"}}),
    ] {
        let refused = bed.chaos("refused", "a", &spec).unwrap_err();
        assert!(refused.contains("spec"), "{refused}");
    }
}
