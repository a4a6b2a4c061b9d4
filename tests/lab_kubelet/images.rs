//! The images' programs do what they say, and images that are not there are
//! waited for as on any node.

use std::io::{Read as _, Write as _};

use super::*;

/// A pod of one container that runs the image's own program.
fn of_image(name: &str, image: &str, arguments: &[&str]) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": image, "args": arguments}],
        },
    })
}

#[tokio::test]
async fn the_images_programs_really_do_it() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let crasher = of_image(
            "crasher",
            "aks-tui/crasher",
            &["--after", "0.1", "--code", "7"],
        );
        let crasher = bed.create(crasher);
        let hog = of_image(
            "hog",
            "aks-tui/hog",
            &["--step", "2", "--every", "0.01", "--most", "6"],
        );
        let hog = bed.create(hog);
        let flooder = of_image(
            "flooder",
            "aks-tui/flooder",
            &["--rate", "10000", "--lines", "3000", "--width", "40"],
        );
        let flooder = bed.create(flooder);
        let crashed = bed
            .pod(&crasher, "it has failed", |pod| {
                pod["status"]["phase"] == "Failed"
            })
            .await;
        assert_eq!(container(&crashed)["state"]["terminated"]["exitCode"], 7);
        bed.logged(&crasher, "exit code 7").await;
        let log = bed.logged(&hog, "holding 6 MiB").await;
        assert!(!log.contains("holding 8 MiB"), "{log}");
        let log = bed.logged(&flooder, "line 3000 of the flood").await;
        assert_eq!(log.matches(" of the flood").count(), 3000);
        bed.close().await;
    }
}

/// The status line of an answer; none while nobody listens.
fn asked(address: &str, path: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn a_slow_starter_refuses_until_it_is_ready() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let arguments = ["--after", "1.5", "--port", &port];
    let slow = bed.create(of_image("slow", "aks-tui/slow-starter", &arguments));
    let running = bed.ready(&slow).await;
    // Without a root of its own, a pod has a place for what is temporary.
    let own = bed.state.join("pods").join(bed.uid(&slow));
    let file = own.join("tmp/main/ready");
    let address = format!("{}:{port}", running["status"]["podIP"].as_str().unwrap());
    bed.logged(&slow, "listening on port").await;
    assert_eq!(
        asked(&address, "/").unwrap(),
        "HTTP/1.0 503 Service Unavailable"
    );
    assert!(!file.exists());
    bed.logged(&slow, "stdout F ready\n").await;
    assert!(file.exists());
    for (path, status) in [
        ("/", "200 OK"),
        ("/healthz", "200 OK"),
        ("/x", "404 Not Found"),
    ] {
        assert_eq!(asked(&address, path).unwrap(), format!("HTTP/1.0 {status}"));
    }
    bed.close().await;
}

#[tokio::test]
async fn a_program_that_cannot_do_its_work_says_why_and_ends() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let arguments = ["--file", "/dev/null/none"];
    let slow = bed.create(of_image("slow", "aks-tui/slow-starter", &arguments));
    let failed = bed
        .pod(&slow, "it has failed", |pod| {
            pod["status"]["phase"] == "Failed"
        })
        .await;
    assert_eq!(container(&failed)["state"]["terminated"]["exitCode"], 1);
    bed.logged(&slow, "slow-starter: Not a directory").await;
    bed.close().await;
}

#[tokio::test]
async fn an_image_that_may_not_be_pulled_is_not_tried() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let mut never = of_image("never", "nginx:1", &[]);
    never["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    let never = bed.create(never);
    let waiting = bed
        .pod(&never, "ErrImageNeverPull", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "ErrImageNeverPull"
        })
        .await;
    assert_eq!(
        container(&waiting)["state"]["waiting"]["message"],
        "Container image \"nginx:1\" is not present with pull policy of Never"
    );
    assert!(bed.events("Pulling").is_empty());
    bed.close().await;
}
