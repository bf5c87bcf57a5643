//! How large the root is to be: `--rootfs-size` and the key `rootfs_size`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What is wished of the root's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootfsSize {
    /// So many bytes.
    Exactly(u64),
    /// So many bytes more than now.
    Add(u64),
    /// As many as the plan needs; no more than now where it fits.
    Minimum,
}

/// Letters of the units, each 1024 times the one before; the first is 1024 bytes.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];
const EXAMPLES: &str = "write 256M, 1G or 1GiB (units of 1024), bytes without a unit, +64M to add, or min";

impl FromStr for RootfsSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.eq_ignore_ascii_case("min") {
            return Ok(Self::Minimum);
        }
        let (added, number) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        let refuse = |what: &str| Error::usage(format!("`{text}` is no size: {what}")).remedy(EXAMPLES);
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, unit) = number.split_at(digits);
        let count = match digits.parse::<u64>() {
            Ok(count) => count,
            Err(_) if digits.is_empty() => return Err(refuse("a number was expected")),
            Err(_) => return Err(refuse("it has more than 64 bits")),
        };
        let scale = scale(unit).ok_or_else(|| refuse(&format!("`{unit}` is no unit")))?;
        let bytes = count.checked_mul(scale).ok_or_else(|| refuse("it has more than 64 bits"))?;
        Ok(if added { Self::Add(bytes) } else { Self::Exactly(bytes) })
    }
}

/// Bytes of the unit `text`: nothing, `M` or `MiB`. `MB` is none, as some count 1000 in it.
fn scale(text: &str) -> Option<u64> {
    let mut letters = text.chars();
    let Some(letter) = letters.next() else { return Some(1) };
    let rest = letters.as_str();
    let power = UNITS.iter().position(|unit| unit.eq_ignore_ascii_case(&letter))?;
    let known = rest.is_empty() || rest.eq_ignore_ascii_case("ib");
    known.then(|| (0..=power).fold(1, |scale, _| scale << 10))
}

impl fmt::Display for RootfsSize {
    /// As it can be given, in the largest unit that keeps it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bytes) = match *self {
            Self::Minimum => return f.write_str("min"),
            Self::Exactly(bytes) => ("", bytes),
            Self::Add(bytes) => ("+", bytes),
        };
        let units = (1u32..).zip(UNITS).filter(|(power, _)| bytes != 0 && bytes.trailing_zeros() >= 10 * power);
        match units.last() {
            Some((power, unit)) => write!(f, "{sign}{}{unit}", bytes >> (10 * power)),
            None => write!(f, "{sign}{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_read_back_as_they_are_shown() {
        for (text, size, shown) in [
            ("256M", RootfsSize::Exactly(256 << 20), "256M"),
            ("1GiB", RootfsSize::Exactly(1 << 30), "1G"),
            ("1024m", RootfsSize::Exactly(1 << 30), "1G"),
            ("2tib", RootfsSize::Exactly(2 << 40), "2T"),
            ("109051904", RootfsSize::Exactly(104 << 20), "104M"),
            ("+513k", RootfsSize::Add(513 << 10), "+513K"),
            ("+0", RootfsSize::Add(0), "+0"),
            ("1000", RootfsSize::Exactly(1000), "1000"),
            ("MIN", RootfsSize::Minimum, "min"),
        ] {
            assert_eq!(text.parse::<RootfsSize>().unwrap(), size);
            assert_eq!(size.to_string(), shown);
            assert_eq!(shown.parse::<RootfsSize>().unwrap(), size);
        }
    }

    #[test]
    fn what_is_no_size_is_told_with_examples() {
        for (text, message) in [
            ("", "`` is no size: a number was expected"),
            ("+", "`+` is no size: a number was expected"),
            ("-5M", "`-5M` is no size: a number was expected"),
            ("much", "`much` is no size: a number was expected"),
            ("1MB", "`1MB` is no size: `MB` is no unit"),
            ("1.5G", "`1.5G` is no size: `.5G` is no unit"),
            ("5 M", "`5 M` is no size: ` M` is no unit"),
            ("99999999999999999999", "`99999999999999999999` is no size: it has more than 64 bits"),
            ("99999999T", "`99999999T` is no size: it has more than 64 bits"),
        ] {
            let error = text.parse::<RootfsSize>().unwrap_err();
            assert_eq!((error.message(), error.remedy_text()), (message, Some(EXAMPLES)));
        }
    }
}
