//! The terminal: taken once, given back on every way out.
//!
//! Quit, error, panic, SIGTERM, SIGHUP, a lost tty and suspend all go through
//! [`restore`], which does nothing the second time.

use std::{
    io::{self, BufWriter, Stdout, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    Command, cursor,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

/// Holds the largest frame, so that each is one write.
const FRAME_BUFFER: usize = 64 * 1024;

/// Whether the terminal is ours at the moment.
static TAKEN: AtomicBool = AtomicBool::new(false);

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
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal, and makes sure that a panic gives it back.
    ///
    /// A panic anywhere in the cockpit ends it: a screen whose tasks died
    /// behind it would show a world that no longer is.
    pub fn take() -> io::Result<Self> {
        let then = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let was_ours = TAKEN.load(Ordering::SeqCst);
            restore();
            then(panic);
            if was_ours {
                std::process::exit(101);
            }
        }));
        enter()?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME_BUFFER, io::stdout()));
        Ok(Self {
            terminal: Terminal::new(backend)?,
        })
    }

    /// Draws one frame, as one write inside one synchronized update.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        Write::flush(self.terminal.backend_mut())
    }

    /// Forgets what is on the screen: the next frame is drawn whole.
    pub fn forget(&mut self) -> io::Result<()> {
        self.terminal.clear()
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
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        Mouse(true),
        EnableBracketedPaste,
        cursor::Hide
    )
}

/// Gives the terminal back as it was found. Does nothing if it is not ours.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
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
    let _ = disable_raw_mode();
}

/// Takes the screen and panics, so that a test can look at what is left.
#[cfg(debug_assertions)]
pub fn panic_on_screen() -> ! {
    let _screen = Screen::take();
    panic!("the cockpit panicked on purpose");
}
