//! A control group of the kernel for one process, with a limit of memory beyond which it would be killed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup/memory";

/// A group while the process in it runs; removed when it is dropped.
pub(super) struct Group(PathBuf);

impl Group {
    /// A group of version 1 with this limit; `None` where it cannot be made.
    pub(super) fn make(limit_bytes: u64) -> Option<Self> {
        let path = Path::new(ROOT).join(format!("efir-evidence-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.file("limit_in_bytes"), limit_bytes.to_string()).ok()?;
        Some(group)
    }

    /// Where a process enters.
    pub(super) fn processes(&self) -> String {
        self.0.join("cgroup.procs").display().to_string()
    }

    /// The most that was in use, the kernel's pages for files included.
    ///
    /// # Errors
    /// When the kernel does not say it.
    pub(super) fn most_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(self.file("max_usage_in_bytes"))?;
        text.trim().parse().with_context(|| format!("{text:?} is no number"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("memory.{name}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can be removed once the kernel has seen that nobody is in it.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
