//! Figures and texts as the screen writes them.

use std::{borrow::Cow, time::Duration};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::core::{time::Time, workload::GIB};

/// A measured time: `312 ms`, `1.24 s`, `12.4 s`, `2m05s`.
pub fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..9_995 => format!("{:.2} s", time.as_secs_f64()),
        9_995..59_950 => format!("{:.1} s", time.as_secs_f64()),
        _ => long(time.as_secs_f64().round() as u64),
    }
}

/// A time that runs while one looks: `0.3 s`, `12 s`, `2m05s`. It changes at
/// most ten times a second.
pub fn running(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else {
        rough(time)
    }
}

/// How long something has been or will be: `4 s`, `2m05s`, `3h12m`, `5d`.
pub fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => long(seconds),
    }
}

fn long(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A number with a comma at the thousands: `10,000`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 kill`, `3 kills`.
pub fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// A size in bytes: `64 KiB`, `16 B`, `2.4 KiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 {
        format!("{value} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// [`bytes()`] where there is hardly room: `64K`, `16`, `2.4K`.
pub fn bytes_short(size: u64) -> String {
    let long = bytes(size);
    let (value, unit) = long.split_once(' ').unwrap_or((&long, ""));
    let unit = unit.chars().next().filter(|c| *c != 'B');
    format!("{value}{}", unit.map_or_else(String::new, String::from))
}

/// A unit of throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// KiB a second.
    Kib,
    /// MiB a second.
    Mib,
    /// GiB a second.
    Gib,
}

impl Unit {
    /// The unit in which a curve with this peak, in GiB/s, reads best.
    pub fn of(peak: f64) -> Self {
        if peak >= 0.0995 || peak <= 0.0 {
            Self::Gib
        } else if peak >= 0.0995 / 1024.0 {
            Self::Mib
        } else {
            Self::Kib
        }
    }

    /// `GiB/s`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kib => "KiB/s",
            Self::Mib => "MiB/s",
            Self::Gib => "GiB/s",
        }
    }

    /// A throughput in GiB/s, in this unit.
    pub const fn from_gib(self, gib_s: f64) -> f64 {
        match self {
            Self::Kib => gib_s * 1024.0 * 1024.0,
            Self::Mib => gib_s * 1024.0,
            Self::Gib => gib_s,
        }
    }

    /// The figure of a throughput in GiB/s, three digits or so.
    pub fn figure(self, gib_s: f64) -> String {
        let value = self.from_gib(gib_s);
        if value >= 99.95 {
            format!("{value:.0}")
        } else if value >= 9.995 {
            format!("{value:.1}")
        } else {
            format!("{value:.2}")
        }
    }
}

/// A throughput in GiB/s with the unit that suits it: `0.41 GiB/s`.
pub fn throughput(gib_s: f64) -> String {
    let unit = Unit::of(gib_s);
    format!("{} {}", unit.figure(gib_s), unit.name())
}

/// Bytes as GiB, for totals: `13.00 GiB`.
pub fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / GIB)
}

/// A moment of the run, to the second: `1:23`, `1:02:03`.
pub fn clock(at: Time) -> String {
    let seconds = at.0 / 1_000_000;
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if h > 0 {
        format!("{h}:{m:02}:{s:02}")
    } else {
        format!("{m}:{s:02}")
    }
}

/// The time of day of a Unix time in ms, UTC: `14:03:12.042`.
pub fn time_of_day(unix_ms: i64) -> String {
    let ms = unix_ms.rem_euclid(86_400_000);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!(
        "{:02}:{:02}:{:02}.{ms:03}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text in at most `room` columns, its end cut off with `ellipsis`.
pub fn cut<'a>(text: &'a str, room: usize, ellipsis: &str) -> Cow<'a, str> {
    // A byte is at least a column, so most texts need no measuring.
    if text.len() <= room || width(text) <= room {
        return Cow::Borrowed(text);
    }
    let Some(kept) = room.checked_sub(width(ellipsis)) else {
        return Cow::Borrowed(head(text, room));
    };
    Cow::Owned(format!("{}{ellipsis}", head(text, kept)))
}

/// A text in at most `room` columns, its middle cut out with `ellipsis`: the
/// end of a pod's name tells pods apart.
pub fn cut_middle<'a>(text: &'a str, room: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let Some(kept) = room.checked_sub(width(ellipsis)).filter(|kept| *kept > 1) else {
        return Cow::Borrowed(head(text, room));
    };
    let end = tail(text, (kept * 3).div_ceil(5));
    let start = head(text, kept - width(end));
    Cow::Owned(format!("{start}{ellipsis}{end}"))
}

/// The longest beginning of a text that fits into `room` columns.
pub fn head(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[..at];
        }
    }
    text
}

fn tail(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[at + c.len_utf8()..];
        }
    }
    text
}

/// What is left of a text when its first `columns` columns are scrolled away.
pub fn skip(text: &str, columns: usize) -> &str {
    &text[head(text, columns).len()..]
}

/// Breaks a text into lines of at most `room` columns, at spaces where it can.
pub fn wrap(text: &str, room: usize) -> Vec<&str> {
    let room = room.max(1);
    let mut lines = Vec::new();
    let mut rest = text;
    while width(rest) > room {
        let line = match head(rest, room) {
            // A character wider than the room goes on a line of its own.
            "" => &rest[..rest.chars().next().map_or(0, char::len_utf8)],
            line => line,
        };
        let at_space = rest[line.len()..].starts_with(' ');
        let line = match line.rfind(' ').filter(|at| *at > 0 && !at_space) {
            Some(at) => &line[..at],
            None => line,
        };
        lines.push(line);
        rest = rest[line.len()..].trim_start();
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let of = |ms| duration(Duration::from_millis(ms));
        assert_eq!(of(0), "0 ms");
        assert_eq!(of(999), "999 ms");
        assert_eq!(of(1_240), "1.24 s");
        assert_eq!(of(12_360), "12.4 s");
        assert_eq!(of(59_990), "1m00s");
        assert_eq!(of(125_400), "2m05s");
        assert_eq!(rough(Duration::from_secs(3_725)), "1h02m");
        assert_eq!(running(Duration::from_millis(340)), "0.3 s");
    }

    #[test]
    fn sizes_and_rates_name_their_unit() {
        assert_eq!(bytes(65_536), "64 KiB");
        assert_eq!(bytes(2_500), "2.4 KiB");
        assert_eq!(bytes_short(65_536), "64K");
        assert_eq!(bytes_short(16), "16");
        assert_eq!(throughput(0.412), "0.41 GiB/s");
        assert_eq!(throughput(0.012), "12.3 MiB/s");
        assert_eq!(throughput(0.0), "0.00 GiB/s");
        assert_eq!(throughput(0.000_01), "10.5 KiB/s");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "kill"), "1 kill");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("throughput", 6, "…"), "throu…");
        assert_eq!(cut("pods", 4, "…"), "pods");
        assert_eq!(
            cut_middle("generated-perftestclient-7d9f8-x2x4z", 20, "…"),
            "generat…-7d9f8-x2x4z"
        );
    }

    #[test]
    fn text_breaks_at_spaces() {
        assert_eq!(wrap("no pods in default", 8), ["no pods", "in", "default"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_room(text in "[a-zß中 \u{301}]{0,40}", room in 0usize..30) {
            prop_assert!(width(&cut(&text, room, "…")) <= room);
            prop_assert!(width(&cut_middle(&text, room, "…")) <= room);
            prop_assert!(width(skip(&text, room)) <= width(&text));
            for line in wrap(&text, room) {
                prop_assert!(width(line) <= room.max(2));
            }
        }
    }
}
