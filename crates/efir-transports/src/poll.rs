//! What both polls answer: a batch, and the headers that say where and when to read on (docs/protocol.md §5.1, §5.2).

use std::sync::Arc;

use bytes::Bytes;
use efir_core::{Batch, ChannelName, Gap, Message, PresenceState, Problem};
use http::{HeaderValue, Response, header};

use crate::{
    head,
    pieces::Pieces,
    policy::Cors,
    request::{Next, ReadRequest, Wait},
};

/// An answer with more bytes of messages is given in pieces; a smaller one is made faster in one.
const PIECES_BYTES_MIN: usize = 64 * 1024;

/// Marks a response without a message, in its extensions, for whoever counts a client's traffic.
#[derive(Debug, Clone, Copy)]
pub struct EmptyAnswer;

/// What a poll found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) gaps: Vec<Gap>,
    pub(crate) presence: Vec<PresenceState>,
    /// What is wrong with single channels, as it turned out while they were read.
    pub(crate) problems: Vec<Problem>,
    pub(crate) messages: Vec<Arc<Message>>,
    /// The text of a cursor or token.
    pub(crate) cursor: String,
    pub(crate) more: bool,
}

/// How a poll's answer looks, whatever it finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    channel: Option<ChannelName>,
    problems: Vec<Problem>,
    next: Next,
    cors: Cors,
    pub(crate) applied: Option<Wait>,
}

impl Found {
    pub(crate) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.messages.is_empty() && self.presence.is_empty()
    }
}

impl Answer {
    /// Takes from the request what the answer needs.
    pub(crate) fn of(asked: &mut ReadRequest) -> Self {
        Self {
            channel: asked.scope.only().cloned(),
            problems: asked.scope.take_bad(),
            next: std::mem::take(&mut asked.next),
            cors: std::mem::take(&mut asked.cors),
            applied: None,
        }
    }

    /// Whether one channel is read, whose cursor then needs no token.
    pub(crate) fn is_single(&self) -> bool {
        self.channel.is_some()
    }

    /// Whether there is something to tell even without a message.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// More that is wrong with single channels.
    pub(crate) fn add_problems(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// Says to browsers who may read the answer.
    pub(crate) fn share(&self, headers: &mut http::HeaderMap) {
        self.cors.apply(headers);
    }

    /// Whether the answer is so large that it is given in pieces.
    pub(crate) fn is_large(&self, found: &Found) -> bool {
        self.batch(found).messages_len() > PIECES_BYTES_MIN
    }

    /// The answer, 200.
    pub(crate) fn response(&self, found: &Found, cache_control: &'static str) -> Response<Bytes> {
        self.dress(self.batch(found).to_bytes(), found, cache_control)
    }

    /// As [`Answer::response`], in pieces.
    pub(crate) fn in_pieces(&self, found: &Found, cache_control: &'static str) -> Response<Pieces> {
        self.dress(Pieces::new(self.batch(found).to_pieces()), found, cache_control)
    }

    fn batch<'a>(&'a self, found: &'a Found) -> Batch<'a> {
        Batch {
            channel: self.channel.as_ref(),
            gaps: &found.gaps,
            problems: &self.problems,
            presence: &found.presence,
            messages: &found.messages,
            cursor: &found.cursor,
            more: found.more,
        }
    }

    fn dress<B>(&self, body: B, found: &Found, cache_control: &'static str) -> Response<B> {
        let mut response = head::json(body, cache_control);
        if found.messages.is_empty() && found.presence.is_empty() {
            response.extensions_mut().insert(EmptyAnswer);
        }
        let headers = response.headers_mut();
        if let Ok(cursor) = HeaderValue::from_str(&found.cursor) {
            headers.insert(head::EFIR_CURSOR, cursor);
        }
        if let Some(link) = self.next.link(&found.cursor) {
            headers.insert(header::LINK, link);
        }
        if let Some(wait) = self.applied
            && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", wait.seconds()))
        {
            headers.insert(head::PREFERENCE_APPLIED, applied);
        }
        self.cors.apply(headers);
        response
    }
}
