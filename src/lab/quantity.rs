//! Quantities as objects write them: `100m`, `0.5`, `1Gi`, `2e3`.

/// The value of a quantity in thousandths, rounded up; none when it is no
/// quantity or below zero.
pub fn milli(text: &str) -> Option<u128> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (factor, divisor) = scale(suffix)?;
    let mut digits: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut divisor = divisor;
    // More digits than a byte of an exabyte needs change nothing.
    for digit in fraction.bytes().take(18) {
        digits = digits.checked_mul(10)? + u128::from(char::from(digit).to_digit(10)?);
        divisor = divisor.checked_mul(10)?;
    }
    let scaled = digits.checked_mul(factor)?.checked_mul(1000)?;
    Some(scaled.div_ceil(divisor))
}

/// What a suffix multiplies by and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let exponent = suffix.strip_prefix(['e', 'E']);
    if let Some(Ok(exponent)) = exponent.map(str::parse::<i32>) {
        let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    let binary = |power: u32| (1_u128 << (10 * power), 1);
    let decimal = |power: u32| (1000_u128.pow(power), 1);
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("1k", Some(1_000_000)),
            ("1Ki", Some(1_024_000)),
            ("2e3", Some(2_000_000)),
            ("2E", Some(2_000_000_000_000_000_000_000)),
            ("1n", Some(1)),
            ("5Ei", Some(5_764_607_523_034_234_880_000)),
            ("", None),
            ("Gi", None),
            ("-1", None),
            ("1gb", None),
            ("1.2.3", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
    }
}
