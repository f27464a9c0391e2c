//! Everything: each member and each row of a student, or of all cached students of a
//! season.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Run;
use super::compare::{PATIENCE, Part, compare};
use crate::Result;
use crate::schedule_cache::Lookup;
use crate::servers::mariadb::MariaDb;
use crate::store::load::many;
use crate::types::{Player, Season};

/// Ids of one page of rows.
const PAGE: usize = 1000;
/// Questions that are compared together.
const TOGETHER: usize = 640;

/// Questions that wait until it pays to compare them.
#[derive(Default)]
struct Waiting {
    parts: Vec<Part>,
    questions: usize,
}

impl Waiting {
    async fn add(&mut self, run: &mut Run<'_>, season: &Season, part: Part) -> Result<()> {
        self.questions += part.ids.len();
        if !part.ids.is_empty() {
            self.parts.push(part);
        }
        if self.questions >= TOGETHER {
            self.compare(run, season).await?;
        }
        Ok(())
    }

    async fn compare(&mut self, run: &mut Run<'_>, season: &Season) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        self.questions = 0;
        compare(run, season, &parts).await?;
        run.still_mine().await
    }
}

/// All of one student.
pub(super) async fn student(run: &mut Run<'_>, player: &Player, season: &Season) -> Result<()> {
    let mut waiting = Waiting::default();
    one(run, player, season, &mut waiting).await?;
    waiting.compare(run, season).await
}

/// All cached students of a season, one after the other.
pub(super) async fn season(run: &mut Run<'_>, season: &Season) -> Result<()> {
    run.total = count(run, season).await?;
    // Hashes: SCAN may show a key twice.
    let mut done = HashSet::new();
    let mut waiting = Waiting::default();
    let mut cursor = "0".to_owned();
    loop {
        let (next, found) = run.site.cache.present(&cursor).await?;
        for keys in found {
            let Some((player, of)) = run.site.cache.owner(&keys) else {
                continue;
            };
            let mut hash = DefaultHasher::new();
            player.hash(&mut hash);
            if of != *season || !done.insert(hash.finish()) {
                continue;
            }
            one(run, &player, season, &mut waiting).await?;
            run.done += 1;
            run.progress();
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    waiting.compare(run, season).await
}

async fn count(run: &Run<'_>, season: &Season) -> Result<u64> {
    let (mut count, mut cursor) = (0, "0".to_owned());
    loop {
        let (next, found) = run.site.cache.present(&cursor).await?;
        let owners = found.iter().filter_map(|keys| run.site.cache.owner(keys));
        count += owners.filter(|(_, of)| of == season).count() as u64;
        if next == "0" {
            return Ok(count);
        }
        cursor = next;
    }
}

async fn one(
    run: &mut Run<'_>,
    player: &Player,
    season: &Season,
    waiting: &mut Waiting,
) -> Result<()> {
    let site = run.site;
    let Lookup::Complete(_) = site.cache.draw(player, season, &[], None).await? else {
        return Ok(());
    };
    // Cached without a single question, it was looked at all the same.
    run.student(player, season);
    let members = site.cache.scores(player, season).await?;
    let mut known: HashSet<String> = members.into_iter().map(|(id, _)| id).collect();
    if let Lookup::Complete(ids) = site.cache.subject_members(player, season).await? {
        known.extend(ids);
    }
    let ids: Vec<String> = known.iter().cloned().collect();
    for ids in ids.chunks(TOGETHER) {
        let part = Part {
            player: player.clone(),
            ids: ids.to_vec(),
        };
        waiting.add(run, season, part).await?;
    }
    let mut last = String::new();
    loop {
        let page = {
            let _turn = site.fill_turn().await?;
            let page = async {
                let mut conn = site.db.conn().await?;
                many::ids_after(&mut conn, player, season, &last, PAGE).await
            };
            MariaDb::within(PATIENCE, page).await?
        };
        let full = page.len() == PAGE;
        if let Some(id) = page.last() {
            last.clone_from(id);
        }
        let ids = page.into_iter().filter(|id| !known.contains(id));
        let part = Part {
            player: player.clone(),
            ids: ids.collect(),
        };
        waiting.add(run, season, part).await?;
        if !full {
            return Ok(());
        }
    }
}
