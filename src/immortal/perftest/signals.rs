//! Signals as inputs.

use super::super::{Error, Impulses};

/// Sends `method` at each SIGUSR1, once the instance lives. From now on that signal
/// no longer ends the process, so this is to be called before anything takes time.
#[cfg(unix)]
pub fn listen(impulses: Impulses, method: u8) -> Result<(), Error> {
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
    let listen = move || {
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
                    Some(()) = user.recv() => forward(impulses.clone(), method),
                    Some(()) = ended => process::exit(143),
                    else => return,
                }
            }
        });
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map_err(failed)?;
    Ok(())
}

/// A signal that comes during replay is not lost: it is sent afterwards.
#[cfg(unix)]
fn forward(impulses: Impulses, method: u8) {
    let send = move || {
        impulses.wait_until_live();
        // It lives, and the payload is short.
        let _ = impulses.send(method, &[]);
    };
    // Without a thread the signal is lost, as it is where memory is.
    let _ = std::thread::Builder::new()
        .name("signal".into())
        .spawn(send);
}

/// There is no SIGUSR1 here: nothing arrives.
#[cfg(not(unix))]
pub fn listen(_impulses: Impulses, _method: u8) -> Result<(), Error> {
    Ok(())
}
