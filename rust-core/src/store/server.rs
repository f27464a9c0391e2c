//! What of a database server the engine cannot do with.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// How long the server may take to say.
const PATIENCE: Duration = Duration::from_secs(3);

/// Settings because of which the engine would fail, each with its remedy.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn problems(db: &MariaDb) -> Result<Vec<String>> {
    let asked = async {
        let mut conn = db.conn().await?;
        let settings: Option<(bool, String)> = conn
            .query_first("SELECT @@GLOBAL.log_bin, @@GLOBAL.binlog_format")
            .await?;
        Ok::<_, crate::Error>(settings)
    };
    let mut problems = Vec::new();
    if let Some((true, format)) = MariaDb::within(PATIENCE, asked).await?
        && format.eq_ignore_ascii_case("STATEMENT")
    {
        problems.push(
            "MariaDB writes its binary log by statements (binlog_format = STATEMENT) and \
             refuses to write at READ COMMITTED then, which the workers need: set \
             binlog_format = MIXED or ROW"
                .to_owned(),
        );
    }
    Ok(problems)
}
