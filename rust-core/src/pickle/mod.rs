//! Python's pickle format, for plain data only.
//!
//! RQ carries a job as `pickle((function, instance, args, kwargs))`, and Frappe keeps
//! sessions as pickles. Python's own reader runs whatever a pickle names. [`read()`]
//! understands what Python makes of strings, bytes, numbers, booleans, None, lists,
//! tuples and dicts, protocols 2 to 5, and exactly two classes, Frappe's `_dict` (a dict)
//! and `datetime.datetime` without zone; it builds nothing else. [`write()`] makes what
//! any Python can load.
//!
//! What hostile input could try, and the bound that stops it:
//!
//! | attempt | bound |
//! |---|---|
//! | call something (`REDUCE` of `os.system`) | only two classes resolve, neither runs code |
//! | announce a huge length | lengths are checked against the bytes that are there |
//! | share one value a million times | what comes out is counted: [`Limits`] |
//! | nest or refer to itself | [`Limits::depth`] |
//!
//! Every other class, opcode or use is [`Unreadable`]: the caller then leaves it to
//! Python.

mod copy;
mod read;
mod value;
mod write;

pub use read::read;
pub(crate) use value::DictBuilder;
pub use value::{Unreadable, Value};
pub use write::{Unwritable, write, write_call};

/// What one pickle may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of input.
    pub input: usize,
    /// Values made while reading, and again values in the result.
    pub values: usize,
    /// Bytes of text in the result.
    pub text: usize,
    /// Containers in containers.
    pub depth: usize,
}

/// Opcodes, named as in Python's `pickletools`.
mod op {
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const FRAME: u8 = 0x95;
    pub(super) const STOP: u8 = b'.';
    pub(super) const MARK: u8 = b'(';
    pub(super) const POP: u8 = b'0';
    pub(super) const POP_MARK: u8 = b'1';
    pub(super) const DUP: u8 = b'2';

    pub(super) const NONE: u8 = b'N';
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const BINFLOAT: u8 = b'G';

    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(super) const BINUNICODE8: u8 = 0x8d;
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const SHORT_BINBYTES: u8 = b'C';
    pub(super) const BINBYTES8: u8 = 0x8e;
    pub(super) const BYTEARRAY8: u8 = 0x96;

    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const LIST: u8 = b'l';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE2: u8 = 0x86;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const DICT: u8 = b'd';

    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';

    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const STACK_GLOBAL: u8 = 0x93;
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const NEWOBJ: u8 = 0x81;
    pub(super) const BUILD: u8 = b'b';
}

#[cfg(test)]
mod tests;
