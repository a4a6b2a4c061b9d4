//! Signals as inputs.

use super::super::{Error, Impulses};

/// Sends `method` at each SIGUSR1, once the instance lives. From now on that signal
/// no longer ends the process, so this is to be called before anything takes time.
#[cfg(unix)]
pub fn listen(impulses: Impulses, method: u8) -> Result<(), Error> {
    use std::thread;

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
    let mut user = {
        let _inside = runtime.enter();
        signal(SignalKind::user_defined1()).map_err(failed)?
    };
    let listen = move || {
        runtime.block_on(async move {
            while user.recv().await.is_some() {
                forward(impulses.clone(), method);
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
