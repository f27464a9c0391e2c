//! The fills of many students at once: the same steps by the same scripts, several a round
//! trip.

use redis::Value;

use super::fill::{lease_call, new_token, published};
use super::{Fill, MAX_CARRIED, Published, Reply, ScheduleCache, scripts, text, unexpected};
use crate::servers::redis::ScriptCall;
use crate::types::{Player, QuestionState, Season, UtcMicros};
use crate::{Result, failpoint};

/// Bytes of one round trip, about: a few milliseconds of Redis' time, between which it
/// serves others.
const ROUND_TRIP: usize = 512 * 1024;

/// How a fill began.
pub struct Begun<'a> {
    /// The lease; `None` if somebody else has it.
    pub fill: Option<Fill<'a>>,
    /// The members of a partial key, which win over what is read from now on.
    pub carried: Vec<(String, UtcMicros)>,
}

impl ScheduleCache {
    /// Which of these students' schedules are complete. One round trip.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn are_complete(&self, players: &[&Player], season: &Season) -> Result<Vec<bool>> {
        let calls = players.iter().map(|player| {
            let keys = self.keys(player, season);
            let mut call = ScriptCall::new(&scripts::GLANCE, &[&keys.schedule]);
            call.arg(&self.own).arg("0").arg("0");
            call
        });
        let replies = self.link.all_told(calls.collect()).await?;
        replies
            .into_iter()
            .map(|reply| Reply::new(reply?)?.complete())
            .collect()
    }

    /// Takes the leases on these students' schedules, as [`ScheduleCache::begin_fill`], and
    /// then what partial keys hold, as [`ScheduleCache::carried`]. One round trip as a rule.
    ///
    /// # Errors
    /// As [`ScheduleCache::begin_fill`].
    pub async fn begin_fills(
        &self,
        players: &[&Player],
        season: &Season,
    ) -> Result<Vec<Begun<'_>>> {
        let mut calls = Vec::with_capacity(players.len() * 2);
        let mut fills = Vec::with_capacity(players.len());
        for player in players {
            let (keys, token) = (self.keys(player, season), new_token()?);
            calls.push(lease_call(&keys, &token));
            let mut scan = ScriptCall::new(&scripts::SCAN, &[&keys.schedule]);
            scan.arg(&self.own).arg("0");
            scan.arg(MAX_CARRIED.to_string()).arg("partial");
            calls.push(scan);
            fills.push((*player, keys, token));
        }
        let mut replies = self.link.all_told(calls).await?.into_iter();
        let mut next = || replies.next().unwrap_or_else(|| Err(unexpected()));
        let mut begun = Vec::with_capacity(players.len());
        for (player, keys, token) in fills {
            let (lease, members) = (next()?, next()?);
            let fill = self.begun(keys, token, lease)?;
            let (carried, is_all) = members_of(members)?;
            let carried = match is_all {
                true => carried,
                false => self.carried(player, season).await?,
            };
            begun.push(Begun { fill, carried });
        }
        Ok(begun)
    }

    /// Stages these schedules. A fill whose lease is lost shows when it is published.
    /// `scope` names the site for failpoints.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or full.
    pub async fn stage_all(
        &self,
        fills: &mut [(Fill<'_>, Vec<QuestionState>)],
        scope: &str,
    ) -> Result<()> {
        let (mut calls, mut bytes) = (Vec::new(), 0);
        for (fill, states) in fills {
            let fields = fill.plan(states, &[]);
            for call in fill.chunks(states, &fields) {
                bytes += call.bytes();
                calls.push(call);
                if bytes >= ROUND_TRIP {
                    self.send(std::mem::take(&mut calls)).await?;
                    bytes = 0;
                    failpoint::hit(scope, "chunk_n").await?;
                }
            }
        }
        self.send(calls).await
    }

    /// Publishes what was staged, each in one step; what came of each.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away: any may be published.
    pub async fn publish_all(&self, fills: &[&Fill<'_>]) -> Result<Vec<Published>> {
        let calls = fills.iter().map(|fill| fill.publish_call()).collect();
        let replies = self.link.all_told(calls).await?;
        replies.into_iter().map(|reply| published(reply?)).collect()
    }

    /// Gives these leases back.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away; they then run out by themselves.
    pub async fn release_all(&self, fills: &[&Fill<'_>]) -> Result<()> {
        let calls = fills.iter().map(|fill| fill.release_call()).collect();
        self.send(calls).await
    }

    /// Names the data set that schedules are written to; another after a restart, a
    /// promotion or a REPLICAOF. Not after a FLUSHALL.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or a replica.
    pub async fn data_set(&self) -> Result<String> {
        self.server.store(None);
        let known = self.identity().await?;
        known
            .map(|known| known.name())
            .ok_or_else(|| super::standing(3).map_or_else(|error| error, |_| unexpected()))
    }

    async fn send(&self, calls: Vec<ScriptCall>) -> Result<()> {
        for reply in self.link.all_told(calls).await? {
            reply?;
        }
        Ok(())
    }
}

/// The members that a page of a scan shows, and whether they are all.
fn members_of(page: Value) -> Result<(Vec<(String, UtcMicros)>, bool)> {
    let mut reply = Reply::new(page)?;
    reply.complete()?;
    let is_all = reply.bytes()? == b"0";
    let members = reply.list()?;
    let members = members.chunks(2).filter_map(|pair| {
        let id = text(pair.first()?)?;
        let score: f64 = text(pair.get(1)?)?.parse().ok()?;
        let due = UtcMicros::from_score(score)?;
        (!id.starts_with('\0')).then(|| (id.to_owned(), due))
    });
    Ok((members.collect(), is_all))
}
