//! A pickle reader that can build nothing but plain data.
//!
//! Frappe keeps sessions in Redis as pickles. Python's own reader runs whatever a pickle
//! names; this one is a small machine over an arena of plain values. It knows exactly
//! two classes, Frappe's `_dict` (a dict) and `datetime.datetime`, and refuses every
//! other name, opcode, or use as [`Unreadable`]: the caller then leaves the request to
//! Frappe.
//!
//! What hostile input could try, and the bound that stops it:
//!
//! | attempt | bound |
//! |---|---|
//! | call something (`REDUCE` of `os.system`) | only two classes resolve, neither runs code |
//! | announce a huge length | lengths are checked against the bytes that are there |
//! | share one value a million times | the tree that comes out is counted: `MAX_VALUES`, `MAX_TEXT` |
//! | nest or refer to itself | `MAX_DEPTH` |
//!
//! Python pickles a `_dict` as `NEWOBJ`, its entries, then `BUILD` with *the object
//! itself* as state, which common decoders reject; here that is a no-op.

mod text;
mod tree;

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::NaiveDateTime;

use super::value::{MAX_SOURCE, Unreadable, Value};
use text::{date_time, raw_unicode};

type Result<T> = std::result::Result<T, Unreadable>;

/// Reads one pickle of protocol 0 to 5.
///
/// # Errors
/// [`Unreadable`] for whatever is not plain data within the bounds, trailing bytes
/// included.
pub fn read(pickle: &[u8]) -> Result<Value> {
    if pickle.len() > MAX_SOURCE {
        return Err(Unreadable("too long"));
    }
    let mut machine = Machine::new(pickle);
    let top = machine.run()?;
    tree::grow(&machine.nodes, top)
}

/// The classes that a pickle may name.
#[derive(Clone, Copy)]
enum Class {
    Dict,
    DateTime,
}

impl Class {
    fn named(module: &str, name: &str) -> Result<Self> {
        match (module, name) {
            // Frappe 14 and 15, early 16; later 16.
            ("frappe" | "frappe.types.frappedict", "_dict") => Ok(Self::Dict),
            ("datetime", "datetime") => Ok(Self::DateTime),
            _ => Err(Unreadable("unknown class")),
        }
    }
}

/// Index into the arena. Values are shared by index, so that sharing costs nothing and
/// `BUILD` can tell "the object itself" from an equal one.
type Id = usize;

enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Cow<'a, str>),
    Bytes(&'a [u8]),
    DateTime(NaiveDateTime),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class),
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Stack heights at open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Every opcode takes at least one byte and adds at most one node, so the length of
    /// the input bounds the work.
    fn run(&mut self) -> Result<Id> {
        loop {
            match self.byte()? {
                // PROTO, FRAME
                0x80 => {
                    if self.byte()? > 5 {
                        return Err(Unreadable("unknown protocol"));
                    }
                }
                0x95 => {
                    self.take(8)?;
                }
                b'.' => return self.finish(),

                // Constants and numbers
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'J' => {
                    let int = i32::from_le_bytes(self.array()?);
                    self.push(Node::Int(int.into()));
                }
                b'K' => {
                    let int = self.byte()?;
                    self.push(Node::Int(int.into()));
                }
                b'M' => {
                    let int = u16::from_le_bytes(self.array()?);
                    self.push(Node::Int(int.into()));
                }
                0x8a => {
                    let len = usize::from(self.byte()?);
                    self.long(len)?;
                }
                b'I' => self.text_int()?,
                b'L' => {
                    let line = self.line()?;
                    let digits = line.strip_suffix('L').unwrap_or(line);
                    self.push_int(digits)?;
                }
                b'G' => {
                    let float = f64::from_be_bytes(self.array()?);
                    self.push(Node::Float(float));
                }
                b'F' => {
                    let float = self.line()?.parse();
                    self.push(Node::Float(float.map_err(|_| Unreadable("bad float"))?));
                }

                // Strings and bytes
                0x8c => {
                    let len = usize::from(self.byte()?);
                    self.string(len)?;
                }
                b'X' => {
                    let len = self.len4()?;
                    self.string(len)?;
                }
                0x8d => {
                    let len = self.len8()?;
                    self.string(len)?;
                }
                b'V' => {
                    let text = raw_unicode(self.line_bytes()?)?;
                    self.push(Node::Str(text.into()));
                }
                b'C' => {
                    let len = usize::from(self.byte()?);
                    self.bytes(len)?;
                }
                b'B' => {
                    let len = self.len4()?;
                    self.bytes(len)?;
                }
                0x8e | 0x96 => {
                    let len = self.len8()?;
                    self.bytes(len)?;
                }

                // Containers
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.push(Node::Tuple(Vec::new())),
                b']' => self.push(Node::List(Vec::new())),
                b'}' => self.push(Node::Dict(Vec::new())),
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items));
                }
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items));
                }
                b'd' => {
                    let entries = pairs(&self.pop_mark()?)?;
                    self.push(Node::Dict(entries));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }

                // Stack and memo
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                0x94 => {
                    let next = u32::try_from(self.memo.len()).map_err(|_| MEMO)?;
                    self.put(next)?;
                }
                b'p' => {
                    let key = self.line()?.parse().map_err(|_| MEMO)?;
                    self.put(key)?;
                }
                b'q' => {
                    let key = self.byte()?.into();
                    self.put(key)?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.put(key)?;
                }
                b'g' => {
                    let key = self.line()?.parse().map_err(|_| MEMO)?;
                    self.recall(key)?;
                }
                b'h' => {
                    let key = self.byte()?.into();
                    self.recall(key)?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }

                // Classes and objects
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Class(Class::named(module, name)?));
                }
                0x93 => self.stack_global()?,
                0x81 => self.new_object()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,

                _ => return Err(Unreadable("unknown opcode")),
            }
        }
    }

    fn finish(&mut self) -> Result<Id> {
        match (self.stack.as_slice(), self.at == self.input.len()) {
            (&[top], true) if self.marks.is_empty() => Ok(top),
            _ => Err(Unreadable("leftovers")),
        }
    }

    // Input

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|b| b[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or(TRUNCATED)?;
        let bytes = self.input.get(self.at..end).ok_or(TRUNCATED)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED)
    }

    fn len4(&mut self) -> Result<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn len8(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn line_bytes(&mut self) -> Result<&'a [u8]> {
        let rest = &self.input[self.at..];
        let len = rest.iter().position(|&b| b == b'\n').ok_or(TRUNCATED)?;
        self.at += len + 1;
        Ok(&rest[..len])
    }

    fn line(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.line_bytes()?).map_err(|_| NOT_UTF8)
    }

    // Pushing

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn string(&mut self, len: usize) -> Result<()> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| NOT_UTF8)?;
        self.push(Node::Str(text.into()));
        Ok(())
    }

    fn bytes(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        self.push(Node::Bytes(bytes));
        Ok(())
    }

    /// Two's complement, little-endian, of any length; ours end at 64 bits.
    fn long(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide.get_mut(..len)
            .ok_or(Unreadable("number too large"))?
            .copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text_int(&mut self) -> Result<()> {
        match self.line()? {
            "00" => self.push(Node::Bool(false)),
            "01" => self.push(Node::Bool(true)),
            digits => self.push_int(digits)?,
        }
        Ok(())
    }

    fn push_int(&mut self, digits: &str) -> Result<()> {
        let int = digits.parse().map_err(|_| Unreadable("bad number"))?;
        self.push(Node::Int(int));
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Result<()> {
        let start = self.stack.len().checked_sub(len).ok_or(UNDERFLOW)?;
        if self.marks.last().is_some_and(|&mark| start < mark) {
            return Err(UNDERFLOW);
        }
        let items = self.stack.split_off(start);
        self.push(Node::Tuple(items));
        Ok(())
    }

    // Popping

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => Err(UNDERFLOW),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        match self.top().map(|id| &mut self.nodes[id])? {
            Node::List(list) => list.extend_from_slice(items),
            _ => return Err(MISUSE),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let new = pairs(items)?;
        match self.top().map(|id| &mut self.nodes[id])? {
            Node::Dict(entries) => entries.extend(new),
            _ => return Err(MISUSE),
        }
        Ok(())
    }

    // Memo

    fn put(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id = *self.memo.get(&key).ok_or(MEMO)?;
        self.stack.push(id);
        Ok(())
    }

    // Objects

    fn stack_global(&mut self) -> Result<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.nodes[module], &self.nodes[name]) {
            (Node::Str(module), Node::Str(name)) => {
                let class = Class::named(module, name)?;
                self.push(Node::Class(class));
                Ok(())
            }
            _ => Err(MISUSE),
        }
    }

    /// `cls.__new__(cls, *args)`: `_dict` without arguments.
    fn new_object(&mut self) -> Result<()> {
        let (args, class) = (self.pop()?, self.pop()?);
        match (&self.nodes[class], &self.nodes[args]) {
            (Node::Class(Class::Dict), Node::Tuple(args)) if args.is_empty() => {
                self.push(Node::Dict(Vec::new()));
                Ok(())
            }
            _ => Err(MISUSE),
        }
    }

    /// `cls(*args)`: `_dict()`, or `datetime` from its ten bytes.
    fn reduce(&mut self) -> Result<()> {
        let (args, class) = (self.pop()?, self.pop()?);
        let Node::Tuple(args) = &self.nodes[args] else {
            return Err(MISUSE);
        };
        let object = match (&self.nodes[class], args.as_slice()) {
            (Node::Class(Class::Dict), []) => Node::Dict(Vec::new()),
            (Node::Class(Class::DateTime), &[state]) => match self.nodes[state] {
                Node::Bytes(bytes) => Node::DateTime(date_time(bytes)?),
                _ => return Err(MISUSE),
            },
            // A second argument would be a time zone.
            _ => return Err(MISUSE),
        };
        self.push(object);
        Ok(())
    }

    /// State of an object: nothing to do when it is the object itself.
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

const TRUNCATED: Unreadable = Unreadable("truncated");
const NOT_UTF8: Unreadable = Unreadable("not UTF-8");
const UNDERFLOW: Unreadable = Unreadable("empty stack");
const MEMO: Unreadable = Unreadable("bad memo reference");
const MISUSE: Unreadable = Unreadable("unexpected use of a value");

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        return Err(MISUSE);
    }
    Ok(items
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}

#[cfg(test)]
mod tests;
