//! Signals as inputs.

use std::sync::mpsc::{Receiver, channel};

use super::super::Error;

/// Answers where `method` arrives at each SIGUSR1. From now on that signal no longer
/// ends the process, so this is to be called before anything takes time.
#[cfg(unix)]
pub fn listen(method: u8) -> Result<Receiver<u8>, Error> {
    use std::{process, thread};

    use tokio::runtime::Builder;
    use tokio::signal::unix::{SignalKind, signal};

    let failed = |source| Error::System {
        what: "listening for signals",
        source,
    };
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let (user, terminate) = {
        let _inside = runtime.enter();
        let user = signal(SignalKind::user_defined1()).map_err(failed)?;
        // The first process of a container is not ended by a signal it does not
        // handle; every other process is, and then shows the signal as the cause.
        let first = process::id() == 1;
        let terminate = first.then(|| signal(SignalKind::terminate())).transpose();
        (user, terminate.map_err(failed)?)
    };
    let (impulses, heard) = channel();
    let forward = move || {
        runtime.block_on(async move {
            let (mut user, mut terminate) = (user, terminate);
            loop {
                let ended = async {
                    match &mut terminate {
                        Some(signal) => signal.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    Some(()) = user.recv() => {
                        // Gone only when the process ends.
                        let _ = impulses.send(method);
                    }
                    Some(()) = ended => process::exit(143),
                    else => return,
                }
            }
        });
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(forward)
        .map_err(failed)?;
    Ok(heard)
}

/// There is no SIGUSR1 here: nothing arrives.
#[cfg(not(unix))]
pub fn listen(_method: u8) -> Result<Receiver<u8>, Error> {
    Ok(channel().1)
}
