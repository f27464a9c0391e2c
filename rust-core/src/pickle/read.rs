//! Pickle to plain data.
//!
//! The pickle machine has a stack, a memo, and objects that refer to each other. Objects
//! live in one `Vec` and are named by their index, so that a list that is filled after
//! it was memoized, or that contains itself, is as harmless here as any other; the result
//! is copied out of it at the end, under the same limits.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::datetime::iso_text;
use super::op;

/// What one pickle may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of input.
    pub input: usize,
    /// Objects made while reading, and again values in the result.
    pub values: usize,
    /// Bytes of text in the result.
    pub text: usize,
    /// Containers in containers.
    pub depth: usize,
}

impl Default for Limits {
    /// Room for a batch of 50 answers many times over.
    fn default() -> Self {
        Self {
            input: 1 << 20,
            values: 50_000,
            text: 2 << 20,
            depth: 32,
        }
    }
}

/// Why a pickle was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It ends too early, or an operand or the order of operations is wrong.
    #[error("damaged pickle")]
    Damaged,
    /// It is, or may be, more than plain data.
    #[error("pickle of something other than plain data (opcode {0:#04x})")]
    NotPlain(u8),
    /// It exceeds [`Limits`].
    #[error("pickle is too large")]
    TooLarge,
}

type Result<T> = std::result::Result<T, ReadError>;

/// Reads one pickle. Tuples become arrays, datetimes ISO text.
///
/// # Errors
/// See [`ReadError`]; also for what JSON cannot hold: numbers that are not finite or
/// beyond 64 bits, keys that are no text, text that is no Unicode.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Value> {
    if bytes.len() > limits.input {
        return Err(ReadError::TooLarge);
    }
    let mut machine = Machine {
        input: bytes,
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        limits,
    };
    let root = machine.run()?;
    let mut copy = Copy {
        objects: &machine.objects,
        values: limits.values,
        text: limits.text,
    };
    copy.value(root, limits.depth)
}

/// Index into [`Machine::objects`].
type Id = usize;

enum Object<'a> {
    Plain(Value),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A list or a tuple.
    Sequence(Vec<Id>),
    /// Keys and values in turn.
    Dict(Vec<Id>),
    /// The class `datetime.datetime`.
    DateTimeClass,
}

struct Machine<'a> {
    /// What is still to be read.
    input: &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    limits: Limits,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                op::STOP => return self.pop(),
                op::PROTO => {
                    if !(2..=5).contains(&self.byte()?) {
                        return Err(ReadError::Damaged);
                    }
                }
                // Only tells how far to read ahead.
                op::FRAME => {
                    self.take(8)?;
                }
                op::MARK => self.marks.push(self.stack.len()),
                op::POP => {
                    self.pop()?;
                }
                op::POP_MARK => {
                    self.pop_to_mark()?;
                }
                op::DUP => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                op::NONE
                | op::NEWTRUE
                | op::NEWFALSE
                | op::BININT
                | op::BININT1
                | op::BININT2
                | op::LONG1
                | op::BINFLOAT => {
                    let value = self.scalar(opcode)?;
                    self.push(Object::Plain(value))?;
                }
                op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => {
                    let bytes = self.sized(opcode)?;
                    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Damaged)?;
                    self.push(Object::Text(text))?;
                }
                op::BINBYTES | op::SHORT_BINBYTES => {
                    let bytes = self.sized(opcode)?;
                    self.push(Object::Bytes(bytes))?;
                }
                op::EMPTY_LIST | op::EMPTY_TUPLE => self.push(Object::Sequence(Vec::new()))?,
                op::EMPTY_DICT => self.push(Object::Dict(Vec::new()))?,
                op::LIST | op::TUPLE => {
                    let items = self.pop_to_mark()?;
                    self.push(Object::Sequence(items))?;
                }
                op::DICT => {
                    let items = self.pop_to_mark()?;
                    self.push(Object::Dict(Vec::new()))?;
                    self.extend(opcode, items)?;
                }
                op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                    let items = self.pop_n(usize::from(opcode - op::TUPLE1) + 1)?;
                    self.push(Object::Sequence(items))?;
                }
                op::APPEND | op::SETITEM => {
                    let count = if opcode == op::APPEND { 1 } else { 2 };
                    let items = self.pop_n(count)?;
                    self.extend(opcode, items)?;
                }
                op::APPENDS | op::SETITEMS => {
                    let items = self.pop_to_mark()?;
                    self.extend(opcode, items)?;
                }
                op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                    let key = match opcode {
                        op::BINPUT => u32::from(self.byte()?),
                        op::LONG_BINPUT => self.u32()?,
                        _ => self.memo.len() as u32,
                    };
                    let top = self.top()?;
                    self.memo.insert(key, top);
                }
                op::BINGET | op::LONG_BINGET => {
                    let key = match opcode {
                        op::BINGET => u32::from(self.byte()?),
                        _ => self.u32()?,
                    };
                    let id = *self.memo.get(&key).ok_or(ReadError::Damaged)?;
                    self.stack.push(id);
                }
                op::GLOBAL => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(opcode, module, name)?;
                }
                op::STACK_GLOBAL => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    match (&self.objects[module], &self.objects[name]) {
                        (&Object::Text(module), &Object::Text(name)) => {
                            self.global(opcode, module.as_bytes(), name.as_bytes())?;
                        }
                        _ => return Err(ReadError::Damaged),
                    }
                }
                op::REDUCE => self.call_datetime()?,
                other => return Err(ReadError::NotPlain(other)),
            }
        }
    }

    fn scalar(&mut self, opcode: u8) -> Result<Value> {
        Ok(match opcode {
            op::NONE => Value::Null,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => i32::from_le_bytes(self.array()?).into(),
            op::BININT1 => self.byte()?.into(),
            op::BININT2 => u16::from_le_bytes(self.array()?).into(),
            op::LONG1 => {
                let length = usize::from(self.byte()?);
                long(self.take(length)?)?
            }
            _ => Number::from_f64(f64::from_be_bytes(self.array()?))
                .ok_or(ReadError::Damaged)?
                .into(),
        })
    }

    /// The bytes of a text or byte string, after their length.
    fn sized(&mut self, opcode: u8) -> Result<&'a [u8]> {
        let length = match opcode {
            op::SHORT_BINUNICODE | op::SHORT_BINBYTES => usize::from(self.byte()?),
            op::BINUNICODE8 => usize::try_from(u64::from_le_bytes(self.array()?))
                .map_err(|_| ReadError::TooLarge)?,
            _ => self.u32()? as usize,
        };
        self.take(length)
    }

    /// Puts items into the container on top of the stack.
    fn extend(&mut self, opcode: u8, items: Vec<Id>) -> Result<()> {
        let appends = matches!(opcode, op::APPEND | op::APPENDS);
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::Sequence(list) if appends => list.extend(items),
            Object::Dict(dict) if !appends && items.len().is_multiple_of(2) => dict.extend(items),
            _ => return Err(ReadError::Damaged),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8, module: &[u8], name: &[u8]) -> Result<()> {
        if module == b"datetime" && name == b"datetime" {
            self.push(Object::DateTimeClass)
        } else {
            Err(ReadError::NotPlain(opcode))
        }
    }

    fn call_datetime(&mut self) -> Result<()> {
        let (args, class) = (self.pop()?, self.pop()?);
        let (Object::DateTimeClass, Object::Sequence(args)) =
            (&self.objects[class], &self.objects[args])
        else {
            return Err(ReadError::NotPlain(op::REDUCE));
        };
        // A second argument would be a time zone, which is a class of its own.
        let &[state] = args.as_slice() else {
            return Err(ReadError::NotPlain(op::REDUCE));
        };
        let Object::Bytes(state) = self.objects[state] else {
            return Err(ReadError::Damaged);
        };
        let text = iso_text(state).ok_or(ReadError::Damaged)?;
        self.push(Object::Plain(Value::String(text)))
    }

    fn push(&mut self, object: Object<'a>) -> Result<()> {
        if self.objects.len() >= self.limits.values {
            return Err(ReadError::TooLarge);
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// The lowest height that may be taken from: what is below a mark belongs to others.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(ReadError::Damaged);
        }
        self.stack.pop().ok_or(ReadError::Damaged)
    }

    fn top(&self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(ReadError::Damaged);
        }
        self.stack.last().copied().ok_or(ReadError::Damaged)
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>> {
        let rest = self.stack.len().checked_sub(n);
        match rest {
            Some(rest) if rest >= self.floor() => Ok(self.stack.split_off(rest)),
            _ => Err(ReadError::Damaged),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or(ReadError::Damaged)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.input.split_at_checked(n).ok_or(ReadError::Damaged)?;
        self.input = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| ReadError::Damaged)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let end = self.input.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or(ReadError::Damaged)?)?;
        self.take(1)?;
        Ok(line)
    }
}

/// A Python integer of any length, little-endian two's complement, if 64 bits hold it.
fn long(bytes: &[u8]) -> Result<Value> {
    if bytes.len() > 9 {
        return Err(ReadError::TooLarge);
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut wide = if negative { [0xff; 16] } else { [0; 16] };
    wide[..bytes.len()].copy_from_slice(bytes);
    let number = i128::from_le_bytes(wide);
    i64::try_from(number)
        .map(Value::from)
        .or_else(|_| u64::try_from(number).map(Value::from))
        .map_err(|_| ReadError::TooLarge)
}

/// Copies the result out of the machine's objects, with what the limits leave.
struct Copy<'m, 'a> {
    objects: &'m [Object<'a>],
    values: usize,
    text: usize,
}

impl Copy<'_, '_> {
    /// Recursion ends with `depth`, so that a list within itself is merely too large.
    fn value(&mut self, id: Id, depth: usize) -> Result<Value> {
        self.values = self.values.checked_sub(1).ok_or(ReadError::TooLarge)?;
        match &self.objects[id] {
            Object::Plain(value) => {
                if let Value::String(text) = value {
                    self.spend(text)?;
                }
                Ok(value.clone())
            }
            Object::Text(text) => Ok(Value::String(self.spend(text)?)),
            Object::Sequence(items) => {
                let depth = depth.checked_sub(1).ok_or(ReadError::TooLarge)?;
                items.iter().map(|&id| self.value(id, depth)).collect()
            }
            Object::Dict(items) => {
                let depth = depth.checked_sub(1).ok_or(ReadError::TooLarge)?;
                let mut map = Map::new();
                for pair in items.chunks_exact(2) {
                    let Object::Text(key) = &self.objects[pair[0]] else {
                        return Err(ReadError::Damaged);
                    };
                    let key = self.spend(key)?;
                    map.insert(key, self.value(pair[1], depth)?);
                }
                Ok(Value::Object(map))
            }
            Object::Bytes(_) => Err(ReadError::NotPlain(op::BINBYTES)),
            Object::DateTimeClass => Err(ReadError::NotPlain(op::GLOBAL)),
        }
    }

    fn spend(&mut self, text: &str) -> Result<String> {
        self.text = self
            .text
            .checked_sub(text.len())
            .ok_or(ReadError::TooLarge)?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(bytes: &[u8]) -> Result<Value> {
        read(bytes, Limits::default())
    }

    #[test]
    fn a_list_filled_after_it_was_memoized_is_whole_wherever_it_is_used() {
        // a = []; x = (a, a); a.append(1)
        let pickle = b"\x80\x04]\x94h\x00\x86h\x00K\x01a0.";
        assert_eq!(plain(pickle).unwrap(), json!([[1], [1]]));
    }

    #[test]
    fn globals_calls_sets_and_buffers_are_refused() {
        for bad in [
            &b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."[..],
            b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idtR.",
            b"\x80\x04\x8f.",
            b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
            b"\x80\x04C\x01a.",
            b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93.",
            b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93)R.",
            b"\x80\x04]\x8c\x01a\x85R.",
        ] {
            assert!(
                matches!(plain(bad), Err(ReadError::NotPlain(_))),
                "{bad:?}: {:?}",
                plain(bad)
            );
        }
    }

    #[test]
    fn a_memo_cannot_multiply_text_or_values_beyond_the_limits() {
        // l0 = ["x" * 200]; l1 = [l0] * 10; l2 = [l1] * 10; ... ten levels
        let mut bomb = vec![0x80, 4, b']', 0x94, 0x8c, 200];
        bomb.extend([b'x'; 200]);
        bomb.push(b'a');
        for level in 0..10 {
            bomb.extend([b']', 0x94, b'(']);
            for _ in 0..10 {
                bomb.extend([b'h', level]);
            }
            bomb.push(b'e');
        }
        bomb.push(b'.');
        assert!(bomb.len() < 500);
        assert_eq!(plain(&bomb), Err(ReadError::TooLarge));
    }

    #[test]
    fn depth_is_bounded_also_for_a_list_in_itself() {
        assert_eq!(plain(b"\x80\x04]\x94h\x00a."), Err(ReadError::TooLarge));
        let mut deep = vec![0x80, 4];
        deep.extend([b']'; 20_000]);
        deep.extend([b'a'; 19_999]);
        deep.push(b'.');
        assert_eq!(plain(&deep), Err(ReadError::TooLarge));
    }

    #[test]
    fn damage_is_an_error() {
        for bad in [
            &b""[..],
            b".",
            b"\x80",
            b"\x80\x06N.",
            b"\x80\x04X\xff\xff\xff\xffabc.",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
            b"\x80\x04X\x01\x00\x00\x00\xff.",
            b"\x80\x04h\x07.",
            b"\x80\x04}(K\x01u.",
            b"\x80\x04}K\x01K\x02s.",
            b"\x80\x04N(a.",
            b"\x80\x04e.",
            b"\x80\x04G\x7f\xf8\x00\x00\x00\x00\x00\x00.",
            b"\x80\x04cdatetime",
        ] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }
}
