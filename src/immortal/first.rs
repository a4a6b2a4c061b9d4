//! The first process of a container.
//!
//! The kernel shields process 1 of a pid namespace from every signal that comes
//! from inside and that it does not handle; `kill -9` from a shell in the
//! container would do nothing. So a program that finds itself in that place
//! starts itself again as its child, by the same name, and only looks after it:
//! it passes signals on, reaps what others leave, and ends as its child ends.

/// Whether this is the first process of its container.
#[cfg(unix)]
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Whether this is the first process of its container; here, never.
#[cfg(not(unix))]
pub fn is_first() -> bool {
    false
}

/// Starts this program again as a child with the same arguments, and looks after
/// it until it ends. Gives the exit code to end with: the child's own, or 128 and
/// the signal that ended it.
#[cfg(not(unix))]
pub fn look_after() -> std::io::Result<u8> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Starts this program again as a child with the same arguments, and looks after
/// it until it ends. Gives the exit code to end with: the child's own, or 128 and
/// the signal that ended it.
#[cfg(unix)]
pub fn look_after() -> std::io::Result<u8> {
    use std::io::{Error, ErrorKind};
    use std::{env, process::Command};

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::runtime::Builder;
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::mpsc::unbounded_channel;

    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (told, mut heard) = unbounded_channel();
    for kind in [
        SignalKind::child(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        let mut signals = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        let told = told.clone();
        runtime.spawn(
            async move { while signals.recv().await.is_some() && told.send(kind).is_ok() {} },
        );
    }
    let mut words = env::args_os();
    // By the name it was called by: that is what `pidof` looks for.
    let program = words.next().ok_or(ErrorKind::InvalidInput)?;
    let child = Command::new(program).args(words).spawn()?;
    let child = Pid::from_child(&child);
    runtime.block_on(async move {
        while let Some(kind) = heard.recv().await {
            if kind == SignalKind::child() {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            } else if let Some(signal) = Signal::from_named_raw(kind.as_raw_value()) {
                // It may have ended a moment ago.
                let _ = kill_process(child, signal);
            }
        }
        Err(Error::from(ErrorKind::UnexpectedEof))
    })
}

/// Takes leave of every process that has ended, and says how the child did, if it
/// is among them.
#[cfg(unix)]
fn reap(child: rustix::process::Pid) -> Option<u8> {
    use rustix::process::{WaitOptions, wait};

    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            code = status.exit_status().or(signal).or(code);
        }
    }
    code.map(|code| u8::try_from(code).unwrap_or(u8::MAX))
}
