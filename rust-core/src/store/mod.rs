//! (skeleton)

pub mod partitions;
