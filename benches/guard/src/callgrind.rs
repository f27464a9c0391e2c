//! Counting instructions: this program again, under Valgrind.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The argument with which the program only makes the calls.
pub(crate) const RUN: &str = "--run";

/// The function whose calls are counted.
const REGION: &str = "memora_counted_region";
/// Functions whose calls are not counted.
const LEFT_OUT: [&str; 3] = ["memora_allocate", "memora_reallocate", "memora_release"];

/// The instructions of each region, in the order of the cases.
pub(crate) fn instructions() -> Result<Vec<u64>> {
    let folder = tempfile::tempdir().context("making a folder for Valgrind")?;
    let dumps = folder.path().join("dump");
    let this = std::env::current_exe().context("finding this program's file")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={REGION}"))
        .arg(format!("--dump-after={REGION}"))
        .arg(format!("--callgrind-out-file={}", dumps.display()))
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(this)
        .arg(RUN)
        .output()
        .context("starting valgrind, the Debian package of that name")?;
    ensure!(
        output.status.success(),
        "valgrind: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let mut parts = parts(folder.path())?;
    parts.sort();
    let count = |(_, file): (u32, PathBuf)| {
        let dump = fs::read_to_string(&file)?;
        counted(&dump).with_context(|| format!("{} has no total", file.display()))
    };
    parts.into_iter().map(count).collect()
}

/// The dumps after a region, with their numbers. The last one, of what came after all of
/// them, has none.
fn parts(folder: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let number = file.extension().and_then(OsStr::to_str);
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            parts.push((number, file));
        }
    }
    Ok(parts)
}

/// The instructions of one dump, without those of calls that are left out.
fn counted(dump: &str) -> Option<u64> {
    let mut lines = dump.lines();
    let mut left_out = 0;
    let mut total = None;
    while let Some(line) = lines.next() {
        if let Some(sum) = line.strip_prefix("totals: ") {
            total = sum.trim().parse::<u64>().ok();
        } else if line
            .strip_prefix("cfn=")
            .is_some_and(|name| LEFT_OUT.contains(&name))
        {
            // Then come the number of calls, and where they are with what they cost.
            let _calls = lines.next()?;
            left_out += lines.next()?.split(' ').nth(1)?.parse::<u64>().ok()?;
        }
    }
    total?.checked_sub(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocators_calls_are_left_out() {
        let dump = "events: Ir\nfn=a\n0 5\ncfn=memora_allocate\ncalls=2 0 \n0 30\n\
                    cfn=b\ncalls=1 0 \n0 40\n\nfn=memora_allocate\n0 30\ntotals: 75\n";
        assert_eq!(counted(dump), Some(45));
        assert_eq!(counted("events: Ir\n"), None);
    }
}
