//! What a channel costs that keeps one message and has no reader: publishes to so many channels (by default 1,000,000) and tells
//! the anonymous memory of this process for each. `cargo run --release -p efir-engine --example idle_channels [CHANNELS]`

use std::time::Instant;

use efir_core::{Limits, Times};
use efir_engine::Hub;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of anonymous memory that are resident now (`RssAnon` in proc_pid_status(5)).
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default();
    kib * 1024
}

fn main() {
    let channels: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let limits = Limits {
        channels_max: usize::MAX,
        log_bytes_max: 1 << 40,
        stubs_max: usize::MAX,
        ..Limits::default()
    };
    let hub = Hub::new(limits, Times::default());
    let text = "x".repeat(100);
    let before = anonymous_bytes();
    let start = Instant::now();
    for channel in 0..channels {
        if let Err(problem) = hub.publish_text(&format!("idle-{channel:07}"), &text) {
            eprintln!("{problem}");
            std::process::exit(1);
        }
    }
    let spent = start.elapsed();
    let bytes = anonymous_bytes() - before;
    println!(
        "{channels} channels with one message of 100 bytes: {:.1} MB, {:.0} bytes each, {:.2} µs a publish",
        bytes as f64 / 1e6,
        bytes as f64 / channels as f64,
        spent.as_secs_f64() * 1e6 / channels as f64
    );
}
