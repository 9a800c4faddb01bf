//! The words that say on what, when and at which commit a number was measured.

use std::process::Command;

pub(crate) use efir_bench::machine::line;

use crate::child;

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
