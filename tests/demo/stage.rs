//! The demo's site: servers, students, questions, and the programs at work.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use memora_tests::programs::{self, Start};
use memora_tests::servers::{MariaDbOptions, RedisOptions};
use memora_tests::{Due, Http, Sidecar, Student, TestSite, Worker};

/// The demo's season.
pub(crate) const SEASON: &str = "SEASON-2026";
/// How many students are written at once.
const WRITERS: usize = 4;

/// A site at work.
pub(crate) struct Stage {
    /// The site.
    pub(crate) site: TestSite,
    /// Whose session is played.
    pub(crate) ann: Student,
    /// `memora-srs serve`.
    pub(crate) sidecar: Sidecar,
    /// A client of it.
    pub(crate) http: Http,
    /// `memora-srs worker`, ended with the stage.
    _worker: Worker,
}

impl Stage {
    /// Starts servers, fills tables, migrates, and starts the programs.
    pub(crate) async fn set(program: &Path, students: usize, questions: usize) -> Result<Self> {
        ensure!(
            program.is_file(),
            "--program: {} is no file",
            program.display()
        );
        ensure!(
            students > 0 && questions >= 100,
            "one student and 100 questions at least"
        );
        let start = Start {
            program: Some(program.to_owned()),
            ..Start::default()
        };

        let began = Instant::now();
        let mariadb = MariaDbOptions {
            buffer_pool_mb: 512,
            ..MariaDbOptions::default()
        };
        let site = TestSite::builder()
            .unmigrated()
            .own_mariadb_with(mariadb)
            .own_cache_with(RedisOptions::default())
            .own_queue_with(RedisOptions::default())
            .try_build()
            .await?;
        done(
            "started private MariaDB, Redis (cache) and Redis (queue)",
            began,
        );

        let began = Instant::now();
        site.add_season(SEASON).await;
        let ann = site.add_student("ann@example.com").await;
        fill(&site, students, questions).await;
        let what = format!(
            "wrote {students} students and {} tracked questions",
            students * questions
        );
        done(&what, began);

        let began = Instant::now();
        programs::run(&site, &start, "migrate").await?;
        done(
            "memora-srs migrate: keys, indexes, a partition for the season, the journal",
            began,
        );

        let began = Instant::now();
        let sidecar = Sidecar::start_with(&site, &start).await?;
        let worker = Worker::start_with(&site, &start)?;
        let what = format!(
            "memora-srs serve on http://{}, memora-srs worker",
            sidecar.address
        );
        done(&what, began);
        let http = sidecar.http(&site);
        Ok(Self {
            site,
            ann,
            sidecar,
            http,
            _worker: worker,
        })
    }

    /// A row of the tracker: stability, due, version.
    pub(crate) async fn row(&self, question: &str) -> Result<(String, String, i64)> {
        self.site
            .query_one(
                "SELECT CAST(stability AS CHAR), CAST(next_review_date AS CHAR), review_version \
                 FROM `tabPlayer Memory Tracker` \
                 WHERE player = ? AND season = ? AND question_id = ?",
                (&self.ann.name, SEASON, question),
            )
            .await
            .with_context(|| format!("{question} has no row"))
    }
}

/// Writes the students and their questions; a third of Ann's are due.
async fn fill(site: &TestSite, students: usize, questions: usize) {
    let bar = progress(students as u64);
    stream::iter(0..students)
        .for_each_concurrent(WRITERS, |i| {
            let bar = &bar;
            async move {
                let due = Due::First(questions / 3);
                if i == 0 {
                    site.add_questions("ann@example.com", SEASON, questions, due)
                        .await;
                } else {
                    let name = format!("student{i:04}@example.com");
                    site.add_student(&name).await;
                    site.add_questions(&name, SEASON, questions, due).await;
                }
                bar.inc(1);
                if bar.is_hidden()
                    && (bar.position() * 10).is_multiple_of(bar.length().unwrap_or(1))
                {
                    println!(
                        "  … {} of {} students",
                        bar.position(),
                        bar.length().unwrap_or(0)
                    );
                }
            }
        })
        .await;
    bar.finish_and_clear();
}

fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} students, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn done(what: &str, began: Instant) {
    println!("  {:>6.1} s  {what}", began.elapsed().as_secs_f64());
}
