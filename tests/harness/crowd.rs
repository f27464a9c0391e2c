//! Thousands of students at once, made in a few statements: for benches, and for tests of
//! what a crowd does.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::people::{Role, Student};
use crate::questions::{SUBJECTS, literal};
use crate::site::{TestSite, random_hex};

/// Rows of one statement that has them as literals.
const ROWS: usize = 500;
/// Tracked questions of one statement.
const QUESTIONS: usize = 500_000;
/// From so many questions on, indexes are quicker made after them than with them.
const MANY: usize = 200_000;
/// [`crate::questions::question_id`] in SQL, which pads no longer numbers.
const MOST: usize = 10_000;

impl TestSite {
    /// Students with API keys and sessions, as [`TestSite::add_student`] makes one.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn add_students(&self, names: &[String]) -> Vec<Student> {
        let fernet = fernet::Fernet::new(&self.encryption_key).expect("a Fernet key");
        let mut students = Vec::with_capacity(names.len());
        let mut conn = self.db.get_conn().await.expect("a connection");
        let mut redis = self.cache.connection().await;
        for names in names.chunks(ROWS) {
            let (mut users, mut secrets, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
            let mut entries = redis::pipe();
            for name in names {
                let (api_key, api_secret) = (random_hex::<8>(), random_hex::<8>());
                let session = self.new_session(name, Role::Student);
                let last = session.last_updated.format("%Y-%m-%d %H:%M:%S%.6f");
                let zone = self.zone.name();
                let stars = "***************";
                users.push(tuple(&[
                    name,
                    name,
                    name,
                    name,
                    "Website User",
                    &api_key,
                    stars,
                    zone,
                ]));
                let secret = fernet.encrypt(api_secret.as_bytes());
                secrets.push(tuple(&["User", name, "api_secret", &secret, "1"]));
                sessions.push(tuple(&[
                    name,
                    &session.sid,
                    &session.repr(),
                    "127.0.0.1",
                    &last.to_string(),
                    "Active",
                ]));
                entries.hset(self.frappe_key("session"), &session.sid, session.pickle());
                students.push(Student {
                    name: name.clone(),
                    api_key,
                    api_secret,
                    sid: session.sid,
                });
            }
            let users_into = "tabUser (name, email, first_name, full_name, user_type, api_key, \
                              api_secret, time_zone)";
            let secrets_into = "__Auth (doctype, name, fieldname, password, encrypted)";
            let sessions_into =
                "tabSessions (user, sid, sessiondata, ipaddress, lastupdate, status)";
            for (into, rows) in [
                (users_into, &users),
                (secrets_into, &secrets),
                (sessions_into, &sessions),
            ] {
                let sql = format!("INSERT INTO {into} VALUES {}", rows.join(","));
                query(&mut conn, &sql).await;
            }
            let written: redis::RedisResult<()> = entries.query_async(&mut redis).await;
            written.expect("writing sessions to Redis");
        }
        students
    }

    /// The questions [`crate::questions::question_id`]`(0..count)` for each of these
    /// students, the first `due` of them overdue. Rows lie in the order in which a class
    /// makes them, question by question: those of one student are far from each other.
    ///
    /// # Panics
    /// If a statement fails, or for more questions than such ids have numbers for.
    pub async fn add_questions_to_all(
        &self,
        students: &[Student],
        season: &str,
        count: usize,
        due: usize,
    ) {
        assert!(count <= MOST, "ids have numbers for {MOST} questions");
        for (subject, _) in SUBJECTS {
            self.exec(
                "INSERT IGNORE INTO `tabGame Subject` (name, creation, modified, owner, \
                 modified_by) VALUES (?, NOW(6), NOW(6), 'Administrator', 'Administrator')",
                (subject,),
            )
            .await;
        }
        let mut conn = self.db.get_conn().await.expect("a connection");
        query(
            &mut conn,
            "CREATE TEMPORARY TABLE crowd (n INT PRIMARY KEY, player VARCHAR(140) NOT NULL)",
        )
        .await;
        let numbered: Vec<String> = students
            .iter()
            .enumerate()
            .map(|(n, s)| format!("({n},{})", literal(&s.name)))
            .collect();
        for rows in numbered.chunks(ROWS) {
            query(
                &mut conn,
                &format!("INSERT INTO crowd VALUES {}", rows.join(",")),
            )
            .await;
        }
        let many = students.len() * count >= MANY;
        let indexes = match many {
            true => self.take_indexes(&mut conn).await,
            false => None,
        };
        query(&mut conn, "SET unique_checks = 0").await;
        let step = (QUESTIONS / students.len().max(1)).clamp(1, MOST);
        for first in (0..count).step_by(step) {
            let last = (first + step).min(count) - 1;
            query(
                &mut conn,
                &self.questions(season, students.len(), first, last, due),
            )
            .await;
        }
        query(&mut conn, "SET unique_checks = 1").await;
        if let Some(indexes) = indexes {
            query(&mut conn, &indexes).await;
        }
        query(&mut conn, "DROP TEMPORARY TABLE crowd").await;
    }

    /// The statement that makes the questions `first..=last` of everybody in `crowd`.
    fn questions(
        &self,
        season: &str,
        crowd: usize,
        first: usize,
        last: usize,
        due: usize,
    ) -> String {
        let now = self.wall(chrono::Utc::now()).format("%Y-%m-%d %H:%M:%S");
        let names =
            |of: fn(&(&str, &str)) -> String| SUBJECTS.iter().map(of).collect::<Vec<_>>().join(",");
        let subjects = names(|(subject, _)| literal(subject));
        let topics = names(|(_, topic)| literal(topic));
        format!(
            "INSERT INTO `tabPlayer Memory Tracker` (name, creation, modified, owner, modified_by, \
             player, season, question_id, stability, next_review_date, last_review_date, subject, \
             topic) \
             SELECT CONCAT('01CROWD', LPAD(seq * {crowd} + n, 19, '0')), '{now}', '{now}', player, \
             player, player, {season}, CONCAT('STAGE-', LPAD(seq DIV 10, 3, '0'), ':', seq MOD 10), \
             1 + seq MOD 4, due, due - INTERVAL ELT(1 + seq MOD 4, 1, 3, 7, 14) DAY, \
             ELT(1 + seq MOD 3, {subjects}), ELT(1 + seq MOD 3, {topics}) \
             FROM (SELECT seq, IF(seq < {due}, '{now}' - INTERVAL (100000 - seq) MINUTE, \
             '{now}' + INTERVAL (1440 + seq) MINUTE) AS due FROM seq_{first}_to_{last}) question \
             STRAIGHT_JOIN crowd",
            season = literal(season),
        )
    }

    /// Drops the tracker's other indexes than its primary key; says how to make them again.
    async fn take_indexes(&self, conn: &mut Conn) -> Option<String> {
        let indexes: Vec<(String, i64, String)> = conn
            .query(
                "SELECT index_name, non_unique, \
                 GROUP_CONCAT(CONCAT('`', column_name, '`') ORDER BY seq_in_index) \
                 FROM information_schema.statistics WHERE table_schema = DATABASE() \
                 AND table_name = 'tabPlayer Memory Tracker' AND index_name <> 'PRIMARY' \
                 GROUP BY index_name, non_unique",
            )
            .await
            .expect("the tracker's indexes");
        if indexes.is_empty() {
            return None;
        }
        let alter = |what: Vec<String>| {
            format!("ALTER TABLE `tabPlayer Memory Tracker` {}", what.join(", "))
        };
        let drop = indexes
            .iter()
            .map(|(name, ..)| format!("DROP INDEX `{name}`"));
        query(conn, &alter(drop.collect())).await;
        let add = indexes.iter().map(|(name, non_unique, columns)| {
            let kind = if *non_unique == 0 {
                "UNIQUE INDEX"
            } else {
                "INDEX"
            };
            format!("ADD {kind} `{name}` ({columns})")
        });
        Some(alter(add.collect()))
    }
}

async fn query(conn: &mut Conn, sql: &str) {
    let shown = || sql.chars().take(1000).collect::<String>();
    conn.query_drop(sql)
        .await
        .unwrap_or_else(|e| panic!("{e}\nin: {}", shown()));
}

fn tuple(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
    format!("({})", values.join(","))
}
