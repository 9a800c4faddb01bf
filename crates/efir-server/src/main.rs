//! The `efir` binary. What it can do is in `efir_server::cli`.

use std::process::ExitCode;

/// Thousands of connections begin with a large short-lived buffer and go on with a few small blocks. Sorted by size, those do not keep
/// each other's pages; measured against the C library's allocator in docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Gives unused pages back after a second, also when nobody allocates.
#[expect(unsafe_code, reason = "the allocator reads its options from a symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    efir_server::count_allocated_by(allocated);
    efir_server::cli::run()
}

/// Bytes that are allocated and not freed, in all threads.
fn allocated() -> Option<u64> {
    // The figures are those of the last step of the epoch.
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    u64::try_from(tikv_jemalloc_ctl::stats::allocated::read().ok()?).ok()
}
