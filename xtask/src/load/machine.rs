//! The line that says on what a number was measured, and when.

use std::process::Command;

use crate::child;

/// Cores, processor, memory and kernel.
pub(crate) fn line() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (processors, memory, kernel) =
        (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/proc/sys/kernel/osrelease"));
    let value = |text: &str, key: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    // Not those that this process may use: it pins itself to one.
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kib: u64 = value(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    // Firecracker and others add a build of their own behind the version.
    let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    let processor = value(&processors, "model name");
    format!("{cores} cores, {processor}, {:.0} GiB, Linux {kernel}", kib as f64 / 1024.0 / 1024.0)
}

/// Today in UTC, as 2026-11-21.
pub(crate) fn date() -> String {
    child::read(Command::new("date").args(["-u", "+%F"])).unwrap_or_default().trim().to_owned()
}

/// The commit that was measured, marked where files were changed since.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        child::read(Command::new("git").args(arguments).current_dir(crate::root::root())).unwrap_or_default()
    };
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no", "--", "crates"]).is_empty();
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    format!("{}{}", commit.trim(), if is_changed { " and uncommitted changes" } else { "" })
}
