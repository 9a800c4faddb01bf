//! The channels of a run, and the lanes on them.
//!
//! A lane is what one publisher puts on one channel; its messages are numbered 1, 2, 3 … Usually a channel has one lane;
//! where there are more publishers than channels, each publisher has a lane of its own.

/// Names of channels, and how many lanes each has.
#[derive(Clone, Debug)]
pub struct Channels {
    names: Vec<String>,
    lanes_each: u32,
}

impl Channels {
    /// `count` channels, named after `prefix`, for so many publishers.
    #[must_use]
    pub fn new(prefix: &str, count: usize, publishers: usize) -> Self {
        let name = |n: usize| if count == 1 { prefix.to_owned() } else { format!("{prefix}-{n}") };
        let count = count.max(1);
        Self { names: (0..count).map(name).collect(), lanes_each: publishers.div_ceil(count).max(1) as u32 }
    }

    /// How many channels there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> u32 {
        self.names.len() as u32
    }

    /// The name of channel `n`, counted around: after the last comes the first.
    #[must_use]
    pub fn name(&self, n: u32) -> &str {
        let at = n as usize % self.names.len().max(1);
        self.names.get(at).map(String::as_str).unwrap_or_default()
    }

    /// Lanes of all channels together: those of channel 0 first.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.len() * self.lanes_each
    }

    /// Lanes a channel.
    #[must_use]
    pub fn lanes_each(&self) -> u32 {
        self.lanes_each
    }

    /// The channel of a lane.
    #[must_use]
    pub fn of_lane(&self, lane: u32) -> u32 {
        lane / self.lanes_each
    }
}
