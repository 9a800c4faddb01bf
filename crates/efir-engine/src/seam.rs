//! The points of a join at which a publish may come in between. A test hooks them; otherwise each costs one load.

use std::sync::OnceLock;

use efir_core::ChannelName;

/// Where a join stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seam {
    /// The join cursor is resolved, nobody watches the channel yet.
    Resolved,
    /// The channel is watched, nothing was read yet.
    Watched,
    /// What stood after the cursor was read, nothing was written yet.
    Read,
    /// The first write was done.
    Written,
}

impl Seam {
    /// All of them, in the order of a join.
    pub const ALL: [Seam; 4] = [Seam::Resolved, Seam::Watched, Seam::Read, Seam::Written];
}

type Hook = Box<dyn Fn(Seam, &ChannelName) + Send + Sync>;

/// The hook of one hub.
#[derive(Default)]
pub(crate) struct Seams(OnceLock<Hook>);

impl Seams {
    pub(crate) fn set(&self, hook: impl Fn(Seam, &ChannelName) + Send + Sync + 'static) {
        // The first hook stays: a hub under test has one.
        let _ = self.0.set(Box::new(hook));
    }

    pub(crate) fn pass(&self, seam: Seam, channel: &ChannelName) {
        if let Some(hook) = self.0.get() {
            hook(seam, channel);
        }
    }
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seams").field(&self.0.get().is_some()).finish()
    }
}
