//! From the arena to a tree, counting what sharing multiplies.

use super::{Id, MISUSE, Node, Result};
use crate::frappe::value::{DictBuilder, MAX_DEPTH, Unreadable, Value};

/// Most values in what comes out.
const MAX_VALUES: usize = 10_000;
/// Most bytes of strings in what comes out.
const MAX_TEXT: usize = 1024 * 1024;

/// The tree below `top`.
pub(super) fn grow(nodes: &[Node<'_>], top: Id) -> Result<Value> {
    Expander {
        nodes,
        values: 0,
        text: 0,
    }
    .expand(top, 0)
}

struct Expander<'a> {
    nodes: &'a [Node<'a>],
    values: usize,
    text: usize,
}

impl Expander<'_> {
    fn expand(&mut self, id: Id, depth: usize) -> Result<Value> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(Unreadable("too much"));
        }
        Ok(match &self.nodes[id] {
            Node::None => Value::None,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::Float(f) => Value::Float(*f),
            Node::Str(text) => Value::Str(self.text(text)?),
            Node::Bytes(bytes) => {
                self.count_text(bytes.len())?;
                Value::Bytes(bytes.to_vec())
            }
            Node::DateTime(t) => Value::DateTime(*t),
            Node::List(items) | Node::Tuple(items) => {
                let items = items.iter().map(|&item| self.expand(item, depth + 1));
                Value::List(items.collect::<Result<_>>()?)
            }
            Node::Dict(entries) => {
                let mut dict = DictBuilder::default();
                for &(key, value) in entries {
                    let Node::Str(key) = &self.nodes[key] else {
                        return Err(Unreadable("a key that is no string"));
                    };
                    let key = self.text(key)?;
                    dict.set(key, self.expand(value, depth + 1)?);
                }
                dict.build()
            }
            Node::Class(_) => return Err(MISUSE),
        })
    }

    fn text(&mut self, text: &str) -> Result<String> {
        self.count_text(text.len())?;
        Ok(text.to_owned())
    }

    fn count_text(&mut self, len: usize) -> Result<()> {
        self.text += len;
        if self.text > MAX_TEXT {
            return Err(Unreadable("too much"));
        }
        Ok(())
    }
}
