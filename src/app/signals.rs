//! What the system asks of a program on a terminal, and what a shell expects of
//! it in return.

use std::io;

/// What the system asks of the cockpit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Leave in good order.
    End,
    /// The terminal is gone.
    HangUp,
    /// Give the terminal to the shell for a while.
    #[cfg_attr(not(unix), allow(dead_code))]
    Stop,
}

#[cfg(unix)]
pub use self::unix::{Signals, is_continued_by_a_shell, stop};

#[cfg(unix)]
mod unix {
    use std::{io, os::fd::OwnedFd, time::Duration};

    use rustix::process;
    use tokio::{
        io::{Interest, unix::AsyncFd},
        signal::unix::{self, SignalKind},
        sync::oneshot,
    };

    use super::Signal;

    /// How long the cockpit may take to leave once its terminal is gone.
    const GRACE: Duration = Duration::from_secs(10);

    /// The signals, from the moment this is made.
    pub struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
        hang_up: unix::Signal,
        stop: unix::Signal,
        gone: Option<oneshot::Receiver<()>>,
    }

    impl Signals {
        /// Listens from now on.
        pub fn new() -> io::Result<Self> {
            let signal = |kind: process::Signal| unix::signal(SignalKind::from_raw(kind.as_raw()));
            Ok(Self {
                interrupt: signal(process::Signal::INT)?,
                terminate: signal(process::Signal::TERM)?,
                hang_up: signal(process::Signal::HUP)?,
                stop: signal(process::Signal::TSTP)?,
                gone: watch_terminal(),
            })
        }

        /// The next one.
        pub async fn next(&mut self) -> Signal {
            let slot = &mut self.gone;
            let gone = async {
                if let Some(gone) = slot
                    && gone.await.is_ok()
                {
                    return;
                }
                // Nobody watches it, or any longer.
                *slot = None;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = self.interrupt.recv() => Signal::End,
                _ = self.terminate.recv() => Signal::End,
                _ = self.hang_up.recv() => Signal::HangUp,
                _ = self.stop.recv() => Signal::Stop,
                () = gone => Signal::HangUp,
            }
        }
    }

    /// Tells when the terminal on standard input is gone: not every terminal
    /// sends SIGHUP, and reading keys from one that is gone never ends (crossterm
    /// tries again for ever), on whichever thread is reading just then. So this
    /// is looked after on another one, which also ends a process that does not
    /// come to its end.
    fn watch_terminal() -> Option<oneshot::Receiver<()>> {
        let input = rustix::io::dup(rustix::stdio::stdin()).ok()?;
        let input = crate::sys::watch(input).ok()?;
        let (tell, gone) = oneshot::channel();
        tokio::spawn(async move {
            if closed(&input).await.is_ok() {
                // The loop may have left already.
                let _ = tell.send(());
                tokio::time::sleep(GRACE).await;
                std::process::exit(129);
            }
        });
        Some(gone)
    }

    async fn closed(input: &AsyncFd<OwnedFd>) -> io::Result<()> {
        loop {
            let mut guard = input.ready(Interest::READABLE).await?;
            if guard.ready().is_read_closed() {
                return Ok(());
            }
            // A key, which is for somebody else to read.
            guard.clear_ready();
        }
    }

    /// Whether somebody would continue this process if it stopped: a shell that
    /// gave it a process group of its own. The first group of a terminal or of a
    /// container has none.
    pub fn is_continued_by_a_shell() -> bool {
        process::getsid(None).is_ok_and(|session| session != process::getpgrp())
    }

    /// Stops the process group until it is continued: whatever started the
    /// cockpit in the same job stops with it, or the shell would go on waiting.
    pub fn stop() {
        // STOP, not TSTP: ours is caught, to give the terminal back first.
        let _ = process::kill_current_process_group(process::Signal::STOP);
    }
}

/// The signals, from the moment this is made.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Listens from now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        // An error means that no such signal will ever come.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::End
    }
}

/// Nothing continues a stopped process here.
#[cfg(not(unix))]
pub fn is_continued_by_a_shell() -> bool {
    false
}

/// Nothing stops here.
#[cfg(not(unix))]
pub fn stop() {}

/// Resolves when the run is to be stopped: SIGINT, or SIGTERM where there is
/// such a thing. Listens from now on.
///
/// # Errors
/// The system lets nobody listen.
#[cfg(unix)]
pub fn interrupted() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the run is to be stopped: Ctrl-C.
///
/// # Errors
/// None here.
#[cfg(not(unix))]
pub fn interrupted() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        // An error means that no such signal will ever come.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
