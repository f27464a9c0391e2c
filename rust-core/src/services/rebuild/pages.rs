//! Which students come next: pages that are read ahead, cut into bounded parts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::services::Site;
use crate::store::load::many::{self, Student};
use crate::types::{Player, Season};

/// Questions of one page, at most, unless one student alone has more.
const QUESTIONS: u64 = 20_000;
/// Students of one page, at most: more make the statements long.
const STUDENTS: usize = 200;
/// Students looked for at first, when nothing is known of how much they have.
const FIRST: usize = 16;
/// Pages looked for by one statement.
const AHEAD: u64 = 4;
/// How long that may take: a student's rows are counted in the index.
const PATIENCE: Duration = Duration::from_secs(60);

/// Students whose schedules are made together.
pub(super) struct Page {
    /// The first is 0.
    pub(super) number: u64,
    /// Their last, as the rows name it.
    pub(super) last: Player,
    /// Never empty.
    pub(super) students: Vec<Student>,
}

/// See the module's documentation.
pub(super) struct Pages {
    season: Season,
    after: Option<Player>,
    most: usize,
    look_for: usize,
    number: u64,
    ahead: VecDeque<Student>,
    at_end: bool,
}

impl Pages {
    pub(super) fn new(season: Season, after: Option<String>, most: usize) -> Self {
        Self {
            season,
            after: after.map(Player::stored),
            most: most.min(STUDENTS),
            look_for: FIRST,
            number: 0,
            ahead: VecDeque::new(),
            at_end: false,
        }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// `Unavailable` if the database is away.
    pub(super) async fn next(&mut self, site: &Site) -> Result<Option<Page>> {
        if self.ahead.is_empty() && !self.at_end {
            self.look_ahead(site).await?;
        }
        let students = cut(&mut self.ahead, self.most);
        let Some(last) = students.last().map(|s: &Student| s.of_rows.clone()) else {
            return Ok(None);
        };
        let number = self.number;
        self.number += 1;
        Ok(Some(Page {
            number,
            last,
            students,
        }))
    }

    async fn look_ahead(&mut self, site: &Site) -> Result<()> {
        let found = async {
            let mut conn = site.db.conn_within(PATIENCE).await?;
            many::students(&mut conn, &self.season, self.after.as_ref(), self.look_for).await
        };
        let found = MariaDb::within(PATIENCE, found).await?;
        self.at_end = found.len() < self.look_for;
        // As many as make a few pages, judging by these.
        let questions: u64 = found.iter().map(|s| s.questions).sum();
        let each = (questions / (found.len() as u64).max(1)).max(1);
        let students = (AHEAD * QUESTIONS / each).clamp(1, AHEAD * STUDENTS as u64);
        self.look_for = usize::try_from(students).unwrap_or(FIRST);
        if let Some(last) = found.last() {
            self.after = Some(last.of_rows.clone());
        }
        self.ahead = found.into();
        Ok(())
    }
}

/// Takes the next page from the front: `most` students and [`QUESTIONS`] questions at most, but
/// always one student.
fn cut(ahead: &mut VecDeque<Student>, most: usize) -> Vec<Student> {
    let (mut students, mut questions) = (Vec::new(), 0);
    while let Some(student) = ahead.front() {
        questions += student.questions;
        let is_full = students.len() == most || questions > QUESTIONS;
        if is_full && !students.is_empty() {
            break;
        }
        students.extend(ahead.pop_front());
    }
    students
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The questions of the students of each page.
    fn pages(questions: &[u64], most: usize) -> Vec<Vec<u64>> {
        let student = |&questions: &u64| Student {
            of_rows: Player::stored("x"),
            player: Player::stored("x"),
            questions,
        };
        let mut ahead: VecDeque<Student> = questions.iter().map(student).collect();
        let next = || {
            let page = cut(&mut ahead, most);
            (!page.is_empty()).then(|| page.iter().map(|s| s.questions).collect())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_page_is_bounded_by_questions_and_students_whichever_comes_first() {
        assert_eq!(
            pages(&[1, 2, 3, 4, 5], 2),
            [vec![1, 2], vec![3, 4], vec![5]]
        );
        // Full to the last question, and one too many.
        assert_eq!(pages(&[19_999, 1, 1], 9), [vec![19_999, 1], vec![1]]);
        assert_eq!(pages(&[19_999, 2], 9), [[19_999], [2]]);
        // Who alone has more is a page.
        assert_eq!(pages(&[1, 50_000, 1], 9), [[1], [50_000], [1]]);
        assert_eq!(pages(&[], 9), Vec::<Vec<u64>>::new());
    }
}
