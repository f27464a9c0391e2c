//! Attacks: what somebody may try with bytes, cookies, names and jobs against the door, one
//! test each. `docs/security.md` has the table of all, with those that other files test.

mod documented;
mod logins;
mod logs;
mod slow;
mod smuggling;
mod students;
