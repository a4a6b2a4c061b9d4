//! Bytes from a stranger, made fit for a screen.

use std::fmt::Write as _;

/// The longest line that is kept, in bytes of its shown form. What a longer
/// one loses is said at its end.
pub const LONGEST_LINE: usize = 4096;

/// The longest text of a stranger that is repeated in a sentence, bytes.
const LONGEST_QUOTE: usize = 300;

/// Tab stops, as terminals have them.
const TAB: usize = 8;

/// A log line as it may be shown: valid text on one line, no control character
/// that a terminal would obey, tabs as spaces, and at most [`LONGEST_LINE`]
/// bytes.
///
/// An ANSI escape sequence is shown, not obeyed: `\x1b[31m` reads `␛[31m`.
pub fn printable(bytes: &[u8]) -> String {
    printable_start(bytes, 0)
}

/// A stranger's words, made short and fit for the screen.
pub fn quote(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = printable(line.as_bytes());
    if shown.len() > LONGEST_QUOTE {
        let cut = (0..=LONGEST_QUOTE)
            .rev()
            .find(|at| shown.is_char_boundary(*at));
        shown.truncate(cut.unwrap_or(0));
        shown.push('…');
    }
    shown
}

/// Like [`printable`], for a line of which only the first `bytes` were kept:
/// `missing` more were dropped while it was read. At least [`LONGEST_LINE`]
/// bytes must have been kept for their number to be told.
pub fn printable_start(bytes: &[u8], missing: usize) -> String {
    let total = bytes.len() + missing;
    let mut shown = String::with_capacity(bytes.len().min(LONGEST_LINE));
    let mut column = 0;
    let mut read = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown.len() >= LONGEST_LINE {
                return cut(shown, total - read);
            }
            read += c.len_utf8();
            column += push(&mut shown, c, column);
        }
        for byte in chunk.invalid() {
            if shown.len() >= LONGEST_LINE {
                return cut(shown, total - read);
            }
            read += 1;
            let hex = format!("\\x{byte:02x}");
            column += hex.len();
            shown.push_str(&hex);
        }
    }
    shown
}

/// Adds one character, and says how many columns it took (a wide character
/// counts as one: only tabs need the count, and they are rare beside it).
fn push(shown: &mut String, c: char, column: usize) -> usize {
    match c {
        '\t' => {
            let width = TAB - column % TAB;
            shown.extend(std::iter::repeat_n(' ', width));
            width
        }
        '\u{7f}' => {
            shown.push('␡');
            1
        }
        // The Unicode block of control pictures mirrors the control characters.
        '\0'..='\u{1f}' => {
            shown.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'));
            1
        }
        // C1 controls, and what would reorder or hide the text around it.
        '\u{80}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => {
            let escape = format!("\\u{{{:x}}}", c as u32);
            let width = escape.len();
            shown.push_str(&escape);
            width
        }
        c => {
            shown.push(c);
            1
        }
    }
}

fn cut(mut shown: String, rest: usize) -> String {
    // Writing to a string cannot fail.
    let _ = write!(shown, "… ({rest} bytes more)");
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_tabs_and_broken_text_are_shown_not_obeyed() {
        assert_eq!(printable(b"\x1b[31mred\x07"), "␛[31mred␇");
        assert_eq!(printable(b"*X* 65536\t0.5"), "*X* 65536       0.5");
        assert_eq!(printable(b"a\xff\xfeb"), "a\\xff\\xfeb");
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(printable("größe".as_bytes()), "größe");
    }

    #[test]
    fn a_line_of_a_mebibyte_is_cut_and_says_so() {
        let shown = printable(&vec![b'x'; 1 << 20]);
        assert!(shown.len() < LONGEST_LINE + 40, "{}", shown.len());
        assert!(
            shown.ends_with("(1044480 bytes more)"),
            "{}",
            &shown[shown.len() - 40..]
        );
    }

    #[test]
    fn what_was_never_kept_is_counted_too() {
        let whole = printable(&vec![b'x'; 1 << 20]);
        assert_eq!(printable_start(&[b'x'; 8192], (1 << 20) - 8192), whole);
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_gets_through(bytes: Vec<u8>) {
            prop_assert!(!printable(&bytes).chars().any(char::is_control));
        }
    }
}
