//! A connection that is closed after use instead of going back to the pool, because it
//! holds what must not be pooled: a lock, an open LOCK TABLES, settings of its own.

use std::ops::{Deref, DerefMut};

use mysql_async::Conn;

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// See the module's documentation. Closed on drop, also when its owner is cancelled.
pub(in crate::store) struct OwnConnection(Option<Conn>);

impl OwnConnection {
    pub(in crate::store) async fn open(db: &MariaDb) -> Result<Self> {
        Ok(Self(Some(db.conn().await?)))
    }
}

const THERE: &str = "the connection is taken out by drop alone";

impl Deref for OwnConnection {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.0.as_ref().expect(THERE)
    }
}

impl DerefMut for OwnConnection {
    fn deref_mut(&mut self) -> &mut Conn {
        self.0.as_mut().expect(THERE)
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            MariaDb::discard(conn);
        }
    }
}
