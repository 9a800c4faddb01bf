//! The line that says on what a number was measured.

/// Cores, processor, memory and kernel.
pub fn line() -> String {
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
