//! What the operating system knows of this process. Only Linux tells; elsewhere the figures are missing.

use std::{fs, time::SystemTime};

/// Ticks of a second in `/proc`: what the kernel shows to programs, on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// The figures now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_s: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        // After the name of the program, which may contain anything: the state is field 3 of the page, the times are 14 and 15.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Self {
            cpu_s: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_S),
            resident_bytes: kilobytes(&status, "VmRSS:"),
            virtual_bytes: kilobytes(&status, "VmSize:"),
            open_files: open_files(),
            open_files_max: words_after(&limits, "Max open files").and_then(|word| word.parse().ok()),
            threads: words_after(&status, "Threads:").and_then(|word| word.parse().ok()),
        }
    }
}

/// The first word after a name at the beginning of a line.
fn words_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    words_after(text, name)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Recent kernels tell the number as the size of the folder; counting a hundred thousand entries would take long.
fn open_files() -> Option<u64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 { Some(told) } else { Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64) }
}

/// Seconds since 1970 UTC.
pub(super) fn unix_s(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_all_of_it() {
        let _file = fs::File::open("/proc/self/stat").unwrap();
        let process = Process::read();
        assert!(process.cpu_s.unwrap() >= 0.0);
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.virtual_bytes.unwrap() >= process.resident_bytes.unwrap());
        assert!(
            process.open_files.unwrap() >= 3
                && process.open_files_max.unwrap() >= process.open_files.unwrap()
        );
        assert!(process.threads.unwrap() >= 1);
    }
}
