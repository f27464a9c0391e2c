//! Scheduling.
fn main() {}
