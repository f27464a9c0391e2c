//! (skeleton)

pub mod migrate;
pub mod partitions;
