//! Which roles a user has, as Frappe's `get_roles` says: the rows of the User, and all roles
//! for Administrator.
//!
//! Frappe remembers a user's roles in Redis and forgets them when the User is saved; here the
//! table is asked, so a role that was given or taken past Frappe counts sooner.

use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::types::Player;

/// Who looks after a site.
pub const SYSTEM_MANAGER: &str = "System Manager";

/// The user who has every role, by name.
const ADMINISTRATOR: &str = "Administrator";

/// Whether the user needs no row for it.
pub(super) fn has_all(user: &Player) -> bool {
    user.as_str() == ADMINISTRATOR
}

/// Reads whether a user has a role: one statement.
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn read(db: &MariaDb, user: &Player, role: &str) -> Result<bool> {
    let query = async {
        let mut conn = db.conn().await?;
        let sql = include_str!("sql/role_of_user.sql");
        let roles: Vec<String> = conn.exec(sql, (user.as_str(), role)).await?;
        Ok(roles.iter().any(|stored| stored == role))
    };
    MariaDb::within(super::rows::STATEMENT_TIMEOUT, query).await
}
