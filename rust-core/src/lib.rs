//! The spaced repetition engine of Memora.
//!
//! Which questions is this student due to review? Store the answers, schedule the
//! next review. Redis sorted sets answer reads, MariaDB is the record, a journal row
//! makes a submit durable before it is acknowledged, and a worker applies it later.
//!
//! # The map
//!
//! | module | job |
//! |---|---|
//! | [`types`], [`error`] | the words everybody uses |
//! | [`batch`] | one submit as it travels: journal, job, worker |
//! | [`config`] | what the bench's two JSON files say about a site |
//! | [`site_time`] | naive wall time in the site's zone ↔ UTC; the only place that converts |
//! | [`scheduling`] | pure: state + quality + time in, new state out |
//! | [`schedule_cache`] | the sorted set and its companions in Redis, and every script |
//! | [`store`] | SQL statements, partitions, the archive, migrations |
//! | [`frappe`] | who is asking: sessions, credentials, and their formats |
//! | [`queue`] | RQ's wire format: producer and worker protocol |
//! | [`services`] | the operations, built from the parts above |
//! | [`spool`] | submits on this host's disk until the journal has them |
//! | [`servers`] | connections to Redis and MariaDB, nothing else |
//! | [`pickle`] | Python's pickle format, for plain data only |
//! | [`metrics`] | what this process counts, and its names |
//! | `failpoint` | places where a test stops or kills an operation |
//!
//! # Rules
//!
//! Dependencies point one way: `services` combines; `schedule_cache`, `store`, `queue`
//! and `frappe` know neither each other nor `services`; `scheduling` and `types` do no
//! I/O. Time is a parameter. Only `services` may decide anything that involves two
//! servers. `docs/ARCHITECTURE.md` walks through one read and one write, and has the promises
//! and rules that comments name by their numbers (G1 to G4, C1 to C13).

pub mod batch;
pub mod config;
pub mod error;
pub mod failpoint;
pub mod frappe;
pub mod metrics;
pub mod pickle;
pub mod queue;
pub mod schedule_cache;
pub mod scheduling;
pub mod servers;
pub mod services;
pub mod site_time;
pub mod spool;
pub mod store;
pub mod types;

pub use error::{Error, ErrorKind, Result};
