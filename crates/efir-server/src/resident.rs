//! How much memory there is, and how much of it this process takes. Linux says it in files.

use std::{fs, sync::OnceLock};

/// The part of what there is that the server takes when nobody says how much it may: the rest is the kernel's, for sockets.
const PART: (u64, u64) = (3, 4);
/// What is assumed where the system says nothing.
const TOTAL_OTHERWISE: u64 = 1 << 30;
/// Of `memory_bytes_max`, what logs may weigh: each wire form that is read keeps a further copy.
const LOG_PART: usize = 4;

/// The bound of memory: as it is configured, and otherwise three quarters of what the machine or the control group has.
pub(crate) fn memory_bytes_max(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups(&own).into_iter();
    // Where there is no bound stands a word, or a number beyond all machines.
    let groups = groups.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let total = groups.chain(machine).min().unwrap_or(TOTAL_OTHERWISE);
    usize::try_from(total / PART.1 * PART.0).unwrap_or(usize::MAX)
}

/// The bound of all logs: as it is configured, and no more than memory has room for.
pub(crate) fn log_bytes_max(configured: usize, memory_bytes_max: usize) -> usize {
    configured.min(memory_bytes_max / LOG_PART)
}

/// Where the control groups that we are in say how much they may take: our own and all around it, by the lines of
/// `/proc/self/cgroup`. Inside of a container the outermost that is seen is its own.
fn groups(own: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let around = std::path::Path::new(group).ancestors();
        paths.extend(
            around.map(|group| format!("{root}{}/{file}", group.display().to_string().trim_end_matches('/'))),
        );
    }
    paths
}

/// Bytes of memory that this process takes and nobody else has: without the pages of its program file. `None` where the system does
/// not say it.
pub(crate) fn in_use() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = kilobytes(&text, "RssAnon:").or_else(|| kilobytes(&text, "VmRSS:"))?;
    usize::try_from(bytes).ok()
}

/// Whoever chose the allocator says how it is asked.
static ALLOCATED: OnceLock<fn() -> Option<u64>> = OnceLock::new();

/// From now on `/metrics` tells how many bytes are allocated, which `read` asks the program's allocator for. Only a program knows
/// which allocator it has; the first call counts.
pub fn count_allocated_by(read: fn() -> Option<u64>) {
    // A second one would be asked about the same allocator.
    let _ = ALLOCATED.set(read);
}

/// Bytes that are allocated and not freed; `None` where nobody has said how they are counted.
pub(crate) fn allocated() -> Option<u64> {
    ALLOCATED.get().and_then(|read| read())
}

/// A line such as `RssAnon:      1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let text = "Name:\tefir\nVmRSS:\t   20480 kB\nRssAnon:\t    1024 kB\nThreads:\t4\n";
        assert_eq!(kilobytes(text, "RssAnon:"), Some(1 << 20));
        assert_eq!(kilobytes(text, "VmRSS:"), Some(20 << 20));
        assert_eq!(kilobytes(text, "Threads:"), None);
        assert_eq!(kilobytes(text, "Swap:"), None);
    }

    #[test]
    fn groups_are_our_own_and_those_around_it() {
        let v2 = "0::/system.slice/efir.service\n";
        let all = ["/system.slice/efir.service", "/system.slice", ""];
        assert_eq!(groups(v2), all.map(|group| format!("/sys/fs/cgroup{group}/memory.max")));
        let v1 = "5:cpu,cpuacct:/a\n4:memory:/b\n";
        let all = ["/b", ""].map(|group| format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"));
        assert_eq!(groups(v1), all);
        assert!(groups("nonsense\n").is_empty());
    }

    #[test]
    fn there_is_a_bound_without_configuration() {
        assert_eq!(memory_bytes_max(123), 123);
        let bytes = memory_bytes_max(0);
        assert!((64 << 20..1 << 48).contains(&bytes), "{bytes}");
        assert_eq!(log_bytes_max(512 << 20, 4 << 30), 512 << 20);
        assert_eq!(log_bytes_max(512 << 20, 256 << 20), 64 << 20);
    }

    #[test]
    fn memory_that_is_taken_shows() {
        let before = in_use().unwrap();
        let taken = vec![1_u8; 64 << 20];
        assert!(in_use().unwrap() >= before + (48 << 20));
        drop(taken);
    }
}
