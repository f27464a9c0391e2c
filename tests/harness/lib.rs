//! The harness: private servers on free ports, sites on them, clients and load.
//!
//! | module | job |
//! |---|---|
//! | [`servers`] | a Redis and a MariaDB of our own; started, stopped, killed, frozen |
//! | [`site`] | [`TestSite`]: a Frappe-shaped site in a database and Redis databases of its own |
//! | [`people`] | students with API credentials and Frappe's sessions |
//! | [`questions`] | seasons and tracked questions |
//! | [`crowd`] | thousands of students and millions of questions, quickly |
//! | [`programs`] | `memora-srs` as processes: sidecar, worker, commands |
//! | [`nginx`] | nginx in front of a sidecar, configured by `memora-srs setup` |
//! | [`http`] | an HTTP client that hides nothing |
//! | [`count`] | what Redis and MariaDB were asked, counted on the server |
//! | [`proxy`] | delays, cuts and black holes between client and server |
//! | [`load`] | load at a planned rate, and its latencies |
//! | [`wire`] | load that costs the machine little |
//! | [`visits`] | thousands of connections, each with a plan of its own |
//! | [`usage`] | what a process used: processor, memory |
//! | [`soak`] | the soak's plan of faults, its evidence and its checker |
//! | [`disk`] | a disk of a few kilobytes, which a test may fill |
//! | [`wait`] | waiting for something to become true |
//! | [`scratch`] | the temporary folder of this process |
//! | [`process`] | child processes that cannot outlive us |
//!
//! # Rules
//!
//! Everything is real: no server is imitated. Nothing uses a default port or an existing
//! service. Nothing is left behind, whatever ends the process: children die with us
//! ([`process`]) and folders are removed, at the latest by the next run ([`scratch`]).
//! Tests run in parallel on shared servers, so each site has its own database, user and
//! Redis databases; a test that stops, floods or counts a server asks for its own.
//!
//! The verbs of a site panic when they fail, naming what failed: in a test that is the
//! clearest report.

mod alarm;
pub mod count;
pub mod crowd;
pub mod disk;
pub mod http;
pub mod load;
pub mod nginx;
pub mod people;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod questions;
pub mod scratch;
pub mod servers;
pub mod site;
pub mod soak;
pub mod usage;
pub mod visits;
pub mod wait;
pub mod wire;

pub use http::Http;
pub use people::{Role, Session, Student};
pub use programs::{Sidecar, Worker};
pub use questions::Due;
pub use site::TestSite;
