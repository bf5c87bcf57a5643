//! An inflater that stops between deflate blocks and tells at which bit.
//!
//! Copying blocks from one stream to another needs the bit where each begins. zlib tells it (`Z_BLOCK` and
//! `data_type`, zlib.h), and so does zlib-rs, but only through its C interface: its safe one keeps the field to itself.
//! This module holds all the calls of that interface, and so all the unsafe code of this crate. What the calls rely on:
//! the stream lies in one box from `inflateInit2_` to `inflateEnd`, and the pointers into input and output are set
//! before each call from slices that outlive it, and never followed behind it.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::ptr::null_mut;

use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_OK, Z_STREAM_END, inflate, inflateEnd, inflateInit2_, inflatePrime, z_stream, zlibVersion,
};

/// A deflate stream without a zlib or gzip header, with the largest window (zlib.h, `inflateInit2`).
const RAW: c_int = -15;
/// Bits of `data_type` (zlib.h, `inflate`): how many bits of what was taken are left, whether the block is the last
/// one, and whether it just ended.
const LEFT_BITS: c_int = 63;
const IN_LAST_BLOCK: c_int = 64;
const BETWEEN_BLOCKS: c_int = 128;

/// Where the inflater stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Somewhere in a block: it wants more input, or more room for output.
    InBlock,
    /// Between two blocks.
    BetweenBlocks,
    /// Behind the last block, but not at the byte border behind it yet.
    BehindLast,
    /// At that byte border.
    AtEnd,
}

/// What one call did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) eaten: usize,
    /// Bytes put into the output.
    pub(super) made: usize,
    /// Where that led.
    pub(super) place: Place,
    /// How many bits at the end of what was taken do not belong to what was inflated.
    pub(super) left_bits: u8,
}

/// An inflater.
pub(super) struct Inflater {
    stream: Box<z_stream>,
}

impl Inflater {
    /// One that stands at the beginning of a stream. `None` when there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        let mut stream = Box::new(z_stream::default());
        let size = c_int::try_from(size_of::<z_stream>()).ok()?;
        // SAFETY: the stream is ours, its allocator fields are the default ones, the version string is the library's own.
        let code = unsafe { inflateInit2_(&raw mut *stream, RAW, zlibVersion(), size) };
        (code == Z_OK).then_some(Self { stream })
    }

    /// Inflates from `input` to `output` until one of them is used up or a block ends.
    ///
    /// # Errors
    /// What is wrong with the stream, in zlib's words.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        // More than 4 GiB at once is never asked for; the rest would come with the next call.
        let (given, room) =
            (u32::try_from(input.len()).unwrap_or(u32::MAX), u32::try_from(output.len()).unwrap_or(u32::MAX));
        self.stream.next_in = input.as_ptr().cast_mut();
        self.stream.avail_in = given;
        self.stream.next_out = output.as_mut_ptr();
        self.stream.avail_out = room;
        // SAFETY: the stream was initialised, and the pointers with their lengths are those of two living slices, of
        // which inflate writes only to the output.
        let code = unsafe { inflate(&raw mut *self.stream, Z_BLOCK) };
        let (eaten, made) = (given - self.stream.avail_in, room - self.stream.avail_out);
        self.stream.next_in = null_mut();
        self.stream.avail_in = 0;
        self.stream.next_out = null_mut();
        self.stream.avail_out = 0;
        let data_type = self.stream.data_type;
        let place = match code {
            Z_STREAM_END => Place::AtEnd,
            Z_OK | Z_BUF_ERROR if data_type & BETWEEN_BLOCKS != 0 => match data_type & IN_LAST_BLOCK {
                0 => Place::BetweenBlocks,
                _ => Place::BehindLast,
            },
            Z_OK | Z_BUF_ERROR => Place::InBlock,
            _ => return Err(self.complaint().unwrap_or_else(|| format!("zlib error {code}"))),
        };
        // Both were cast up from slice lengths; the mask leaves six bits.
        let length = |count: u32| usize::try_from(count).unwrap_or(0);
        let left_bits = u8::try_from(data_type & LEFT_BITS).unwrap_or(0);
        Ok(Step { eaten: length(eaten), made: length(made), place, left_bits })
    }

    /// Goes on, between two blocks, with the `count` low bits of `bits` in the place of those left of the last byte.
    ///
    /// # Errors
    /// None with `count` up to 7; zlib's words otherwise.
    pub(super) fn replace_left_bits(&mut self, count: u8, bits: u8) -> Result<(), String> {
        // SAFETY: the stream was initialised; a negative count empties the bit buffer, the second call fills it.
        let codes = unsafe {
            [
                inflatePrime(&raw mut *self.stream, -1, 0),
                inflatePrime(&raw mut *self.stream, c_int::from(count), c_int::from(bits)),
            ]
        };
        if codes == [Z_OK; 2] { Ok(()) } else { Err(format!("zlib errors {codes:?}")) }
    }

    fn complaint(&self) -> Option<String> {
        let message = self.stream.msg;
        if message.is_null() {
            return None;
        }
        // SAFETY: zlib.h: a message is a static, NUL-terminated string.
        let text = unsafe { CStr::from_ptr(message) };
        Some(text.to_string_lossy().into_owned())
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: the stream was initialised, and nobody uses it afterwards.
        unsafe { inflateEnd(&raw mut *self.stream) };
    }
}
