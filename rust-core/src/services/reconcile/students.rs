//! Which students are looked at: those whose schedules are cached, drawn at random.
//!
//! By SCAN over the site's prefix with a reservoir, so that each has the same chance, and
//! it is known when there are no more. RANDOMKEY would be one command, but of bench's
//! shared Redis it mostly returns keys of Frappe's and companions, of any season, and it
//! never says that it has shown all. Of a very large Redis a part is scanned, from a place
//! chosen at random.

use std::collections::HashSet;

use super::random::Random;
use crate::Result;
use crate::services::Site;
use crate::types::{Player, Season};

/// Pages of a SCAN for one sample: half a million keys, a quarter of a second of Redis'
/// time in all.
const PAGES: u64 = 500;
/// Keys of a page, about.
const PAGE: u64 = 1000;

/// A student in a season.
pub(super) type Student = (Player, Season);

/// Up to `most` cached students, of one season if given, in random order.
pub(super) async fn draw(
    site: &Site,
    season: Option<&Season>,
    most: usize,
    random: &mut Random,
) -> Result<Vec<Student>> {
    let (_, keys) = site.cache.size().await?;
    let start = match keys > PAGES * PAGE {
        true => random.below(keys.next_power_of_two()),
        false => 0,
    };
    let mut cursor = start.to_string();
    let (mut drawn, mut met): (Vec<Student>, u64) = (Vec::new(), 0);
    for _ in 0..=PAGES {
        let (next, found) = site.cache.present(&cursor).await?;
        for student in found.iter().filter_map(|keys| site.cache.owner(keys)) {
            if season.is_some_and(|season| *season != student.1) {
                continue;
            }
            met += 1;
            if drawn.len() < most {
                drawn.push(student);
                continue;
            }
            let at = random.below(met) as usize;
            if let Some(place) = drawn.get_mut(at) {
                *place = student;
            }
        }
        cursor = next;
        if cursor == "0" && start == 0 {
            break;
        }
    }
    // SCAN shows a key twice while Redis makes its table of keys larger.
    let mut seen = HashSet::with_capacity(drawn.len());
    drawn.retain(|student| seen.insert(student.clone()));
    random.shuffle(&mut drawn);
    Ok(drawn)
}
