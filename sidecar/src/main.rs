//! `memora-srs`: see `memora-srs --help`.

fn main() {}
