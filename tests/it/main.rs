//! Integration tests over real servers: one binary, so that it links once and all
//! tests share the harness.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod apply;
mod archive;
mod auth;
mod bad_input;
mod bad_rows;
mod clear;
mod counts;
mod faults;
mod harness;
mod http_contract;
mod hung;
mod interleavings;
mod journal;
mod limits;
mod manage;
mod metrics;
mod migrate;
mod monitor;
mod outages;
mod persist;
mod players;
mod purge;
mod question_info;
mod read;
mod rebuild;
mod reconcile;
mod recovery;
mod redis_commands;
mod rq;
mod safe_mode;
mod safe_mode_notices;
mod schedule;
mod served;
mod server;
mod sites;
mod soak;
mod stampede;
mod story;
mod submit;
mod sweep;
mod together;
mod worker;
