//! Where no file is the clone of another one.

use std::fs::File;
use std::io;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn clone(_file: &File, _model: &File) -> io::Result<()> {
    unsupported()
}

pub(super) fn next_data(_file: &File, position: u64) -> Option<u64> {
    Some(position)
}

pub(super) fn read(_file: &File, _position: u64, _buffer: &mut [u8]) -> io::Result<usize> {
    unsupported()
}

pub(super) fn write(_file: &File, _position: u64, _bytes: &[u8]) -> io::Result<()> {
    unsupported()
}

pub(super) fn punch(_file: &File, _position: u64, _length: u64) -> io::Result<()> {
    unsupported()
}
