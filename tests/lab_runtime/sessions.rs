//! Commands beside a program: streams, terminals, ends.

use super::*;

#[tokio::test]
async fn commands_have_streams_exit_codes_and_an_end() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let container = bed.start(&["sleep", "300"]).await;
    let (out, err, code) = sh(&container, "echo out; echo err >&2; exit 5").await;
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", 5));
    let (_, _, code) = sh(&container, "kill -9 $$").await;
    assert_eq!(code, 137);
    // Standard input arrives, in any amount, and its end too.
    let mut piped = request(&["sh", "-c", "wc -c; exit 4"]);
    piped.stdin = true;
    let mut session = container.exec(piped).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    for _ in 0..100 {
        stdin.send(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
    }
    drop(stdin);
    let (out, _, code) = finish(session).await;
    assert_eq!((out.trim(), code), ("1000000", 4));
    // Much output, all of it, although the command has ended long since.
    let session = container.exec(request(&["sh", "-c", "head -c 60000 /dev/zero; exit 6"]));
    let (out, _, code) = finish(session.await.unwrap()).await;
    assert_eq!((out.len(), code), (60_000, 6));
    // A process left behind does not hold the session open.
    let (out, _, code) = sh(&container, "sleep 302 & echo left").await;
    assert_eq!((out.as_str(), code), ("left\n", 0));
    // A session that is dropped takes its command along, with its children.
    let session = container.exec(request(&["sh", "-c", "sleep 303 | sleep 304; true"]));
    let session = session.await.unwrap();
    let count = "for p in $(pidof sleep); do tr '\\0' ' ' < /proc/$p/cmdline; echo; done";
    within("the command starts", async {
        while !sh(&container, count).await.0.contains("304") {}
    })
    .await;
    drop(session);
    within("the command is killed", async {
        loop {
            let (out, _, _) = sh(&container, count).await;
            if !out.contains("303") && !out.contains("304") {
                assert!(out.contains("300") && out.contains("302"), "{out}");
                break;
            }
        }
    })
    .await;
    // A container that is killed ends its commands.
    let session = container.exec(request(&["sleep", "305"])).await.unwrap();
    within("kill", container.kill()).await;
    assert_eq!(finish(session).await.2, 137);
    bed.close().await;
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let container = bed.start(&["sleep", "300"]).await;
    let mut terminal = request(&["bash", "--norc"]);
    terminal.tty = true;
    terminal.stdin = true;
    terminal.stderr = false;
    let mut session = container.exec(terminal).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    session
        .resize
        .send(TerminalSize {
            width: 123,
            height: 45,
        })
        .await
        .unwrap();
    let mut seen = String::new();
    macro_rules! until {
        ($text:expr) => {
            while !seen.contains($text) {
                let next = within($text, session.output.recv()).await;
                let Some((stream, bytes)) = next else {
                    panic!("ended before {:?}: {seen}", $text);
                };
                assert_eq!(stream, Stream::Stdout);
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
    }
    let send = |text: &'static str| stdin.send(Bytes::from_static(text.as_bytes()));
    send("tty; stty size; echo job-$((6*7))\n").await.unwrap();
    until!("job-42");
    assert!(seen.contains("/dev/pts/0"), "{seen}");
    assert!(seen.contains("45 123"), "{seen}");
    // The size changes under a running command, which is told.
    send("trap 'stty size' WINCH; echo set-$((1+1))\n")
        .await
        .unwrap();
    until!("set-2");
    let size = TerminalSize {
        width: 99,
        height: 33,
    };
    session.resize.send(size).await.unwrap();
    // bash runs traps between commands.
    until!("33 99");
    // Control keys act on the command in front.
    send("(echo in-$((1+2)); exec sleep 306)\n").await.unwrap();
    until!("in-3");
    send("\x03").await.unwrap();
    send("echo code-$?\n").await.unwrap();
    until!("code-130");
    // The end of input ends the shell, with the code of its last command.
    // The shell must be at its prompt: while a command runs, that key is the
    // command's.
    send("PS1='at-$((++n))> '\n").await.unwrap();
    until!("at-1> ");
    send("(exit 9)\n").await.unwrap();
    until!("at-2> ");
    drop(stdin);
    session.stdin = None;
    let (_, _, code) = finish(session).await;
    assert_eq!(code, 9);
    bed.close().await;
}
