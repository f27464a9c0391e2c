//! Each server slow, hung, refusing, full or away, alone and two at a time: what a submit
//! and a read answer, and that nothing acknowledged is lost or done twice.
//! `docs/DURABILITY.md` has the table that these tests fill.
//!
//! | file | asks |
//! |---|---|
//! | `attempts` | several attempts at one submission while the journal takes nothing |
//! | `cells` | one line of the table: what is answered, and what is there afterwards |
//! | `full_disk` | the spool's disk filled by submits, and with room again |
//! | `raw` | answers whose state before could not be had in time |
//! | `renewed` | a queue that comes back with nothing while there are submits without a row |
//! | `servers` | what can be done to the servers |
//! | `started` | processes that know nothing yet of what has no row |
//! | `survivors` | submits whose process died before they had a row |
//! | `table` | the lines |

mod attempts;
mod cells;
mod full_disk;
mod raw;
mod renewed;
mod servers;
mod started;
mod survivors;
mod table;
