//! The log: one line an event, on stderr, for people or as JSON.
//!
//! Every event has a code from [`EVENTS`]. What goes into a line comes from us or is escaped and cut, and neither payloads nor
//! tokens are ever given to it; of other libraries only warnings are written, because nobody knows what they put into the rest.

mod events;
mod line;

use std::{
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

pub(crate) use self::events::EVENTS;
use self::line::Lines;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// An object a line.
    Json,
}

impl Format {
    /// The names in the configuration.
    pub const NAMES: &[&str] = &["human", "json"];

    /// The format of this name; `None` where there is no such.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "human" => Some(Self::Human),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The log of this process, once it was started.
#[derive(Debug, Clone)]
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Begins to write the events that pass `filter`; panics become events, too.
    ///
    /// # Errors
    /// A filter that is none, or a process that has a log already.
    pub(crate) fn start(filter: &str, format: Format) -> Result<Self, String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        let (filter, handle) = reload::Layer::new(filter);
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines { format, has_colours: io::stderr().is_terminal() })
            .with_writer(io::stderr)
            .with_filter(filter_fn(may_speak));
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .map_err(|error| error.to_string())?;
        panic::set_hook(Box::new(tell_panic));
        Ok(Self(handle))
    }

    /// From now on other events are written.
    ///
    /// # Errors
    /// A filter that is none; the old one stays.
    pub(crate) fn choose(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Libraries tell at their lower levels what clients sent them; that of HTTP/2 warns of each connection that floods it, which would be a flood
/// of lines. (`http2_flood` is ours.)
fn may_speak(metadata: &Metadata<'_>) -> bool {
    may_speak_of(metadata.target(), *metadata.level())
}

fn may_speak_of(target: &str, level: Level) -> bool {
    let most = if target.starts_with("h2::") { Level::ERROR } else { Level::WARN };
    target.starts_with("efir") || level <= most
}

/// Where it happened and nothing else: what a panic says may repeat what a client sent.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place =
        panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
    tracing::error!(event = "panicked", place, "a bug in efir; please report it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_make_a_library_write_lines() {
        assert!(may_speak_of("efir_server::heads", Level::DEBUG));
        assert!(may_speak_of("rustls::conn", Level::WARN) && !may_speak_of("rustls::conn", Level::INFO));
        assert!(may_speak_of("h2::proto", Level::ERROR));
        assert!(!may_speak_of("h2::proto::streams::recv", Level::WARN));
    }
}
