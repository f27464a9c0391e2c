//! A sample: random students, of each random members and random rows.
//!
//! Members show what the cache has wrong or too much, rows what it lacks. With a share `f`
//! of a schedule to be compared, each member and each row is drawn with the chance `g`
//! where `g + g - g² = f`: most questions are both.

use std::collections::{BTreeMap, HashSet};

use super::Run;
use super::compare::{PATIENCE, Part, compare};
use super::random::Random;
use super::students::{self, Student};
use crate::Result;
use crate::schedule_cache::Lookup;
use crate::servers::mariadb::MariaDb;
use crate::store::load::many;
use crate::types::{Player, Season};

/// Students of one round trip.
const STUDENTS: usize = 32;
/// Questions of one student, where there are students enough.
const OF_ONE: u64 = 20;

/// Compares about `size` items, fewer if there are no more.
pub(super) async fn run(
    run: &mut Run<'_>,
    season: Option<&Season>,
    size: u64,
    random: &mut Random,
) -> Result<()> {
    let most = usize::try_from(size).unwrap_or(usize::MAX);
    let students = students::draw(run.site, season, most, random).await?;
    let share = share(run, &students, size).await?;
    for students in students.chunks(STUDENTS) {
        for (season, players) in by_season(students) {
            let left = size.saturating_sub(run.report.compared);
            if left == 0 {
                return Ok(());
            }
            if !run.is_served(&season).await? {
                continue;
            }
            let parts = parts(run, &season, &players, share, left, random).await?;
            compare(run, &season, &parts).await?;
            run.still_mine().await?;
        }
    }
    Ok(())
}

/// Which share of each schedule is compared; `None` if [`OF_ONE`] questions of each of
/// these students are enough.
async fn share(run: &Run<'_>, students: &[Student], size: u64) -> Result<Option<f64>> {
    if students.len() as u64 * OF_ONE / 2 > size {
        return Ok(None);
    }
    let mut questions = 0;
    for students in students.chunks(STUDENTS) {
        for (season, players) in by_season(students) {
            let sizes = sizes(run, &season, &players).await?;
            questions += sizes.iter().map(|(_, size)| size).sum::<u64>();
        }
    }
    // A little more: drawing rows is a matter of chance, and the last part is cut.
    Ok(Some((1.1 * size as f64 / questions.max(1) as f64).min(1.0)))
}

fn by_season(students: &[Student]) -> BTreeMap<Season, Vec<&Player>> {
    let mut seasons: BTreeMap<Season, Vec<&Player>> = BTreeMap::new();
    for (player, season) in students {
        seasons.entry(season.clone()).or_default().push(player);
    }
    seasons
}

/// How many questions the schedules of these students have; those that are not cached are
/// left out.
async fn sizes<'a>(
    run: &Run<'_>,
    season: &Season,
    players: &[&'a Player],
) -> Result<Vec<(&'a Player, u64)>> {
    let mut asked = Vec::with_capacity(players.len());
    for player in players {
        asked.push(run.site.cache.draw(player, season, &[], None));
    }
    let all = players.iter().zip(super::together(asked).await?);
    let all = all.filter_map(|(player, drawn)| match drawn {
        Lookup::Complete(drawn) => Some((*player, drawn.questions)),
        Lookup::Incomplete => None,
    });
    Ok(all.collect())
}

/// Questions of these students, `left` at most.
async fn parts(
    run: &Run<'_>,
    season: &Season,
    players: &[&Player],
    share: Option<f64>,
    left: u64,
    random: &mut Random,
) -> Result<Vec<Part>> {
    let sizes = sizes(run, season, players).await?;
    let chance = |questions: u64| {
        let share = share.unwrap_or(OF_ONE as f64 / questions.max(1) as f64);
        1.0 - (1.0 - share.min(1.0)).sqrt()
    };
    let (mut all, mut wanted) = (0, 0.0);
    let mut draws = Vec::with_capacity(sizes.len());
    for (player, questions) in &sizes {
        let members = (*questions as f64 * chance(*questions)).ceil();
        (all, wanted) = (all + questions, wanted + members);
        let ranks = random.different(members as u64, *questions);
        draws.push((*player, ranks, random.fraction()));
    }
    let mut asked = Vec::with_capacity(draws.len());
    for (player, ranks, place) in &draws {
        asked.push(run.site.cache.draw(player, season, ranks, Some(*place)));
    }
    let members = super::together(asked).await?.into_iter();
    let members = members.map(|drawn| match drawn {
        Lookup::Complete(drawn) => drawn.members,
        Lookup::Incomplete => Vec::new(),
    });

    let cached: Vec<&Player> = sizes.iter().map(|(player, _)| *player).collect();
    let chance = match all {
        0 => 1.0,
        all => (wanted / all as f64).min(1.0),
    };
    let expected = wanted as usize + cached.len() * OF_ONE as usize;
    let rows = {
        let seed = random.next() as u32;
        let _turn = run.site.fill_turn().await?;
        let ids = async {
            let mut conn = run.site.db.conn().await?;
            many::random_ids(&mut conn, season, &cached, seed, chance, 4 * expected).await
        };
        MariaDb::within(PATIENCE, ids).await?
    };
    let mut drawn: Vec<Vec<String>> = vec![Vec::new(); cached.len()];
    for (of, id) in rows {
        if let Some(ids) = drawn.get_mut(of) {
            ids.push(id);
        }
    }
    let mut left = usize::try_from(left).unwrap_or(usize::MAX);
    let mut parts = Vec::with_capacity(cached.len());
    for ((player, members), rows) in cached.into_iter().zip(members).zip(drawn) {
        let mut seen = HashSet::new();
        let mut ids: Vec<String> = members.into_iter().chain(rows).collect();
        ids.retain(|id| seen.insert(id.clone()));
        // So that what is cut is not always rows.
        random.shuffle(&mut ids);
        ids.truncate(left);
        left -= ids.len();
        if !ids.is_empty() {
            let player = player.clone();
            parts.push(Part { player, ids });
        }
    }
    Ok(parts)
}
