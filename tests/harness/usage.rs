//! What a process has used, as Linux counts it.

use std::fs;
use std::path::Path;

/// `USER_HZ`, which is 100 wherever Linux runs.
const TICKS: f64 = 100.0;

/// Processor seconds that the process has used, all its threads together; 0 if it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    cpu_of(&Path::new("/proc").join(pid.to_string()).join("stat"))
}

/// Resident memory of the process in bytes, now; 0 if it is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most resident memory that the process has had, in bytes; 0 if it is gone.
pub fn most_resident_bytes(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn cpu_of(stat: &Path) -> f64 {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    // After the name, which may hold blanks: user time is the 12th field, system time the 13th.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_is_seen() {
        let me = std::process::id();
        let before = cpu_seconds(me);
        while cpu_seconds(me) - before < 0.05 {
            std::hint::black_box(fs::read_to_string("/proc/self/stat").unwrap());
        }
        assert!(resident_bytes(me) > 1024 * 1024);
        assert!(most_resident_bytes(me) >= resident_bytes(me) / 2);
        assert_eq!(cpu_seconds(u32::MAX), 0.0);
        assert_eq!(resident_bytes(u32::MAX), 0);
    }
}
