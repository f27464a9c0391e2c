//! Thousands of students at once, made in a few statements: for benches, and for tests of
//! what a crowd does.

use std::cmp::Reverse;

use chrono::Duration;
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
/// The questions that a student of a realistic season has, at least and at most.
const QUESTIONS_OF_ONE: (usize, usize) = (10, 100_000);
/// The questions that half of them have at most, and how far they differ: so they have
/// [`QUESTIONS_EACH`] in the mean, and one in thirty thousand has all that are allowed.
const MEDIAN: f64 = 325.0;
const SPREAD: f64 = 1.5;
/// Questions of a student of a realistic season, in the mean.
pub const QUESTIONS_EACH: usize = 1_000;

/// How many questions each student of a realistic season of `rows` has: most have few, a few
/// have very many (log-normal, 10 to 100,000), [`QUESTIONS_EACH`] in the mean. The same `seed`
/// makes the same season.
pub fn skewed(rows: usize, seed: u64) -> Vec<usize> {
    let (least, most) = QUESTIONS_OF_ONE;
    let mut state = seed;
    let mut counts = Vec::with_capacity(rows / QUESTIONS_EACH);
    let mut left = rows;
    while left > 0 {
        // Box-Muller makes a normal number of two even ones.
        let (a, b) = (even(&mut state), even(&mut state));
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        let drawn = (MEDIAN * (SPREAD * normal).exp()) as usize;
        let mut count = drawn.clamp(least, most).min(left);
        // Nobody is left with less than the least.
        if left - count < least {
            count = if left <= most { left } else { count - least };
        }
        counts.push(count);
        left -= count;
    }
    counts
}

/// The next number of `SplitMix64`, above 0 and up to 1.
fn even(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

impl TestSite {
    /// Students with API keys and sessions, as [`TestSite::add_student`] makes one.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn add_students(&self, names: &[String]) -> Vec<Student> {
        self.add_students_seen(names, |_| Duration::zero()).await
    }

    /// As [`TestSite::add_students`], whose sessions were last extended so long `ago` each.
    ///
    /// # Panics
    /// If a server fails.
    pub async fn add_students_seen(
        &self,
        names: &[String],
        ago: impl Fn(usize) -> Duration,
    ) -> Vec<Student> {
        let fernet = fernet::Fernet::new(&self.encryption_key).expect("a Fernet key");
        let mut students = Vec::with_capacity(names.len());
        let mut conn = self.db.get_conn().await.expect("a connection");
        let mut redis = self.cache.connection().await;
        for names in names.chunks(ROWS) {
            let (mut users, mut secrets, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
            let mut entries = redis::pipe();
            for name in names {
                let (api_key, api_secret) = (random_hex::<8>(), random_hex::<8>());
                let mut session = self.new_session(name, Role::Student);
                session.last_updated -= ago(students.len());
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
    /// If a statement fails.
    pub async fn add_questions_to_all(
        &self,
        students: &[Student],
        season: &str,
        count: usize,
        due: usize,
    ) {
        let counts = vec![count; students.len()];
        let names: Vec<&str> = students.iter().map(|s| s.name.as_str()).collect();
        self.add_questions_to_each(&names, season, &counts, due)
            .await;
    }

    /// As [`TestSite::add_questions_to_all`], so many for each of the students.
    ///
    /// # Panics
    /// If a statement fails, or there is not one count for each student.
    pub async fn add_questions_to_each(
        &self,
        students: &[&str],
        season: &str,
        counts: &[usize],
        due: usize,
    ) {
        assert_eq!(students.len(), counts.len(), "a count for each student");
        for (subject, _) in SUBJECTS {
            self.exec(
                "INSERT IGNORE INTO `tabGame Subject` (name, creation, modified, owner, \
                 modified_by) VALUES (?, NOW(6), NOW(6), 'Administrator', 'Administrator')",
                (subject,),
            )
            .await;
        }
        // Who has most comes first: those who have a question are then the first so many.
        let mut crowd: Vec<(&str, usize)> = students
            .iter()
            .zip(counts)
            .map(|(student, count)| (*student, *count))
            .collect();
        crowd.sort_by_key(|(_, count)| Reverse(*count));
        let mut conn = self.db.get_conn().await.expect("a connection");
        query(
            &mut conn,
            "CREATE TEMPORARY TABLE crowd \
             (n INT PRIMARY KEY, player VARCHAR(140) NOT NULL, questions INT NOT NULL)",
        )
        .await;
        let numbered: Vec<String> = crowd
            .iter()
            .enumerate()
            .map(|(n, (player, questions))| format!("({n},{},{questions})", literal(player)))
            .collect();
        for rows in numbered.chunks(ROWS) {
            query(
                &mut conn,
                &format!("INSERT INTO crowd VALUES {}", rows.join(",")),
            )
            .await;
        }
        let many = counts.iter().sum::<usize>() >= MANY;
        let indexes = match many {
            true => self.take_indexes(&mut conn).await,
            false => None,
        };
        query(&mut conn, "SET unique_checks = 0").await;
        let most = crowd.first().map_or(0, |(_, count)| *count);
        let mut first = 0;
        while first < most {
            let having = crowd.partition_point(|(_, count)| *count > first);
            let end = (first + (QUESTIONS / having).max(1)).min(most);
            let sql = self.questions(season, crowd.len(), having, first, end - 1, due);
            query(&mut conn, &sql).await;
            first = end;
        }
        query(&mut conn, "SET unique_checks = 1").await;
        if let Some(indexes) = indexes {
            query(&mut conn, &indexes).await;
        }
        query(&mut conn, "DROP TEMPORARY TABLE crowd").await;
    }

    /// The statement that makes the questions `first..=last` of the first `having` in `crowd`,
    /// as far as each of them has those.
    fn questions(
        &self,
        season: &str,
        crowd: usize,
        having: usize,
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
             player, player, {season}, \
             CONCAT('STAGE-', LPAD(seq DIV 10, GREATEST(3, LENGTH(seq DIV 10)), '0'), ':', seq MOD 10), \
             1 + seq MOD 4, due, due - INTERVAL ELT(1 + seq MOD 4, 1, 3, 7, 14) DAY, \
             ELT(1 + seq MOD 3, {subjects}), ELT(1 + seq MOD 3, {topics}) \
             FROM (SELECT seq, IF(seq < {due}, '{now}' - INTERVAL (100000 - seq) MINUTE, \
             '{now}' + INTERVAL (1440 + seq) MINUTE) AS due FROM seq_{first}_to_{last}) question \
             STRAIGHT_JOIN crowd WHERE n < {having} AND questions > seq",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realistic_season_is_skewed_and_the_same_each_time() {
        let mut counts = skewed(1_000_000, 7);
        assert_eq!(counts, skewed(1_000_000, 7));
        assert_ne!(counts, skewed(1_000_000, 8));
        assert_eq!(counts.iter().sum::<usize>(), 1_000_000);
        counts.sort_unstable();
        let students = counts.len();
        assert!((800..1_250).contains(&students), "{students}");
        let (least, most) = QUESTIONS_OF_ONE;
        assert!(counts[0] >= least && counts[students - 1] <= most);
        let median = counts[students / 2];
        assert!((270..390).contains(&median), "{median}");
        // The tenth with most has more than half of the rows.
        let top: usize = counts[students * 9 / 10..].iter().sum();
        assert!(top > 500_000, "{top}");
    }

    #[test]
    fn a_small_season_has_nobody_with_less_than_the_least() {
        for rows in [10, 11, 500, 20_000] {
            let counts = skewed(rows, 1);
            assert_eq!(counts.iter().sum::<usize>(), rows);
            assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
        }
    }
}
