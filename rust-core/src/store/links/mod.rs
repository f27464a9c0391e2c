//! The stored spelling of documents that rows link to.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// Names looked up by one statement.
const NAMES: usize = 200;

/// A DocType that rows link to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// Frappe's User.
    User,
    /// Game Subject.
    Subject,
    /// Game Topic.
    Topic,
}

impl Linked {
    fn table(self) -> &'static str {
        match self {
            Self::User => "tabUser",
            Self::Subject => "tabGame Subject",
            Self::Topic => "tabGame Topic",
        }
    }
}

/// Stored spellings by the spelling asked for, by the table's rules of equality. A name
/// that does not exist is missing.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn stored(
    db: &MariaDb,
    linked: Linked,
    names: &[&str],
) -> Result<HashMap<String, String>> {
    let mut found = HashMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    let mut conn = db.conn().await?;
    for names in names.chunks(NAMES) {
        let sql = include_str!("stored.sql")
            .replace("{table}", linked.table())
            .replace(
                "{names}",
                &vec!["SELECT ? AS name"; names.len()].join(" UNION ALL "),
            );
        let params = names.iter().map(|name| Value::from(*name)).collect();
        let rows: Vec<(String, String)> = conn.exec(sql, Params::Positional(params)).await?;
        found.extend(rows);
    }
    Ok(found)
}
