//! `memora-srs`: see `memora-srs --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    memora_sidecar::cli::main()
}
