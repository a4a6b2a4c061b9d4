//! The terminal: taken once, given back on every way out.
//!
//! Quit, error, panic, SIGTERM, SIGHUP, a lost tty and suspend all go through
//! [`restore`], which does nothing the second time. Whatever is drawn goes
//! through one gate, which is shut from then on: a thread that panics gives the
//! terminal back while another may be in the middle of a frame.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crossterm::{
    Command,
    clipboard::CopyToClipboard,
    cursor,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

/// Holds a large frame without growing.
const FRAME_BUFFER: usize = 64 * 1024;

/// Whether the terminal is ours at the moment; held by whoever writes to it.
static TAKEN: Mutex<bool> = Mutex::new(false);

fn taken() -> MutexGuard<'static, bool> {
    // A flag is never half set.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects a frame, so that it is one write however often it is flushed.
#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was collected, if the terminal is ours.
    fn publish(&self) -> io::Result<()> {
        let mut bytes = self.bytes();
        let taken = taken();
        let written = if *taken {
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
        } else {
            Ok(())
        };
        bytes.clear();
        written
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Buttons, drags and the wheel, in the encoding without a limit of columns.
///
/// crossterm's own command also asks for every movement of the pointer (mode
/// 1003), which floods the queue of keys with nothing of use.
struct Mouse(bool);

impl Command for Mouse {
    fn write_ansi(&self, f: &mut impl std::fmt::Write) -> std::fmt::Result {
        f.write_str(if self.0 {
            "\x1b[?1000h\x1b[?1002h\x1b[?1006h"
        } else {
            "\x1b[?1006l\x1b[?1002l\x1b[?1000l"
        })
    }

    #[cfg(windows)]
    fn execute_winapi(&self) -> io::Result<()> {
        if self.0 {
            crossterm::event::EnableMouseCapture.execute_winapi()
        } else {
            crossterm::event::DisableMouseCapture.execute_winapi()
        }
    }
}

/// The screen, while it is ours.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Collected>>,
    frame: Collected,
}

impl Screen {
    /// Takes the terminal, and makes sure that a panic gives it back.
    ///
    /// A panic anywhere in the cockpit ends it: a screen whose tasks died
    /// behind it would show a world that no longer is.
    pub fn take() -> io::Result<Self> {
        let then = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let was_ours = restore();
            then(panic);
            if was_ours {
                std::process::exit(101);
            }
        }));
        enter()?;
        let frame = Collected(Arc::new(Mutex::new(Vec::with_capacity(FRAME_BUFFER))));
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(frame.clone()))?,
            frame,
        })
    }

    /// Draws one frame, as one write inside one synchronized update.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.frame, BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        queue!(self.frame, EndSynchronizedUpdate)?;
        self.frame.publish()
    }

    /// Forgets what is on the screen: the next frame is drawn whole.
    pub fn forget(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal where its cursor is and so waits
        // for an answer among the keys.
        let area = self.terminal.get_frame().area();
        self.terminal.resize(area)
    }

    /// Puts a text on the clipboard of the machine that the terminal runs on.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        queue!(self.frame, CopyToClipboard::to_clipboard_from(text))?;
        self.frame.publish()
    }

    /// Gives the terminal back, runs `pause`, and takes it again.
    pub fn suspended(&mut self, pause: impl FnOnce()) -> io::Result<()> {
        restore();
        pause();
        enter()?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    let mut taken = taken();
    *taken = true;
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        Mouse(true),
        EnableBracketedPaste,
        cursor::Hide
    )
}

/// Gives the terminal back as it was found, and says whether it was ours. Does
/// nothing if it was not.
pub fn restore() -> bool {
    let mut taken = taken();
    if !std::mem::take(&mut *taken) {
        return false;
    }
    // A terminal that is gone cannot be restored, and needs no restoring.
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        Mouse(false),
        cursor::Show,
        LeaveAlternateScreen,
    );
    let _ = cooked();
    true
}

/// Gives the terminal back its line discipline. A shell that took the terminal
/// from us has its own there by now, and stops who touches it: it dies together
/// with its window, and a cockpit that it stopped would stay for ever.
#[cfg(unix)]
fn cooked() -> io::Result<()> {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};
    use rustix::{process::getpgrp, stdio::stdin, termios::tcgetpgrp};

    if tcgetpgrp(stdin()).is_ok_and(|foreground| foreground != getpgrp()) {
        return Ok(());
    }
    // It may take it between these two lines.
    let mut stops = SigSet::empty();
    stops.add(Signal::SIGTTOU);
    let before = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let restored = disable_raw_mode();
    before.thread_set_mask()?;
    restored
}

#[cfg(not(unix))]
fn cooked() -> io::Result<()> {
    disable_raw_mode()
}

/// Takes the screen, draws for ever and panics, on this thread or on another,
/// so that a test can look at what is left.
#[cfg(debug_assertions)]
pub fn panic_on_screen(elsewhere: bool) -> ! {
    fn on_purpose() {
        panic!("the cockpit panicked on purpose");
    }
    let mut screen = Screen::take();
    let mut frames = 0_u64;
    loop {
        if let Ok(screen) = &mut screen {
            let text = ratatui::text::Line::raw(frames.to_string());
            let _ = screen.draw(|frame| frame.render_widget(text, frame.area()));
        }
        frames += 1;
        match (frames, elsewhere) {
            (100, false) => on_purpose(),
            (100, true) => drop(std::thread::spawn(on_purpose)),
            _ => {}
        }
    }
}
