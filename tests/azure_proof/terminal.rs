//! The cockpit in a terminal, with every byte that it wrote there.

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::{bed::Bed, support::PATIENCE};

const SIZE: PtySize = PtySize {
    rows: 36,
    cols: 120,
    pixel_width: 0,
    pixel_height: 0,
};

/// Looks at Azure, plans, previews a clean, reads the log, leaves. Returns all that
/// was written to the terminal.
pub async fn cockpit(bed: &Bed, kubeconfig: &str, log: &str) -> Vec<u8> {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_aks-tui"));
    command.args(["--kubeconfig", kubeconfig]);
    command.env_clear();
    let prepared = bed.command("");
    for (name, value) in prepared.as_std().get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("TERM", "xterm-256color");
    command.env("AKS_TUI_LOG", log);
    command.cwd(bed.home());
    tokio::task::spawn_blocking(move || visit(command))
        .await
        .unwrap()
}

fn visit(command: CommandBuilder) -> Vec<u8> {
    let pty = native_pty_system().openpty(SIZE).unwrap();
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().unwrap();
    let mut writer = pty.master.take_writer().unwrap();
    let seen: Arc<Mutex<(Vec<u8>, vt100::Parser)>> = Arc::new(Mutex::new((
        Vec::new(),
        vt100::Parser::new(
            SIZE.rows.try_into().unwrap(),
            SIZE.cols.try_into().unwrap(),
            0,
        ),
    )));
    let reading = std::thread::spawn({
        let seen = Arc::clone(&seen);
        move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                let mut seen = seen.lock().unwrap();
                seen.0.extend(&bytes[..length]);
                seen.1.process(&bytes[..length]);
            }
        }
    });
    let until = |text: &str| {
        let end = Instant::now() + PATIENCE;
        while !seen.lock().unwrap().1.screen().contents().contains(text) {
            let screen = seen.lock().unwrap().1.screen().contents();
            assert!(Instant::now() < end, "never seen: {text} in\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("● live");
    for (keys, shown) in [
        ("P", "proofstorage"),
        ("\u{1b}", "● live"),
        ("C", "proof-group"),
    ] {
        writer.write_all(keys.as_bytes()).unwrap();
        until(shown);
    }
    writer.write_all(b"\x1b").unwrap();
    writer.write_all(b"\x03").unwrap();
    let end = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            panic!("the cockpit does not leave");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(writer);
    drop(pty.master);
    reading.join().unwrap();
    let seen = seen.lock().unwrap();
    seen.0.clone()
}
