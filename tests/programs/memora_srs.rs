//! `memora-srs` with failpoints: the same program, built by the tests' package.

use std::process::ExitCode;

fn main() -> ExitCode {
    memora_sidecar::cli::main()
}
