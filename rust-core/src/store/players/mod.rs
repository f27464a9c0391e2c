//! Moving one student's rows to another name, in bounded pieces.

use crate::types::Player;

/// A statement for Frappe's own connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// SQL with `%s` for each parameter, as `frappe.db.sql` takes it.
    pub sql: String,
    /// The parameters, all of them text.
    pub params: Vec<String>,
}

/// See [`crate::services::players::merge_rows`].
pub(crate) fn merge(old: &Player, new: &Player) -> Vec<Statement> {
    let _ = (old, new);
    Vec::new()
}
