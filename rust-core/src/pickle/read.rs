//! Pickle to plain data.
//!
//! The pickle machine has a stack, a memo, and values that refer to each other. Values
//! live in one `Vec` and are named by their index, so that sharing costs nothing, a list
//! that is filled after it was memoized, or that contains itself, is as harmless as any
//! other, and `BUILD` can tell "the object itself" from an equal one. At the end the
//! result is copied out of it, and counted ([`copy`]).
//!
//! [`copy`]: super::copy

use std::collections::HashMap;

use chrono::{NaiveDate, NaiveDateTime};

use super::value::{Unreadable, Value};
use super::{Limits, copy, op};

pub(super) type Result<T> = std::result::Result<T, Unreadable>;

pub(super) const TOO_MUCH: Unreadable = Unreadable("too much");
pub(super) const MISUSE: Unreadable = Unreadable("unexpected use of a value");
const TRUNCATED: Unreadable = Unreadable("truncated");
const UNDERFLOW: Unreadable = Unreadable("empty stack");

/// Reads one pickle of protocol 2 to 5.
///
/// # Errors
/// [`Unreadable`] for whatever is not plain data within the limits, bytes after its end
/// included.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Value> {
    if bytes.len() > limits.input {
        return Err(Unreadable("too long"));
    }
    let mut machine = Machine {
        input: bytes,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        limits,
    };
    let top = machine.run()?;
    copy::copy(&machine.nodes, top, limits)
}

/// The classes that a pickle may name.
#[derive(Clone, Copy)]
pub(super) enum Class {
    Dict,
    DateTime,
}

/// Index into [`Machine::nodes`].
pub(super) type Id = usize;

pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    DateTime(NaiveDateTime),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys and values in turn.
    Dict(Vec<Id>),
    Class(Class),
}

struct Machine<'a> {
    /// What is still to be read.
    input: &'a [u8],
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    limits: Limits,
}

impl<'a> Machine<'a> {
    /// Every opcode takes at least one byte and makes at most one value: the length of
    /// the input bounds the work.
    fn run(&mut self) -> Result<Id> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                op::STOP => return self.finish(),
                op::PROTO => {
                    if !(2..=5).contains(&self.byte()?) {
                        return Err(Unreadable("unknown protocol"));
                    }
                }
                // Only tells how far to read ahead.
                op::FRAME => {
                    self.take(8)?;
                }

                op::NONE => self.push(Node::None)?,
                op::NEWTRUE | op::NEWFALSE => self.push(Node::Bool(opcode == op::NEWTRUE))?,
                op::BININT | op::BININT1 | op::BININT2 | op::LONG1 => {
                    let int = self.int(opcode)?;
                    self.push(Node::Int(int))?;
                }
                op::BINFLOAT => {
                    let float = f64::from_be_bytes(self.array()?);
                    self.push(Node::Float(float))?;
                }
                op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => {
                    let text = std::str::from_utf8(self.sized(opcode)?);
                    self.push(Node::Str(text.map_err(|_| Unreadable("not UTF-8"))?))?;
                }
                op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                    let bytes = self.sized(opcode)?;
                    self.push(Node::Bytes(bytes))?;
                }

                op::MARK => self.marks.push(self.stack.len()),
                op::EMPTY_LIST => self.push(Node::List(Vec::new()))?,
                op::EMPTY_TUPLE => self.push(Node::Tuple(Vec::new()))?,
                op::EMPTY_DICT => self.push(Node::Dict(Vec::new()))?,
                op::LIST => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::List(items))?;
                }
                op::TUPLE => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                    let items = self.pop_n(usize::from(opcode - op::TUPLE1) + 1)?;
                    self.push(Node::Tuple(items))?;
                }
                op::DICT => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.extend(opcode, items)?;
                }
                op::APPEND | op::SETITEM => {
                    let items = self.pop_n(if opcode == op::APPEND { 1 } else { 2 })?;
                    self.extend(opcode, items)?;
                }
                op::APPENDS | op::SETITEMS => {
                    let items = self.pop_to_mark()?;
                    self.extend(opcode, items)?;
                }

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
                op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                    let key = match opcode {
                        op::BINPUT => self.byte()?.into(),
                        op::LONG_BINPUT => self.u32()?,
                        _ => self.memo.len() as u32,
                    };
                    let top = self.top()?;
                    self.memo.insert(key, top);
                }
                op::BINGET | op::LONG_BINGET => {
                    let key = match opcode {
                        op::BINGET => self.byte()?.into(),
                        _ => self.u32()?,
                    };
                    let id = self.memo.get(&key);
                    let id = *id.ok_or(Unreadable("bad memo reference"))?;
                    self.stack.push(id);
                }

                op::GLOBAL => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.class(module, name)?;
                }
                op::STACK_GLOBAL => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (&Node::Str(module), &Node::Str(name)) =
                        (&self.nodes[module], &self.nodes[name])
                    else {
                        return Err(MISUSE);
                    };
                    self.class(module.as_bytes(), name.as_bytes())?;
                }
                op::NEWOBJ | op::REDUCE => self.object(opcode)?,
                op::BUILD => self.build()?,
                _ => return Err(Unreadable("unknown opcode")),
            }
        }
    }

    fn finish(&mut self) -> Result<Id> {
        match self.stack.as_slice() {
            &[top] if self.marks.is_empty() && self.input.is_empty() => Ok(top),
            _ => Err(Unreadable("leftovers")),
        }
    }

    // Operands

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.input.split_at_checked(n).ok_or(TRUNCATED)?;
        self.input = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let end = self.input.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or(TRUNCATED)?)?;
        self.take(1)?;
        Ok(line)
    }

    fn int(&mut self, opcode: u8) -> Result<i64> {
        Ok(match opcode {
            op::BININT => i32::from_le_bytes(self.array()?).into(),
            op::BININT1 => self.byte()?.into(),
            op::BININT2 => u16::from_le_bytes(self.array()?).into(),
            // Two's complement, little-endian, of any length; ours end at 64 bits.
            _ => {
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide.get_mut(..length)
                    .ok_or(Unreadable("number too large"))?
                    .copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        })
    }

    /// The bytes of a text or byte string, after their length.
    fn sized(&mut self, opcode: u8) -> Result<&'a [u8]> {
        let length = match opcode {
            op::SHORT_BINUNICODE | op::SHORT_BINBYTES => self.byte()?.into(),
            op::BINUNICODE | op::BINBYTES => self.u32()?.into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        self.take(usize::try_from(length).map_err(|_| TRUNCATED)?)
    }

    // The stack

    fn push(&mut self, node: Node<'a>) -> Result<()> {
        if self.nodes.len() == self.limits.values {
            return Err(TOO_MUCH);
        }
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>> {
        // What is below a mark belongs to others.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(rest) if rest >= floor => Ok(self.stack.split_off(rest)),
            _ => Err(UNDERFLOW),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        Ok(self.pop_n(1)?[0])
    }

    fn top(&mut self) -> Result<Id> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        Ok(self.stack.split_off(mark))
    }

    /// Puts items into the container on top of the stack.
    fn extend(&mut self, opcode: u8, items: Vec<Id>) -> Result<()> {
        let appends = matches!(opcode, op::APPEND | op::APPENDS);
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::List(list) if appends => list.extend(items),
            Node::Dict(dict) if !appends && items.len().is_multiple_of(2) => dict.extend(items),
            _ => return Err(MISUSE),
        }
        Ok(())
    }

    // Classes

    fn class(&mut self, module: &[u8], name: &[u8]) -> Result<()> {
        let class = match (module, name) {
            // Frappe 14 and 15, early 16; later 16.
            (b"frappe" | b"frappe.types.frappedict", b"_dict") => Class::Dict,
            (b"datetime", b"datetime") => Class::DateTime,
            _ => return Err(Unreadable("unknown class")),
        };
        self.push(Node::Class(class))
    }

    /// `cls.__new__(cls, *args)` or `cls(*args)`: an empty `_dict`, or with the latter a
    /// `datetime` of its state.
    fn object(&mut self, opcode: u8) -> Result<()> {
        let (args, class) = (self.pop()?, self.pop()?);
        let (&Node::Class(class), Node::Tuple(args)) = (&self.nodes[class], &self.nodes[args])
        else {
            return Err(MISUSE);
        };
        let object = match (class, args.as_slice()) {
            (Class::Dict, []) => Node::Dict(Vec::new()),
            (Class::DateTime, &[state]) if opcode == op::REDUCE => match self.nodes[state] {
                Node::Bytes(state) => Node::DateTime(date_time(state)?),
                _ => return Err(MISUSE),
            },
            // A second argument would be a time zone.
            _ => return Err(MISUSE),
        };
        self.push(object)
    }

    /// The state of an object: nothing to do when it is the object itself, as Python
    /// pickles a `_dict`.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?;
        if state == object && matches!(self.nodes[object], Node::Dict(_)) {
            Ok(())
        } else {
            Err(MISUSE)
        }
    }
}

/// What `datetime.datetime` pickles itself as: year (2 bytes, big-endian), month, day,
/// hour, minute, second, microseconds (3 bytes). The month's high bit marks the repeated
/// hour of a clock change; it is dropped: this is wall time, as it was before.
fn date_time(state: &[u8]) -> Result<NaiveDateTime> {
    let &[y1, y0, month, day, hour, minute, second, u2, u1, u0] = state else {
        return Err(MISUSE);
    };
    let year = i32::from(u16::from_be_bytes([y1, y0]));
    let micros = u32::from_be_bytes([0, u2, u1, u0]);
    NaiveDate::from_ymd_opt(year, (month & 0x7f).into(), day.into())
        // As in Python: chrono also knows other years, and leap seconds.
        .filter(|_| (1..=9999).contains(&year) && micros < 1_000_000)
        .and_then(|date| date.and_hms_micro_opt(hour.into(), minute.into(), second.into(), micros))
        .ok_or(Unreadable("no such time"))
}
