//! Control objects (docs/protocol.md §4, §8): everything that is not a message, in every wire form.

use super::batch::Batch;
use super::json::{Fields, write_string};
use super::{Form, Frame, framed, http_stream, presence, problem, receipt, sse, websocket};
use crate::channel::ChannelName;
use crate::codes::Problem;
use crate::cursor::Cursor;
use crate::gap::Gap;
use crate::presence::PresenceState;
use crate::receipt::Receipt;

/// One control object.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// The first of a stream or socket of one channel.
    Hello {
        /// The channel.
        channel: &'a ChannelName,
        /// Where reading begins.
        cursor: &'a Cursor,
        /// The time between two heartbeats.
        heartbeat_ms: u64,
    },
    /// The first of a stream of several channels.
    HelloMany {
        /// Each channel with where its reading begins.
        channels: &'a [(ChannelName, Cursor)],
        /// The same as a token.
        token: &'a str,
        /// The time between two heartbeats.
        heartbeat_ms: u64,
    },
    /// The first of a `/socket`.
    HelloSocket {
        /// The time between two heartbeats.
        heartbeat_ms: u64,
        /// How many channels it may subscribe to.
        channels_max: usize,
    },
    /// A sign of life.
    Heartbeat {
        /// Now, in ms since 1970 UTC.
        time_ms: u64,
        /// The cursor or token; not on `/socket`.
        cursor: Option<&'a str>,
    },
    /// Something is no longer there.
    Gap(&'a Gap),
    /// Something went wrong.
    Problem(&'a Problem),
    /// Who is in a channel.
    Presence(&'a PresenceState),
    /// A frame of a channel's WebSocket was accepted.
    Ack {
        /// 1, 2, 3 …: which frame.
        ordinal: u64,
        /// What became of it.
        receipt: &'a Receipt,
    },
    /// The answer to a command on `/socket`.
    Reply {
        /// The id of the command, as raw JSON (a number or string, checked by the parser).
        id: &'a str,
        /// What it gives.
        reply: Reply<'a>,
    },
    /// The refusal of a command on `/socket`.
    Refusal {
        /// The id of the command, as raw JSON; `null` where it had none that could be read.
        id: &'a str,
        /// Why.
        problem: &'a Problem,
    },
}

/// What a command on `/socket` gives.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To `subscribe`; goes before any message of the channel.
    Subscribed {
        /// The channel.
        channel: &'a ChannelName,
        /// Where reading begins.
        cursor: &'a Cursor,
        /// Who is in the channel, where its log of members is read without a cursor.
        presence: Option<&'a PresenceState>,
    },
    /// To `unsubscribe`; no message of the channel comes after it.
    Unsubscribed {
        /// The channel.
        channel: &'a ChannelName,
    },
    /// To `enter` and `leave`.
    Present {
        /// The channel.
        channel: &'a ChannelName,
        /// How many members are in it now.
        count: u64,
    },
    /// To `authorize`.
    Authorized {
        /// The user of the token; none of a server's key, and where everybody may do everything.
        user: Option<&'a str>,
        /// From when on the token is worth nothing, in ms since 1970 UTC.
        expires_ms: Option<u64>,
    },
    /// To `publish`.
    Published(&'a Receipt),
    /// To `history`.
    History(&'a Batch<'a>),
    /// To `ping`.
    Pong {
        /// Now, in ms since 1970 UTC.
        time_ms: u64,
    },
}

impl Control<'_> {
    /// The frame in a wire form. SSE: a named event with the inner object, `hello`, `heartbeat` and `gap` with `id:`
    /// (in the shared form a gap has none: [`sse::id_only`] follows); otherwise the object with its one key.
    #[must_use]
    pub fn encode(&self, form: Form) -> Frame {
        match form {
            Form::Sse | Form::SseShared => {
                let mut inner = Vec::with_capacity(256);
                self.write_inner(&mut inner);
                sse::event(self.sse_id(form).as_deref(), Some(self.name()), &inner)
            }
            Form::HttpStream => http_stream::line_of(256, |out| self.write_to(out)),
            Form::WebSocket | Form::WebSocketDeflate { .. } => websocket::text(256, |out| self.write_to(out)),
            Form::Batch => framed(256, |_, _| 0, b"", |out| self.write_to(out)),
        }
    }

    /// The name of the object and of the SSE event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } | Self::HelloMany { .. } | Self::HelloSocket { .. } => "hello",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Gap(_) => "gap",
            Self::Presence(_) => "presence",
            Self::Problem(_) | Self::Refusal { .. } => "problem",
            Self::Ack { .. } => "ack",
            Self::Reply { .. } => "reply",
        }
    }

    /// Appends the object with its one key (an answer on `/socket`: with its `id` before).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::open(out);
        if let Self::Reply { id, .. } | Self::Refusal { id, .. } = self {
            fields.name("id").extend_from_slice(id.as_bytes());
        }
        self.write_inner(fields.name(self.name()));
        fields.close();
    }

    fn sse_id(&self, form: Form) -> Option<String> {
        match self {
            Self::Hello { cursor, .. } => Some(cursor.to_string()),
            Self::HelloMany { token, .. } => Some((*token).to_owned()),
            Self::Heartbeat { cursor, .. } => cursor.map(str::to_owned),
            Self::Gap(gap) if form == Form::Sse => Some(gap.resume_from.to_string()),
            _ => None,
        }
    }

    fn write_inner(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gap(gap) => return write_gap(gap, out),
            Self::Presence(state) => return presence::write_state(state, out),
            Self::Problem(problem) | Self::Refusal { problem, .. } => return problem::write(problem, out),
            Self::Reply { reply, .. } => return reply.write_to(out),
            _ => {}
        }
        let mut fields = Fields::open(out);
        match self {
            Self::Hello { channel, cursor, heartbeat_ms } => {
                write_place(channel, cursor, &mut fields);
                fields.number("heartbeat_ms", *heartbeat_ms);
            }
            Self::HelloMany { channels, token, heartbeat_ms } => {
                fields.list("channels", *channels, |(channel, cursor), out| {
                    let mut place = Fields::open(out);
                    write_place(channel, cursor, &mut place);
                    place.close();
                });
                fields.string("cursor", token);
                fields.number("heartbeat_ms", *heartbeat_ms);
            }
            Self::HelloSocket { heartbeat_ms, channels_max } => {
                fields.number("heartbeat_ms", *heartbeat_ms);
                fields.number("channels_max", *channels_max as u64);
            }
            Self::Heartbeat { time_ms, cursor } => {
                fields.number("time", *time_ms);
                if let Some(cursor) = cursor {
                    fields.string("cursor", cursor);
                }
            }
            Self::Ack { ordinal, receipt } => {
                fields.number("ordinal", *ordinal);
                receipt::write_fields(receipt, &mut fields);
            }
            Self::Gap(_)
            | Self::Presence(_)
            | Self::Problem(_)
            | Self::Refusal { .. }
            | Self::Reply { .. } => {}
        }
        fields.close();
    }
}

impl Reply<'_> {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Published(receipt) => return receipt::write(receipt, out),
            Self::History(batch) => return batch.write_to(out),
            _ => {}
        }
        let mut fields = Fields::open(out);
        match self {
            Self::Subscribed { channel, cursor, presence } => {
                write_place(channel, cursor, &mut fields);
                if let Some(state) = presence {
                    presence::write_state(state, fields.name("presence"));
                }
            }
            Self::Present { channel, count } => {
                fields.string("channel", channel.as_str());
                fields.number("count", *count);
            }
            Self::Authorized { user, expires_ms } => {
                if let Some(user) = user {
                    fields.string("user", user);
                }
                if let Some(expires_ms) = expires_ms {
                    fields.number("expires", *expires_ms);
                }
            }
            Self::Unsubscribed { channel } => fields.string("channel", channel.as_str()),
            Self::Pong { time_ms } => fields.number("time", *time_ms),
            Self::Published(_) | Self::History(_) => {}
        }
        fields.close();
    }
}

/// Appends the inner object of a gap.
pub(super) fn write_gap(gap: &Gap, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.string("channel", gap.channel.as_str());
    fields.string("reason", gap.reason.as_str());
    write_cursor(&gap.after, fields.name("after"));
    fields.position("resume_from", gap.resume_from);
    write_string(&gap.epoch().to_string(), fields.name("epoch"));
    fields.close();
}

fn write_place(channel: &ChannelName, cursor: &Cursor, fields: &mut Fields<'_>) {
    fields.string("channel", channel.as_str());
    write_cursor(cursor, fields.name("cursor"));
}

/// A cursor holds nothing that JSON would have to escape.
fn write_cursor(cursor: &Cursor, out: &mut Vec<u8>) {
    out.push(b'"');
    cursor.write_to(out);
    out.push(b'"');
}
