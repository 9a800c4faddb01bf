//! The one format in which publishers and readers write down what they did and saw, in the order of real time.
//!
//! Whoever writes it (the readers of the matrix, a load tool, a page in a browser) is judged by the same
//! [`crate::checker`]. As text it is one JSON object a line.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Where a message stands, as the wire says it: nothing is known of the epoch but its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The epoch's text.
    pub epoch: String,
    /// 1, 2, 3 … within the epoch.
    pub offset: u64,
}

impl Place {
    /// Reads `<epoch>-<offset>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, offset) = text.rsplit_once('-')?;
        Some(Self { epoch: epoch.into(), offset: offset.parse().ok()? })
    }

    /// The place `by` further on in the same epoch.
    pub fn plus(&self, by: i64) -> Self {
        Self { epoch: self.epoch.clone(), offset: self.offset.saturating_add_signed(by) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Where a reader began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// With what comes from now on.
    Now,
    /// With the oldest message that is kept.
    Start,
    /// With the newest N.
    Last(u64),
    /// After a cursor.
    After(String),
}

/// One thing that was done or seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A publish is sent. `payload` as [`payload_mark`] makes it.
    Publish {
        /// A number of its own in this history.
        op: u64,
        /// Where to.
        channel: String,
        /// Idempotency key.
        key: Option<String>,
        /// What.
        payload: String,
    },
    /// It was acknowledged.
    Accepted {
        /// Which publish.
        op: u64,
        /// Where the message stands.
        position: Place,
        /// Whether the server knew the key.
        duplicate: bool,
    },
    /// It was refused: nothing may have been appended.
    Refused {
        /// Which publish.
        op: u64,
        /// The code of the problem.
        code: String,
    },
    /// No answer came: nobody knows.
    Unanswered {
        /// Which publish.
        op: u64,
    },
    /// A reader begins, also after a cut.
    Open {
        /// Over what.
        transport: String,
        /// What.
        channel: String,
        /// From where.
        from: From,
    },
    /// The server said where the reader stands: `hello`, a heartbeat, the cursor of a batch.
    At {
        /// Of which channel.
        channel: String,
        /// The cursor.
        cursor: String,
    },
    /// A message came.
    Received {
        /// As the message says.
        channel: String,
        /// As the message says.
        position: Place,
        /// As [`payload_mark`] makes it.
        payload: String,
    },
    /// A gap was told.
    Gap {
        /// Of which channel.
        channel: String,
        /// Why.
        reason: String,
        /// The cursor that led to it.
        after: String,
        /// Where reading goes on.
        resume_from: Place,
        /// The epoch in force.
        epoch: String,
    },
    /// The reader is sure that nothing more is under way to it.
    Settled {
        /// Of which channel.
        channel: String,
    },
    /// The server lost everything that it held in memory.
    Lost,
    /// What a channel keeps from here on; without it, everything.
    Keeps {
        /// Which channel.
        channel: String,
        /// How many messages; `None`: the age decides, which no history can judge.
        messages_max: Option<u64>,
    },
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who: one publisher connection, one reader, or `server`.
    pub actor: String,
    /// What.
    pub event: Event,
}

/// A history that several actors write into.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Vec<Entry>>>);

impl History {
    /// Writes one line.
    pub fn record(&self, actor: &str, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Entry { actor: actor.into(), event });
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The text form: one JSON object a line.
pub fn to_lines(entries: &[Entry]) -> serde_json::Result<String> {
    let lines: Result<Vec<String>, _> = entries.iter().map(serde_json::to_string).collect();
    lines.map(|lines| lines.join("\n") + "\n")
}

/// Reads the text form.
pub fn from_lines(text: &str) -> serde_json::Result<Vec<Entry>> {
    text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect()
}

/// How a payload is written down: what goes in as text or as a JSON string comes out as a JSON string, so both are `text:`;
/// other JSON is `json:` with its bytes, what is not text is `bytes:` in base64.
pub fn payload_mark(data: &str) -> String {
    match serde_json::from_str::<String>(data) {
        Ok(text) => format!("text:{text}"),
        Err(_) => format!("json:{data}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip() {
        let history = History::default();
        let position = Place { epoch: "e".into(), offset: 3 };
        history
            .record("a", Event::Open { transport: "sse".into(), channel: "c".into(), from: From::Last(2) });
        history
            .record("a", Event::Received { channel: "c".into(), position, payload: payload_mark("\"при\"") });
        history.record("server", Event::Lost);
        let entries = history.entries();
        assert_eq!(from_lines(&to_lines(&entries).unwrap()).unwrap(), entries);
    }

    #[test]
    fn places_are_read() {
        assert_eq!(Place::parse("a.b-12"), Some(Place { epoch: "a.b".into(), offset: 12 }));
        assert_eq!(Place::parse("12"), None);
    }
}
