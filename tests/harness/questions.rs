//! Seasons, and tracked questions in the table.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use mysql_async::Value;
use mysql_async::prelude::Queryable;

use crate::site::{TestSite, random_hex};

/// Subjects that questions get in turn, with one topic each.
pub const SUBJECTS: [(&str, &str); 3] = [
    ("Mathematics", "Algebra"),
    ("Physics", "Optics"),
    ("History", "Rome"),
];

/// Rows of one INSERT.
const ROWS: usize = 500;

/// When questions are due, seen from now. Due times are whole seconds and differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// All are overdue: the first by the longest time, each by a minute less.
    All,
    /// None is due before tomorrow.
    None,
    /// The first so many are overdue as in [`Due::All`], the others as in [`Due::None`].
    First(usize),
}

/// A season; see [`TestSite::add_season_with`].
#[derive(Debug, Clone)]
pub struct Season {
    /// First day.
    pub start: NaiveDate,
    /// Last day.
    pub end: NaiveDate,
    /// Whether students play it.
    pub is_active: bool,
    /// Whether its schedules are served from Redis.
    pub enable_redis: bool,
}

impl Default for Season {
    fn default() -> Self {
        let today = Utc::now().date_naive();
        Self {
            start: today - Duration::days(100),
            end: today + Duration::days(200),
            is_active: true,
            enable_redis: true,
        }
    }
}

/// The id of the `i`-th question that [`TestSite::add_questions`] makes, from 0.
pub fn question_id(i: usize) -> String {
    format!("STAGE-{:03}:{}", i / 10, i % 10)
}

impl TestSite {
    /// An active season around today, with its partition where the table has partitions.
    ///
    /// # Panics
    /// If a statement fails.
    pub async fn add_season(&self, name: &str) {
        self.add_season_with(name, Season::default()).await;
    }

    /// A season that differs from the usual one.
    ///
    /// # Panics
    /// If a statement fails.
    pub async fn add_season_with(&self, name: &str, season: Season) {
        self.exec(
            "INSERT INTO `tabGame Subscription Season` (name, creation, modified, owner, \
             modified_by, season_name, title, start_date, end_date, is_active, \
             partition_created, enable_redis) VALUES (?, NOW(6), NOW(6), 'Administrator', \
             'Administrator', ?, ?, ?, ?, ?, 1, ?)",
            (
                name,
                name,
                name,
                season.start.to_string(),
                season.end.to_string(),
                season.is_active,
                season.enable_redis,
            ),
        )
        .await;
        self.add_partition(name).await;
    }

    async fn add_partition(&self, season: &str) {
        let partitioned: Vec<u8> = self
            .query(
                "SELECT 1 FROM information_schema.partitions WHERE table_schema = DATABASE() \
                 AND table_name = 'tabPlayer Memory Tracker' AND partition_name IS NOT NULL \
                 LIMIT 1",
                (),
            )
            .await;
        if partitioned.is_empty() {
            return;
        }
        // A name as good as any: partitions are recognised by their value.
        self.run(&format!(
            "ALTER TABLE `tabPlayer Memory Tracker` ADD PARTITION IF NOT EXISTS \
             (PARTITION `p_season_test_{}` VALUES IN ({}))",
            random_hex::<4>(),
            literal(season)
        ))
        .await;
    }

    /// Tracked questions for a student; their ids are [`question_id`]`(0..count)`.
    ///
    /// # Panics
    /// If a statement fails.
    pub async fn add_questions(&self, player: &str, season: &str, count: usize, due: Due) {
        let now = Utc::now().trunc_subsecs(0);
        let rows: Vec<String> = (0..count)
            .map(|i| self.row(player, season, i, due, now))
            .collect();
        for (subject, _) in SUBJECTS {
            self.exec(
                "INSERT IGNORE INTO `tabGame Subject` (name, creation, modified, owner, \
                 modified_by) VALUES (?, NOW(6), NOW(6), 'Administrator', 'Administrator')",
                (subject,),
            )
            .await;
        }
        for chunk in rows.chunks(ROWS) {
            self.run(&format!(
                "INSERT INTO `tabPlayer Memory Tracker` (name, creation, modified, owner, \
                 modified_by, player, season, question_id, stability, next_review_date, \
                 last_review_date, subject, topic) VALUES {}",
                chunk.join(",")
            ))
            .await;
        }
    }

    fn row(&self, player: &str, season: &str, i: usize, due: Due, now: DateTime<Utc>) -> String {
        let overdue = |k: usize| now - Duration::minutes(k as i64);
        let later = |k: usize| now + Duration::days(1) + Duration::minutes(k as i64);
        let next = match due {
            // The count is not needed: the further down the list, the less overdue.
            Due::All => overdue(100_000 - i.min(99_999)),
            Due::None => later(i),
            Due::First(k) if i < k => overdue(100_000 - i.min(99_999)),
            Due::First(_) => later(i),
        };
        let stability = 1 + i % 4;
        let last = next - Duration::days([1, 3, 7, 14][i % 4]);
        let (subject, topic) = SUBJECTS[i % SUBJECTS.len()];
        format!(
            "('{name}','{last}','{last}',{player},{player},{player},{season},{question},\
             {stability},'{next}','{last}','{subject}','{topic}')",
            name = random_hex::<10>(),
            last = self.wall(last),
            next = self.wall(next),
            player = literal(player),
            season = literal(season),
            question = literal(&question_id(i)),
        )
    }

    /// A point in time as the site's wall time.
    pub fn wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    /// Runs a statement that cannot be prepared or is better not.
    async fn run(&self, sql: &str) {
        let mut conn = self.db.get_conn().await.expect("a connection");
        conn.query_drop(sql)
            .await
            .unwrap_or_else(|e| panic!("{e}\nin: {}", sql.chars().take(1000).collect::<String>()));
    }
}

/// A text as a literal in a statement.
pub(crate) fn literal(text: &str) -> String {
    Value::from(text).as_sql(false)
}
