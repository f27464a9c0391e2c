//! Python's pickle format, for plain data only.
//!
//! RQ carries a job as `pickle((function, instance, args, kwargs))`. [`write()`] makes what
//! any Python can load; [`read()`] understands what Python makes of strings, numbers,
//! booleans, None, lists, tuples and dicts, protocols 2 to 5, and builds nothing else.
//!
//! # Rules
//!
//! - Nothing is looked up or called. The single global that is understood is
//!   `datetime.datetime` (jobs made in Python carry due times as such objects); it becomes
//!   its ISO text. Every other global, class, set or buffer is an error.
//! - Bytes from outside cost what [`Limits`] allow, whatever they claim: no length is
//!   believed before the input is seen to be that long, and what a memo repeats counts
//!   every time.
//! - An error says that this is no plain data; whose fault that is, the caller knows.

mod datetime;
mod read;
mod write;

pub use read::{Limits, ReadError, read};
pub use write::{write, write_call};

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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(".{0,8}", inner, 0..8)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in json_value()) {
            let mut bytes = Vec::new();
            write(&mut bytes, &value);
            prop_assert_eq!(read(&bytes, Limits::default()).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, Limits::default());
        }

        #[test]
        fn no_damage_makes_the_reader_panic(
            value in json_value(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, &value);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(&bytes, Limits::default());
            let _ = read(&bytes[..at], Limits::default());
        }
    }

    #[test]
    fn integers_of_every_size_come_back() {
        for n in [
            0,
            1,
            -1,
            255,
            256,
            65_536,
            i64::from(i32::MIN),
            i64::MAX,
            i64::MIN,
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, &json!(n));
            assert_eq!(read(&bytes, Limits::default()).unwrap(), json!(n));
        }
        let mut bytes = Vec::new();
        write(&mut bytes, &json!(u64::MAX));
        assert_eq!(read(&bytes, Limits::default()).unwrap(), json!(u64::MAX));
    }
}
