//! What serde can serialise as plain data, to pickle protocol 2, which every Python 3 loads.

use std::fmt::Display;
use std::ops::Range;

use serde::ser::{self, Impossible, Serialize};

use super::op;

/// Why something could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot be written as plain data: {0}")]
pub struct Unwritable(String);

impl ser::Error for Unwritable {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Appends `value` as one complete pickle.
///
/// # Errors
/// [`Unwritable`] for bytes, for enums with content, and for dicts with other keys than texts.
/// JSON has nothing of these.
pub fn write(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Unwritable> {
    out.extend([op::PROTO, 2]);
    value.serialize(&mut Writer::new(out))?;
    out.push(op::STOP);
    Ok(())
}

/// Appends a function call as RQ pickles it: the tuple `(function, None, (), kwargs)`,
/// where None stands for "no instance" and the positional arguments are empty.
///
/// # Errors
/// As [`write()`].
pub fn write_call(
    out: &mut Vec<u8>,
    function: &str,
    kwargs: &impl Serialize,
) -> Result<(), Unwritable> {
    out.extend([op::PROTO, 2, op::MARK]);
    write_str(out, function);
    out.extend([op::NONE, op::EMPTY_TUPLE]);
    kwargs.serialize(&mut Writer::new(out))?;
    out.extend([op::TUPLE, op::STOP]);
    Ok(())
}

/// Recursion is as deep as what is written, which this process built.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where in `out` the texts of keys in the memo stand, each at its place.
    keys: Vec<Range<usize>>,
}

impl<'o> Writer<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            keys: Vec::with_capacity(32),
        }
    }

    /// A dict's key, which as a rule comes again in the next: then it is two bytes.
    fn key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Unwritable> {
        let start = self.out.len();
        key.serialize(&mut *self)?;
        let text = match self.out.get(start) {
            Some(&op::BINUNICODE) => start + 5..self.out.len(),
            Some(&op::BINUNICODE8) => return Ok(()),
            _ => return Err(Unwritable("a key that is no text".to_owned())),
        };
        let known = self
            .keys
            .iter()
            .position(|known| self.out[known.clone()] == self.out[text.clone()]);
        match (known, u8::try_from(self.keys.len())) {
            (Some(at), _) => {
                self.out.truncate(start);
                self.out.extend([op::BINGET, at as u8]);
            }
            (None, Ok(at)) => {
                self.keys.push(text);
                self.out.extend([op::BINPUT, at]);
            }
            // The memo is as full as these opcodes can say.
            (None, Err(_)) => {}
        }
        Ok(())
    }

    /// Begins a list or dict, of which nothing is there yet.
    fn begin(&mut self, empty: u8) -> Collection<'_, 'o> {
        self.out.extend([empty, op::MARK]);
        Collection {
            writer: self,
            is_empty: true,
        }
    }
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    match u32::try_from(text.len()) {
        Ok(length) => {
            out.push(op::BINUNICODE);
            out.extend(length.to_le_bytes());
        }
        // Of protocol 4, which every Python that loads such a text understands.
        Err(_) => {
            out.push(op::BINUNICODE8);
            out.extend((text.len() as u64).to_le_bytes());
        }
    }
    out.extend(text.as_bytes());
}

/// A list or dict in the making.
struct Collection<'w, 'o> {
    writer: &'w mut Writer<'o>,
    is_empty: bool,
}

impl Collection<'_, '_> {
    fn add<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.is_empty = false;
        value.serialize(&mut *self.writer)
    }

    fn fill(self, fill: u8) -> Result<(), Unwritable> {
        if self.is_empty {
            // The mark.
            self.writer.out.pop();
        } else {
            self.writer.out.push(fill);
        }
        Ok(())
    }
}

impl<'w, 'o> ser::Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Collection<'w, 'o>;
    type SerializeTuple = Collection<'w, 'o>;
    type SerializeTupleStruct = Collection<'w, 'o>;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Collection<'w, 'o>;
    type SerializeStruct = Collection<'w, 'o>;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.out
            .push(if value { op::NEWTRUE } else { op::NEWFALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unwritable> {
        match i32::try_from(value) {
            Ok(small) => {
                self.out.push(op::BININT);
                self.out.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.out.extend([op::LONG1, 8]);
                self.out.extend(value.to_le_bytes());
            }
        }
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unwritable> {
        if let Ok(value) = i64::try_from(value) {
            return self.serialize_i64(value);
        }
        // Two's complement: the ninth byte keeps the sign off.
        self.out.extend([op::LONG1, 9]);
        self.out.extend(value.to_le_bytes());
        self.out.push(0);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unwritable> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        self.out.push(op::BINFLOAT);
        self.out.extend(value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        write_str(self.out, value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unwritable> {
        Err(Unwritable("bytes".to_owned()))
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.out.push(op::NONE);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unwritable> {
        Err(Unwritable(name.to_owned()))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Collection<'w, 'o>, Unwritable> {
        Ok(self.begin(op::EMPTY_LIST))
    }

    fn serialize_tuple(self, _: usize) -> Result<Collection<'w, 'o>, Unwritable> {
        Ok(self.begin(op::EMPTY_LIST))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Collection<'w, 'o>, Unwritable> {
        Ok(self.begin(op::EMPTY_LIST))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unwritable> {
        Err(Unwritable(name.to_owned()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Collection<'w, 'o>, Unwritable> {
        Ok(self.begin(op::EMPTY_DICT))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Collection<'w, 'o>, Unwritable> {
        Ok(self.begin(op::EMPTY_DICT))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unwritable> {
        Err(Unwritable(name.to_owned()))
    }
}

impl ser::SerializeSeq for Collection<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.add(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.fill(op::APPENDS)
    }
}

impl ser::SerializeTuple for Collection<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.add(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.fill(op::APPENDS)
    }
}

impl ser::SerializeTupleStruct for Collection<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.add(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.fill(op::APPENDS)
    }
}

impl ser::SerializeMap for Collection<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.writer.key(key)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.add(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.fill(op::SETITEMS)
    }
}

impl ser::SerializeStruct for Collection<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.writer.key(key)?;
        self.add(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.fill(op::SETITEMS)
    }
}
