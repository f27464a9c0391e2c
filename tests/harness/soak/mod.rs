//! The soak's memory and judgement: what students were told, what was done to the servers,
//! and whether the promises held.
//!
//! | module | job |
//! |---|---|
//! | [`dice`] | random numbers that a seed repeats |
//! | [`plan`] | which faults, when, from a seed |
//! | [`evidence`] | what clients were told, what the tables hold, which faults there were |
//! | [`history`] | the states of each question, and from when on each must show |
//! | `declared` | what follows from the declared double fault |
//! | [`check`] | lost, doubled, stale: guarantees G1 to G4 |
//! | [`reads`] | what a read may show |
//! | [`answers`] | answers that nobody should get |
//! | [`figures`] | the age of the journal, the time to normal after an outage |
//!
//! The checker sees what a student and an operator see, never the engine's memory. It is
//! tested by itself, and by engines that break a rule on purpose
//! ([`memora_core::failpoint::planted`]).

pub mod answers;
pub mod check;
mod declared;
pub mod dice;
pub mod evidence;
pub mod figures;
pub mod history;
pub mod plan;
pub mod reads;
#[cfg(test)]
mod tests;

pub use check::{Finding, Verdict, judge};
pub use dice::Dice;
pub use evidence::Evidence;
