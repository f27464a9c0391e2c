//! Whether a sidecar serves this bench, as far as the bench's queue knows.
//!
//! A bench need not have one: gunicorn answers students, too. So that there is none is wrong
//! only where one was there and did not say that it ends.

use super::{Finding, Level, soon};
use crate::services::Site;
use crate::services::presence::{self, LOST, Seen};
use crate::types::UtcMicros;

pub(super) async fn look(site: &Site) -> Vec<Finding> {
    match soon(presence::seen(site)).await {
        Ok(seen) => vec![of(seen, UtcMicros::now())],
        // The queue's Redis is named as away already.
        Err(_) => Vec::new(),
    }
}

fn of(mut seen: Vec<Seen>, now: UtcMicros) -> Finding {
    const ABOUT: &str = "sidecar";
    let age = |seen: &Seen| (now.0 / 1_000_000 - seen.at).max(0);
    seen.sort_by_key(age);
    let is_lost = |one: &Seen| !one.stopped && age(one) > LOST;
    let serve = seen
        .iter()
        .filter(|one| !one.stopped && !is_lost(one))
        .count();
    if serve > 0 {
        // One that died beside it is its supervisor's business, who starts another.
        return Finding::well(ABOUT, format!("{serve} serves"));
    }
    let Some(last) = seen.first() else {
        return Finding::well(ABOUT, "none was ever seen here");
    };
    let (who, ago) = (&last.who, age(last));
    match seen.iter().find(|one| is_lost(one)) {
        Some(lost) => {
            let (who, ago) = (&lost.who, age(lost));
            let says =
                format!("{who} has not been heard of for {ago} s, and did not say that it ends");
            let remedy = "start it: memora-srs serve, or its supervisor; Frappe answers students \
                          meanwhile, where nginx asks it. What is gone for good is forgotten after \
                          a day";
            Finding::of(ABOUT, Level::Wrong, says, remedy)
        }
        None => Finding::well(ABOUT, format!("none serves; {who} was stopped {ago} s ago")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_died_without_another_is_wrong() {
        let now = UtcMicros(1_000_000_000_000);
        let one = |who: &str, ago: i64, stopped: bool| Seen {
            who: who.to_owned(),
            at: 1_000_000 - ago,
            stopped,
        };
        for (seen, level, says) in [
            (vec![], Level::Well, "none was ever seen"),
            (vec![one("a:1", 3, false)], Level::Well, "1 serves"),
            (
                vec![one("a:1", LOST + 1, false)],
                Level::Wrong,
                "a:1 has not",
            ),
            (
                vec![one("a:1", LOST + 1, false), one("b:1", 0, false)],
                Level::Well,
                "1 serves",
            ),
            (
                vec![one("a:1", LOST + 9, false), one("b:1", 5, true)],
                Level::Wrong,
                "a:1 has not",
            ),
            (
                vec![one("b:1", 500, true)],
                Level::Well,
                "b:1 was stopped 500 s",
            ),
        ] {
            let found = of(seen, now);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.says.contains(says), "{found:?}");
        }
    }
}
