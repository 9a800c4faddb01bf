//! Nchan: long polls that go on from `Last-Modified` and `ETag`, and publishing by POST. Its WebSockets and event streams
//! are plain ones.

use anyhow::{Context, Result};
use efir_bench::http::{self, Event};
use efir_bench::{Heard, Message, Publish, Seat, Subscribe};

/// Where in its opening a poll stands.
const FIRST_ANSWER: u8 = 0;
const POLLS: u8 = 1;

/// Asks again as soon as there was an answer.
#[derive(Debug)]
pub(crate) struct LongPoll {
    pub(crate) host: String,
}

impl LongPoll {
    /// The next poll. A seat's cursor is both headers, ready to be sent.
    fn request(&self, seat: &Seat, out: &mut Vec<u8>) {
        let after = seat.cursor.as_deref().unwrap_or_default();
        let request =
            format!("GET /channels/{} HTTP/1.1\r\nHost: {}\r\n{after}\r\n", seat.channel(), self.host);
        out.extend_from_slice(request.as_bytes());
    }
}

impl Subscribe for LongPoll {
    fn name(&self) -> &str {
        "long-poll"
    }

    /// A first poll is not answered before there is a message, so nothing would say that it is known. The request
    /// before it is answered at once, and the server takes both in order.
    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("GET /ready HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes());
        self.request(seat, out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        http::answers(seat, bytes, heard, |seat, event, heard| {
            match (seat.stage, event) {
                (FIRST_ANSWER, Event::Head(_)) => {}
                (FIRST_ANSWER, Event::End) => {
                    heard.is_joined = true;
                    seat.stage = POLLS;
                }
                (_, Event::Head(head)) => seat.cursor = Some(cursor(head)?.into()),
                (_, Event::End) => {
                    self.request(seat, &mut heard.reply);
                    heard.requests += 1;
                }
            }
            Ok(())
        })
    }
}

fn cursor(head: &[u8]) -> Result<String> {
    let time = http::header(head, "last-modified").context("a poll was answered without a time")?;
    let tag = http::header(head, "etag").context("a poll was answered without an ETag")?;
    Ok(format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n"))
}

/// Publishes by POST on kept-alive connections.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) host: String,
}

impl Publish for Publisher {
    fn name(&self) -> &str {
        "http"
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let head = format!(
            "POST /publish/{} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            message.channel,
            self.host,
            message.payload.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(message.payload);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        http::answers(seat, bytes, heard, |_, event, heard| {
            heard.answers += u64::from(matches!(event, Event::End));
            Ok(())
        })
    }
}
