//! Values of an ADB block (adb.h): words whose upper four bits are a type, the others a number or an offset.

use crate::error::{Error, Result};
use crate::kernel::bytes::{slice, u16_at, u32_at, u64_at};

/// Types, the upper four bits of a value.
const SPECIAL: u32 = 0x0;
const INT: u32 = 0x1;
const INT32: u32 = 0x2;
const INT64: u32 = 0x3;
const BLOB8: u32 = 0x8;
const BLOB16: u32 = 0x9;
const BLOB32: u32 = 0xA;
const ARRAY: u32 = 0xD;
const OBJECT: u32 = 0xE;

/// A value of the block; 0 is "nothing there".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value(u32);

/// The payload of an ADB block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adb<'a>(pub(super) &'a [u8]);

/// The slots of an array or object, from 1; those that are not there are nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots<'a> {
    adb: Adb<'a>,
    /// Offset of slot 0, which is the number of slots with itself.
    offset: u64,
    count: u32,
}

impl Value {
    /// Whether nothing is there.
    pub(super) fn is_null(self) -> bool {
        self.0 == 0
    }

    fn kind(self) -> u32 {
        self.0 >> 28
    }

    fn low(self) -> u64 {
        u64::from(self.0 & 0x0FFF_FFFF)
    }

    fn wrong(self, wanted: &str) -> Error {
        Error::corrupt(format!("the value 0x{:08x} is no {wanted}, or lies outside the block", self.0))
            .remedy("fetch or build the package anew")
    }
}

impl<'a> Adb<'a> {
    /// The object that everything hangs on: the header is the version that is needed to read the block (one byte), the
    /// version that wrote it (one byte), two bytes of zero, and the root value.
    ///
    /// # Errors
    /// Corrupt, or unsupported: a newer version.
    pub(super) fn root(self) -> Result<Slots<'a>> {
        let cut = || Error::corrupt("it is cut short").remedy("fetch or build the package anew");
        match self.0.first() {
            Some(0) => {}
            Some(version) => {
                return Err(Error::unsupported(format!(
                    "reading it needs version {version} of the format; 0 is known"
                ))
                .remedy("build the package with apk-tools 3.0"));
            }
            None => return Err(cut()),
        }
        self.object(Value(u32_at(self.0, 4).ok_or_else(cut)?))
    }

    /// A number; 0 where nothing is there.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn int(self, value: Value) -> Result<u64> {
        let wrong = || value.wrong("number");
        match value.kind() {
            SPECIAL if value.low() <= 2 => Ok(u64::from(value.low() == 1)),
            INT => Ok(value.low()),
            INT32 => Ok(u64::from(u32_at(self.0, value.low()).ok_or_else(wrong)?)),
            INT64 => u64_at(self.0, value.low()).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// Bytes, and where they stand in the payload; nothing where nothing is there.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn blob_at(self, value: Value) -> Result<Option<(u64, &'a [u8])>> {
        let wrong = || value.wrong("blob");
        let offset = value.low();
        let (prefix, length) = match value.kind() {
            SPECIAL if value.is_null() => return Ok(None),
            BLOB8 => (1, slice(self.0, offset, 1).and_then(|byte| byte.first().copied()).map(u64::from)),
            BLOB16 => (2, u16_at(self.0, offset).map(u64::from)),
            BLOB32 => (4, u32_at(self.0, offset).map(u64::from)),
            _ => return Err(wrong()),
        };
        let start = offset.saturating_add(prefix);
        let bytes = slice(self.0, start, length.ok_or_else(wrong)?).ok_or_else(wrong)?;
        Ok(Some((start, bytes)))
    }

    /// Bytes; empty where nothing is there.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn blob(self, value: Value) -> Result<&'a [u8]> {
        Ok(self.blob_at(value)?.map_or(&[][..], |(_, bytes)| bytes))
    }

    /// Text; empty where nothing is there.
    ///
    /// # Errors
    /// Corrupt, also where it is not UTF-8 or holds control characters.
    pub(super) fn text(self, value: Value) -> Result<String> {
        let bytes = self.blob(value)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
            _ => Err(Error::corrupt(format!("{:?} is no text", String::from_utf8_lossy(bytes)))),
        }
    }

    /// The slots of an array; none where nothing is there.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn array(self, value: Value) -> Result<Slots<'a>> {
        self.slots(value, "array")
    }

    /// The slots of an object; none where nothing is there.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn object(self, value: Value) -> Result<Slots<'a>> {
        self.slots(value, "object")
    }

    /// Readers take either tag for either (adb.c, adb_r_obj), and apk tags arrays as objects.
    fn slots(self, value: Value, wanted: &str) -> Result<Slots<'a>> {
        if value.is_null() {
            return Ok(Slots { adb: self, offset: 0, count: 1 });
        }
        let wrong = || value.wrong(wanted);
        let offset = value.low();
        let count = u32_at(self.0, offset)
            .filter(|count| matches!(value.kind(), ARRAY | OBJECT) && *count > 0)
            .ok_or_else(wrong)?;
        slice(self.0, offset, u64::from(count).saturating_mul(4)).ok_or_else(wrong)?;
        Ok(Slots { adb: self, offset, count })
    }
}

impl<'a> Slots<'a> {
    /// The value in slot `number`, from 1.
    pub(super) fn get(self, number: u32) -> Value {
        let there = number > 0 && number < self.count;
        let value = there.then(|| u32_at(self.adb.0, self.offset.saturating_add(u64::from(number).saturating_mul(4))));
        Value(value.flatten().unwrap_or(0))
    }

    /// Every value, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = Value> + use<'a> {
        (1..self.count).map(move |number| self.get(number))
    }

    /// Refuses an object with something in a slot behind the last that is known.
    ///
    /// # Errors
    /// Unsupported.
    pub(super) fn check_known(self, last: u32, what: &str) -> Result<()> {
        let unknown = (last.saturating_add(1)..self.count).find(|number| !self.get(*number).is_null());
        match unknown {
            None => Ok(()),
            Some(number) => Err(Error::unsupported(format!(
                "{what} has a field {number}, but only {last} are known: a newer apk-tools has written it"
            ))
            .remedy("build the package with apk-tools 3.0")),
        }
    }
}
