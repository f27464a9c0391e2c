//! Each server slow, hung, refusing, full or away, alone and two at a time: what a submit
//! and a read answer, and that nothing acknowledged is lost or done twice.
//! `docs/DURABILITY.md` has the table that these tests fill.
//!
//! | file | asks |
//! |---|---|
//! | `attempts` | several attempts at one submission while the journal takes nothing |
//! | `raw` | answers whose state before could not be had in time |

mod attempts;
mod raw;
