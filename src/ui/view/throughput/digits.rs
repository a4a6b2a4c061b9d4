//! Large digits, three rows high.

const UNICODE: [(char, [&str; 3]); 12] = [
    ('0', ["█▀█", "█ █", "▀▀▀"]),
    ('1', ["▀█ ", " █ ", "▀▀▀"]),
    ('2', ["▀▀█", "█▀▀", "▀▀▀"]),
    ('3', ["▀▀█", " ▀█", "▀▀▀"]),
    ('4', ["█ █", "▀▀█", "  ▀"]),
    ('5', ["█▀▀", "▀▀█", "▀▀▀"]),
    ('6', ["█▀▀", "█▀█", "▀▀▀"]),
    ('7', ["▀▀█", "  █", "  ▀"]),
    ('8', ["█▀█", "█▀█", "▀▀▀"]),
    ('9', ["█▀█", "▀▀█", "▀▀▀"]),
    ('.', [" ", " ", "▀"]),
    ('-', ["   ", "▀▀▀", "   "]),
];

const ASCII: [(char, [&str; 3]); 12] = [
    ('0', [" _ ", "| |", "|_|"]),
    ('1', ["   ", "  |", "  |"]),
    ('2', [" _ ", " _|", "|_ "]),
    ('3', [" _ ", " _|", " _|"]),
    ('4', ["   ", "|_|", "  |"]),
    ('5', [" _ ", "|_ ", " _|"]),
    ('6', [" _ ", "|_ ", "|_|"]),
    ('7', [" _ ", "  |", "  |"]),
    ('8', [" _ ", "|_|", "|_|"]),
    ('9', [" _ ", "|_|", " _|"]),
    ('.', [" ", " ", "."]),
    ('-', ["   ", " _ ", "   "]),
];

/// A figure in large digits, row by row.
pub(super) fn large(figure: &str, ascii: bool) -> [String; 3] {
    let font = if ascii { &ASCII } else { &UNICODE };
    let mut rows = [String::new(), String::new(), String::new()];
    for digit in figure.chars() {
        let Some((_, shape)) = font.iter().find(|(known, _)| *known == digit) else {
            continue;
        };
        for (row, part) in rows.iter_mut().zip(shape) {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(part);
        }
    }
    rows
}
