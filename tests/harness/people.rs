//! Users with API credentials and sessions, written as Frappe 15 writes them.

use chrono::{NaiveDateTime, Utc};
use memora_core::types::Player;
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;

use crate::site::{TestSite, random_hex};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A Website User with the roles that everybody has.
    Student,
    /// A System User with the role System Manager.
    SystemManager,
}

/// A user with credentials, logged in.
#[derive(Debug, Clone)]
pub struct Student {
    /// The User's name.
    pub name: String,
    /// `api_key` of the User.
    pub api_key: String,
    /// The plain text of `api_secret`.
    pub api_secret: String,
    /// The session of a login without Desk, so without a CSRF token.
    pub sid: String,
}

impl Student {
    /// As the engine names a student.
    pub fn player(&self) -> Player {
        Player::stored(&self.name)
    }

    /// The value of an `Authorization` header.
    pub fn token(&self) -> String {
        format!("token {}:{}", self.api_key, self.api_secret)
    }

    /// The value of a `Cookie` header.
    pub fn cookie(&self) -> String {
        format!("sid={}", self.sid)
    }
}

/// A session as Frappe keeps it, in Redis and in the table.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id, the value of the cookie.
    pub sid: String,
    /// The User's name.
    pub user: String,
    /// `Website User` or `System User`.
    pub user_type: String,
    /// Last use, in the site's wall time.
    pub last_updated: NaiveDateTime,
    /// How long it lives without use, as `170:00:00`.
    pub expiry: String,
    /// The CSRF token that a Desk or website page gave it.
    pub csrf_token: Option<String>,
}

impl Session {
    /// The entry of the hash `<db>|session`: a pickle of protocol 4.
    pub fn pickle(&self) -> Vec<u8> {
        let mut p = Pickler::default();
        p.text("frappe");
        p.text("_dict");
        p.op(b"\x93"); // STACK_GLOBAL
        let class = p.memoize();
        p.op(b")\x81"); // EMPTY_TUPLE NEWOBJ
        let outer = p.memoize();
        p.op(b"("); // MARK
        p.text("data");
        p.get(class);
        p.op(b")\x81");
        let inner = p.memoize();
        p.op(b"(");
        let user_key = p.text("user");
        let user = p.text(&self.user);
        let last_updated = self.last_updated_text();
        for (key, value) in [
            ("session_ip", Some("127.0.0.1")),
            ("last_updated", Some(last_updated.as_str())),
            ("session_expiry", Some(self.expiry.as_str())),
            ("full_name", None),
            ("user_type", Some(self.user_type.as_str())),
            ("lang", Some("en")),
        ] {
            p.text(key);
            match value {
                Some(value) => {
                    p.text(value);
                }
                None => p.op(b"N"),
            }
        }
        if let Some(token) = &self.csrf_token {
            p.text("csrf_token");
            p.text(token);
        }
        p.op(b"u"); // SETITEMS
        // A `_dict` is its own state.
        p.get(inner);
        p.op(b"b"); // BUILD
        p.get(user_key);
        p.get(user);
        p.text("sid");
        p.text(&self.sid);
        p.op(b"u");
        p.get(outer);
        p.op(b"b");
        p.finish()
    }

    /// `sessiondata` of the table: Python's `repr` of the dictionary.
    pub fn repr(&self) -> String {
        let mut fields = vec![
            ("user", python_repr(&self.user)),
            ("session_ip", python_repr("127.0.0.1")),
            ("last_updated", python_repr(&self.last_updated_text())),
            ("session_expiry", python_repr(&self.expiry)),
            ("full_name", "None".to_owned()),
            ("user_type", python_repr(&self.user_type)),
            ("lang", python_repr("en")),
        ];
        if let Some(token) = &self.csrf_token {
            fields.push(("csrf_token", python_repr(token)));
        }
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(key, value)| format!("'{key}': {value}"))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }

    fn last_updated_text(&self) -> String {
        self.last_updated
            .format("%Y-%m-%d %H:%M:%S%.6f")
            .to_string()
    }
}

impl TestSite {
    /// A student, logged in.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn add_student(&self, name: &str) -> Student {
        self.add_user(name, Role::Student).await
    }

    /// A user with an API key and a session.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn add_user(&self, name: &str, role: Role) -> Student {
        let (api_key, api_secret) = (random_hex::<8>(), random_hex::<8>());
        let user_type = match role {
            Role::Student => "Website User",
            Role::SystemManager => "System User",
        };
        self.exec(
            "INSERT INTO tabUser (name, creation, modified, owner, modified_by, enabled, email, \
             first_name, full_name, user_type, api_key, api_secret, time_zone) \
             VALUES (?, NOW(6), NOW(6), 'Administrator', 'Administrator', 1, ?, ?, ?, ?, ?, \
             '***************', ?)",
            (
                name,
                name,
                name,
                name,
                user_type,
                &api_key,
                self.zone.name(),
            ),
        )
        .await;
        let fernet = fernet::Fernet::new(&self.encryption_key).expect("a Fernet key");
        self.exec(
            "INSERT INTO __Auth (doctype, name, fieldname, password, encrypted) \
             VALUES ('User', ?, 'api_secret', ?, 1)",
            (name, fernet.encrypt(api_secret.as_bytes())),
        )
        .await;
        if role == Role::SystemManager {
            self.exec(
                "INSERT INTO `tabHas Role` (name, creation, modified, owner, modified_by, role, \
                 parent, parentfield, parenttype) VALUES (?, NOW(6), NOW(6), 'Administrator', \
                 'Administrator', 'System Manager', ?, 'roles', 'User')",
                (random_hex::<10>(), name),
            )
            .await;
        }
        let session = self.new_session(name, role);
        self.write_session(&session).await;
        Student {
            name: name.to_owned(),
            api_key,
            api_secret,
            sid: session.sid,
        }
    }

    /// A session that was used just now, not yet written anywhere.
    pub fn new_session(&self, user: &str, role: Role) -> Session {
        Session {
            sid: random_hex::<28>(),
            user: user.to_owned(),
            user_type: match role {
                Role::Student => "Website User",
                Role::SystemManager => "System User",
            }
            .to_owned(),
            last_updated: Utc::now().with_timezone(&self.zone).naive_local(),
            expiry: "170:00:00".to_owned(),
            csrf_token: None,
        }
    }

    /// Writes a session as a login does, to Redis and to the table.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn write_session(&self, session: &Session) {
        self.write_session_to_redis(session).await;
        self.write_session_to_table(session).await;
    }

    /// Writes a session to Redis only.
    ///
    /// # Panics
    /// If Redis fails.
    pub async fn write_session_to_redis(&self, session: &Session) {
        let mut redis = self.cache.connection().await;
        let mut stamp = Pickler::default();
        stamp.text(&session.last_updated_text());
        let _: () = redis::pipe()
            .hset(self.frappe_key("session"), &session.sid, session.pickle())
            .hset(
                self.frappe_key("last_db_session_update"),
                &session.sid,
                stamp.finish(),
            )
            .query_async(&mut redis)
            .await
            .expect("writing a session to Redis");
    }

    /// Writes a session to the table only.
    ///
    /// # Panics
    /// If MariaDB fails.
    pub async fn write_session_to_table(&self, session: &Session) {
        self.exec(
            "INSERT INTO tabSessions (user, sid, sessiondata, ipaddress, lastupdate, status) \
             VALUES (?, ?, ?, '127.0.0.1', ?, 'Active')",
            (
                &session.user,
                &session.sid,
                session.repr(),
                session.last_updated_text(),
            ),
        )
        .await;
    }

    /// Extends a session in Redis and in the table, as Frappe does with one that only the
    /// table still has.
    ///
    /// # Errors
    /// If a server is away.
    pub async fn extend_session(&self, student: &Student) -> anyhow::Result<()> {
        let mut session = self.new_session(&student.name, Role::Student);
        session.sid.clone_from(&student.sid);
        let mut conn = self.db.get_conn().await?;
        conn.exec_drop(
            "UPDATE tabSessions SET sessiondata = ?, lastupdate = ? WHERE sid = ?",
            (session.repr(), session.last_updated_text(), &session.sid),
        )
        .await?;
        let client = redis::Client::open(self.cache.url())?;
        let mut redis = client.get_multiplexed_async_connection().await?;
        let _: () = redis
            .hset(self.frappe_key("session"), &session.sid, session.pickle())
            .await?;
        Ok(())
    }

    /// Makes Redis forget a session, as an eviction does.
    ///
    /// # Panics
    /// If Redis fails.
    pub async fn forget_session_in_redis(&self, sid: &str) {
        let mut redis = self.cache.connection().await;
        for key in ["session", "last_db_session_update"] {
            let _: u32 = redis
                .hdel(self.frappe_key(key), sid)
                .await
                .expect("removing a session from Redis");
        }
    }

    /// A key of Frappe's own in `redis_cache`: `<db>|<name>`.
    pub fn frappe_key(&self, name: &str) -> String {
        format!("{}|{name}", self.db_name)
    }
}

/// Writes pickles of protocol 4 the way Python does, frame and memo included.
#[derive(Default)]
struct Pickler {
    body: Vec<u8>,
    memo: u8,
}

impl Pickler {
    fn op(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    fn memoize(&mut self) -> u8 {
        self.op(b"\x94");
        self.memo += 1;
        self.memo - 1
    }

    /// BINGET.
    fn get(&mut self, index: u8) {
        self.op(&[b'h', index]);
    }

    fn text(&mut self, text: &str) -> u8 {
        match u8::try_from(text.len()) {
            Ok(len) => self.op(&[0x8c, len]), // SHORT_BINUNICODE
            Err(_) => {
                let len = u32::try_from(text.len()).expect("a short text");
                self.op(b"X"); // BINUNICODE
                self.op(&len.to_le_bytes());
            }
        }
        self.op(text.as_bytes());
        self.memoize()
    }

    fn finish(mut self) -> Vec<u8> {
        self.op(b"."); // STOP
        let mut pickle = vec![0x80, 4, 0x95]; // PROTO 4, FRAME
        pickle.extend_from_slice(&(self.body.len() as u64).to_le_bytes());
        pickle.append(&mut self.body);
        pickle
    }
}

/// Python's `repr` of a text.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut repr = String::from(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            repr.push('\\');
        }
        repr.push(c);
    }
    repr.push(quote);
    repr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: &str, user_type: &str, sid: &str, at: &str) -> Session {
        Session {
            sid: sid.to_owned(),
            user: user.to_owned(),
            user_type: user_type.to_owned(),
            last_updated: at.parse().unwrap(),
            expiry: "170:00:00".to_owned(),
            csrf_token: None,
        }
    }

    #[test]
    fn a_session_is_written_byte_for_byte_as_frappe_writes_it() {
        let fixture: serde_json::Value = serde_json::from_str(include_str!(
            "../fixtures/redis_session_hash_entry_after_login.json"
        ))
        .unwrap();
        let captured = hex::decode(fixture[0]["value"]["hex"].as_str().unwrap()).unwrap();
        let ours = session(
            "stu000@lab.test",
            "Website User",
            "8addf2cd9b9e55e7fd0d954bdf409f49625480d154627b4495e5714f",
            "2026-11-23T02:42:28.235659",
        );
        assert_eq!(ours.pickle(), captured);

        let tables: serde_json::Value =
            serde_json::from_str(include_str!("../fixtures/auth_tables.json")).unwrap();
        let row = &tables["tabSessions"]["rows"][1];
        assert_eq!(row["sid"], ours.sid);
        assert_eq!(row["sessiondata"], ours.repr());
    }

    #[test]
    fn a_csrf_token_stands_where_frappe_puts_it() {
        let tables: serde_json::Value =
            serde_json::from_str(include_str!("../fixtures/auth_tables.json")).unwrap();
        let row = &tables["tabSessions"]["rows"][0];
        let mut ours = session(
            "Administrator",
            "System User",
            row["sid"].as_str().unwrap(),
            "2026-11-23T02:43:21.789371",
        );
        ours.csrf_token =
            Some("af6fd561e33f2e4e606307e19a323b030791c16092f42b8667421ff7".to_owned());
        assert_eq!(row["sessiondata"], ours.repr());
    }

    #[test]
    fn texts_are_quoted_as_python_quotes_them() {
        assert_eq!(python_repr("ann"), "'ann'");
        assert_eq!(python_repr("o'neill"), "\"o'neill\"");
        assert_eq!(python_repr("a'b\"c\\"), "'a\\'b\"c\\\\'");
    }
}
