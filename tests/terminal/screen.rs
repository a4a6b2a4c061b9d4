//! What a person reads off the screen, and the keys that they press.

use termlens::{Key, Screen, Terminal};

/// Looks at a terminal.
pub trait See {
    /// Waits for a whole frame that shows something; a failure shows the screen.
    fn see(&mut self, what: impl FnMut(&Screen) -> bool) -> Screen;
}

impl See for Terminal {
    #[track_caller]
    fn see(&mut self, what: impl FnMut(&Screen) -> bool) -> Screen {
        let seen = self.wait_frame(what);
        let Ok(screen) = seen else {
            panic!("never seen; at the end:\n{}", self.screen().full_text());
        };
        screen
    }
}

/// Both sides run and the curve has begun.
pub fn at_work(screen: &Screen) -> bool {
    let header = screen.row_text(0);
    header.contains("2/2") && header.contains("iB/s") && header.contains("live")
}

/// The rows of a trial in the ledger.
pub fn trial(screen: &Screen, number: usize) -> Option<String> {
    let number = format!("#{number} ");
    let rows = (0..screen.rows()).map(|row| screen.row_text(row));
    // The curve has the number too, the row of the ledger begins with it.
    rows.skip_while(|row| !row.contains("Ledger"))
        .find(|row| row.contains(&number))
}

/// The trial is over and was survived with nothing lost or doubled.
pub fn survived(number: usize) -> impl Fn(&Screen) -> bool {
    move |screen| {
        trial(screen, number).is_some_and(|row| {
            ["✓", "0 lost", "0 dup"]
                .iter()
                .all(|word| row.contains(word))
        })
    }
}

/// Presses a key and waits for what it must bring.
#[track_caller]
pub fn press(terminal: &mut Terminal, key: char, brings: impl FnMut(&Screen) -> bool) -> Screen {
    terminal.send(Key::Char(key)).unwrap();
    terminal.see(brings)
}

/// Kills through the fault menu and waits until the ledger says how it went.
#[track_caller]
pub fn kill(terminal: &mut Terminal, aim: Option<char>, fault: char, trial: usize) -> Screen {
    inject(terminal, aim, fault);
    terminal.see(survived(trial))
}

/// Opens the fault menu, reads the victim's name in it, and injects.
#[track_caller]
pub fn inject(terminal: &mut Terminal, aim: Option<char>, fault: char) {
    let victim = |screen: &Screen, name: &str| {
        let text = screen.text();
        let menu = text
            .lines()
            .skip_while(|line| !line.contains("Inject a fault"));
        menu.into_iter()
            .any(|line| line.contains("victim") && line.contains(name))
    };
    press(terminal, 'x', |s| victim(s, "generated-perftestclient-"));
    if let Some(side) = aim {
        press(terminal, side, |s| victim(s, "generated-perftestserver-"));
    }
    terminal.send(Key::Char(fault)).unwrap();
}

/// Leaves with `q`, which must end well.
#[track_caller]
pub fn leave(mut terminal: Terminal) {
    terminal.send(Key::Char('q')).unwrap();
    let status = terminal.wait_exit().unwrap();
    assert!(status.success(), "{status:?}\n{}", terminal.screen().text());
}
