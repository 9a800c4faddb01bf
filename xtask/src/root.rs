//! Where things are: the workspace's root and its target folder.

use std::path::{Path, PathBuf};

/// The root of the workspace: the folder above this crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The server as the tests build it.
pub(crate) fn debug_efir() -> PathBuf {
    target().join("debug/efir")
}
