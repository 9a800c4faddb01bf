//! The answer of a poll (docs/protocol.md §4): a list of messages with what goes before and after it.

use std::sync::Arc;

use bytes::Bytes;

use super::json::Fields;
use super::{Form, control, presence, problem};
use crate::channel::ChannelName;
use crate::codes::Problem;
use crate::gap::Gap;
use crate::message::Message;
use crate::presence::PresenceState;

/// A message of so many bytes is shared with the log by answers in pieces; copying a smaller one costs less than another piece.
pub const SHARED_BYTES_MIN: usize = 512;

/// What a poll found.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The channel; `None` where several were read.
    pub channel: Option<&'a ChannelName>,
    /// At most one where a single channel was read.
    pub gaps: &'a [Gap],
    /// Channels that could not be read.
    pub problems: &'a [Problem],
    /// Who is in the channels whose log of members is read without a cursor; at most one where a single one is read.
    pub presence: &'a [PresenceState],
    /// In the order in which they are to be taken.
    pub messages: &'a [Arc<Message>],
    /// Where to go on: the text of a cursor or token.
    pub cursor: &'a str,
    /// A further read gives something at once.
    pub more: bool,
}

impl Batch<'_> {
    /// The body of the answer.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out =
            Vec::with_capacity(400 + self.cursor.len() + self.messages_len() + 400 * self.gaps.len());
        self.write_to(&mut out);
        out.into()
    }

    /// How many bytes its messages take.
    #[must_use]
    pub fn messages_len(&self) -> usize {
        self.messages.iter().map(|message| message.object().len() + 1).sum()
    }

    /// The body of the answer in pieces, of which messages of [`SHARED_BYTES_MIN`] and more are those of the log: whoever waits for the
    /// answer to be read keeps nothing but what is between them.
    #[must_use]
    pub fn to_pieces(&self) -> Vec<Bytes> {
        let (mut out, mut shared) = (Vec::new(), Vec::new());
        self.write_with(&mut out, |message, out| {
            if message.object().len() < SHARED_BYTES_MIN {
                return out.extend_from_slice(message.object());
            }
            shared.push((out.len(), message.frame(Form::Batch).bytes));
        });
        out.shrink_to_fit();
        let mut own = Bytes::from(out);
        let (mut pieces, mut taken) = (Vec::with_capacity(2 * shared.len() + 1), 0);
        for (at, object) in shared {
            pieces.push(own.split_to(at - taken));
            pieces.push(object);
            taken = at;
        }
        pieces.push(own);
        pieces
    }

    /// Appends the object.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.write_with(out, |message, out| out.extend_from_slice(message.object()));
    }

    fn write_with(&self, out: &mut Vec<u8>, mut write_message: impl FnMut(&Arc<Message>, &mut Vec<u8>)) {
        let mut fields = Fields::open(out);
        if let Some(channel) = self.channel {
            fields.string("channel", channel.as_str());
            if let Some(gap) = self.gaps.first() {
                control::write_gap(gap, fields.name("gap"));
            }
        } else if !self.gaps.is_empty() {
            fields.list("gaps", self.gaps, control::write_gap);
        }
        if !self.problems.is_empty() {
            fields.list("problems", self.problems, problem::write);
        }
        match (self.channel, self.presence) {
            (_, []) => {}
            (Some(_), [state, ..]) => presence::write_state(state, fields.name("presence")),
            (None, states) => fields.list("presence", states, presence::write_state),
        }
        fields.list("messages", self.messages, |message, out| write_message(message, out));
        fields.string("cursor", self.cursor);
        fields.boolean("more", self.more);
        fields.close();
    }
}
