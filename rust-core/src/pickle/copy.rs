//! From the machine's values to a tree, counting what sharing multiplies.

use super::Limits;
use super::read::{Id, MISUSE, Node, Result, TOO_MUCH};
use super::value::{DictBuilder, Unreadable, Value};

/// The tree below `top`.
pub(super) fn copy(nodes: &[Node<'_>], top: Id, limits: Limits) -> Result<Value> {
    let mut copy = Copy { nodes, limits };
    copy.value(top, limits.depth)
}

struct Copy<'m, 'a> {
    nodes: &'m [Node<'a>],
    /// What is left of them.
    limits: Limits,
}

impl Copy<'_, '_> {
    /// Recursion ends with `depth`, so that a list within itself is merely too much.
    fn value(&mut self, id: Id, depth: usize) -> Result<Value> {
        spend(&mut self.limits.values, 1)?;
        Ok(match &self.nodes[id] {
            Node::None => Value::None,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::Float(f) => Value::Float(*f),
            Node::DateTime(time) => Value::DateTime(*time),
            Node::Str(text) => Value::Str(self.text(text)?),
            Node::Bytes(bytes) => {
                spend(&mut self.limits.text, bytes.len())?;
                Value::Bytes(bytes.to_vec())
            }
            Node::List(items) | Node::Tuple(items) => {
                let depth = depth.checked_sub(1).ok_or(TOO_MUCH)?;
                let items = items.iter().map(|&item| self.value(item, depth));
                Value::List(items.collect::<Result<_>>()?)
            }
            Node::Dict(items) => {
                let depth = depth.checked_sub(1).ok_or(TOO_MUCH)?;
                let mut dict = DictBuilder::default();
                for pair in items.chunks_exact(2) {
                    let Node::Str(key) = self.nodes[pair[0]] else {
                        return Err(Unreadable("a key that is no string"));
                    };
                    let key = self.text(key)?;
                    dict.set(key, self.value(pair[1], depth)?);
                }
                dict.build()
            }
            Node::Class(_) => return Err(MISUSE),
        })
    }

    fn text(&mut self, text: &str) -> Result<String> {
        spend(&mut self.limits.text, text.len())?;
        Ok(text.to_owned())
    }
}

fn spend(left: &mut usize, amount: usize) -> Result<()> {
    *left = left.checked_sub(amount).ok_or(TOO_MUCH)?;
    Ok(())
}
