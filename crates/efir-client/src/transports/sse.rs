//! Server-Sent Events: the parser of the WHATWG HTML standard §9.2.6, incremental and bounded, and what its events mean
//! in efir (docs/protocol.md §5.3). Knows no connection; [`crate::subscription`] feeds it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::error::ClientError;
use crate::event::Event;
use crate::wire;

/// One thing that a stream yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SseItem {
    /// An event with data.
    Event {
        /// Its name; empty for the default, `message`.
        name: String,
        /// The data lines, joined by LF.
        data: Bytes,
        /// The last event id at this event.
        last_event_id: String,
    },
    /// A block that moved the last event id and has no data.
    Id(String),
    /// The reconnection time, in ms.
    Retry(u64),
}

/// The parser. Feed it the body as it comes; an unfinished block at the end is dropped, as the standard wants.
#[derive(Debug)]
pub struct SseParser {
    /// The bytes of the line that is not complete.
    line: Vec<u8>,
    /// The data of the block that is not complete, each line with an LF after it.
    data: Vec<u8>,
    name: String,
    /// The id buffer of the standard; it lives as long as the stream.
    last_event_id: String,
    id_is_new: bool,
    /// The last byte was a CR that ended a line: an LF now belongs to it.
    after_cr: bool,
    is_first_line: bool,
    bytes_max: usize,
}

impl SseParser {
    /// A parser that accepts lines and events of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            name: String::new(),
            last_event_id: String::new(),
            id_is_new: false,
            after_cr: false,
            is_first_line: true,
            bytes_max,
        }
    }

    /// The last event id so far; what a browser would send as `Last-Event-ID`.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Takes more of the body and appends what became complete to `out`.
    ///
    /// # Errors
    /// Where a line or an event passes the limit; the stream is of no use after that.
    pub fn feed(&mut self, chunk: &[u8], out: &mut VecDeque<SseItem>) -> Result<(), ClientError> {
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, tail) = rest.split_at(end);
            self.keep(line)?;
            self.end_line(out)?;
            rest = match tail {
                [b'\r', b'\n', tail @ ..] => tail,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, tail @ ..] => tail,
                [] => &[],
            };
        }
        self.keep(rest)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), ClientError> {
        if self.line.len() + part.len() > self.bytes_max {
            return Err(self.too_large());
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn too_large(&self) -> ClientError {
        ClientError::TooLarge { what: "an SSE event", bytes_max: self.bytes_max }
    }

    fn end_line(&mut self, out: &mut VecDeque<SseItem>) -> Result<(), ClientError> {
        let line = std::mem::take(&mut self.line);
        let mut text: &[u8] = &line;
        if std::mem::take(&mut self.is_first_line) {
            text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        }
        let done = if text.is_empty() {
            self.end_block(out);
            Ok(())
        } else {
            self.field(text, out)
        };
        self.line = line;
        self.line.clear();
        done
    }

    fn field(&mut self, line: &[u8], out: &mut VecDeque<SseItem>) -> Result<(), ClientError> {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.data.len() + value.len() + 1 > self.bytes_max {
                    return Err(self.too_large());
                }
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.last_event_id = String::from_utf8_lossy(value).into_owned();
                self.id_is_new = true;
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                if let Ok(ms) = String::from_utf8_lossy(value).parse() {
                    out.push_back(SseItem::Retry(ms));
                }
            }
            // Comments (an empty name) and unknown fields.
            _ => {}
        }
        Ok(())
    }

    fn end_block(&mut self, out: &mut VecDeque<SseItem>) {
        let name = std::mem::take(&mut self.name);
        let id_is_new = std::mem::take(&mut self.id_is_new);
        if self.data.pop().is_none() {
            if id_is_new {
                out.push_back(SseItem::Id(self.last_event_id.clone()));
            }
            return;
        }
        let data = std::mem::take(&mut self.data);
        let data = match String::from_utf8(data) {
            Ok(text) => Bytes::from(text),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
        };
        out.push_back(SseItem::Event { name, data, last_event_id: self.last_event_id.clone() });
    }
}

/// What an item means in efir.
///
/// # Errors
/// Where the data is not the object that its name promises.
pub(crate) fn event(item: SseItem) -> Result<Option<Event>, ClientError> {
    let (name, data) = match item {
        SseItem::Id(id) => return Ok(Some(Event::Cursor(id))),
        SseItem::Retry(ms) => return Ok(Some(Event::Retry(Duration::from_millis(ms)))),
        SseItem::Event { name, data, .. } => (name, data),
    };
    Ok(match name.as_str() {
        "" | "message" => Some(Event::Message(wire::message_view(&data)?)),
        "hello" => Some(Event::Hello(wire::json(&data, "hello")?)),
        "heartbeat" => Some(Event::Heartbeat(wire::json(&data, "heartbeat")?)),
        "gap" => Some(Event::Gap(wire::json(&data, "gap")?)),
        "presence" => Some(Event::Presence(wire::json(&data, "presence")?)),
        "problem" => Some(Event::Problem(wire::json(&data, "problem")?)),
        // A browser would not dispatch a name that nobody listens to.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<SseItem> {
        let mut parser = SseParser::new(1000);
        let mut out = VecDeque::new();
        for chunk in chunks {
            parser.feed(chunk, &mut out).unwrap();
        }
        out.into()
    }

    /// Parses as one piece and byte by byte, which must be the same; gives (name, data, id) of the events.
    fn events(text: &str) -> Vec<(String, String, String)> {
        let whole = parse(&[text.as_bytes()]);
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(whole, parse(&bytes), "{text:?}");
        whole
            .into_iter()
            .filter_map(|item| match item {
                SseItem::Event { name, data, last_event_id } => {
                    Some((name, String::from_utf8(data.to_vec()).unwrap(), last_event_id))
                }
                _ => None,
            })
            .collect()
    }

    fn data(text: &str) -> Vec<String> {
        events(text).into_iter().map(|(_, data, _)| data).collect()
    }

    // The vectors below follow the web platform tests in eventsource/.

    #[test]
    fn all_three_line_ends() {
        assert_eq!(data("data:a\n\ndata:b\r\n\r\ndata:c\r\r"), ["a", "b", "c"]);
        assert_eq!(data("data:a\r\ndata:b\rdata:c\n\n"), ["a\nb\nc"]);
        assert_eq!(data("data: 1\r\r\n\ndata: 2\n\r\n"), ["1", "2"]);
    }

    #[test]
    fn one_bom_only() {
        assert_eq!(data("\u{feff}data:a\n\n"), ["a"]);
        assert_eq!(
            data("\u{feff}\u{feff}data:1\n\ndata:2\n\n"),
            ["2"],
            "the second one spoils the field's name"
        );
        assert_eq!(data("data:1\n\n\u{feff}data:2\n\ndata:3\n\n"), ["1", "3"]);
    }

    #[test]
    fn fields() {
        assert_eq!(data("data\ndata\n\n"), ["\n"]);
        assert_eq!(data("data:\n\n"), [""]);
        assert_eq!(data("data:  x\n\n"), [" x"], "only one space is dropped");
        assert_eq!(data("data:\tx\n\n"), ["\tx"]);
        assert_eq!(data("data:a:b\n\n"), ["a:b"]);
        assert_eq!(data(":comment\ndata:1\n:\ndata:2\n\n"), ["1\n2"]);
        assert_eq!(
            data("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n"),
            ["test\n"]
        );
        assert_eq!(data(" data:x\nDATA:y\ndata :z\n\n"), [""; 0]);
        assert_eq!(data("data:ok\nda\0ta:bad\n\n"), ["ok"]);
        assert_eq!(data("data:a\0b\n\n"), ["a\0b"]);
        assert_eq!(data("data:привет 👋\n\n"), ["привет 👋"]);
    }

    #[test]
    fn an_unfinished_block_is_dropped() {
        assert_eq!(data("data:a\n\ndata:b"), ["a"]);
        assert_eq!(data("data:a\n\ndata:b\n"), ["a"]);
        assert_eq!(data("retry:1000\ndata:test1\n\nid:test\ndata:test2"), ["test1"]);
    }

    #[test]
    fn names_last_one_event() {
        let named: Vec<_> = events("event:gap\ndata:a\n\ndata:b\n\nevent:x\n\ndata:c\n\nevent:\ndata:d\n\n")
            .into_iter()
            .map(|(name, data, _)| (name, data))
            .collect();
        let expected = [("gap", "a"), ("", "b"), ("", "c"), ("", "d")];
        assert_eq!(named, expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
    }

    #[test]
    fn ids_stay_and_move_without_data() {
        let ids = |text| events(text).into_iter().map(|(_, _, id)| id).collect::<Vec<_>>();
        assert_eq!(ids("id:1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n"), ["1", "1", ""]);
        assert_eq!(ids("id:1\ndata:a\n\nid:2\n\ndata:b\n\n"), ["1", "2"]);
        assert_eq!(ids("id:1\ndata:a\n\nid:2\x003\ndata:b\n\n"), ["1", "1"], "an id with NUL is ignored");
        assert_eq!(parse(&[b"id:e-1\n\n"]), [SseItem::Id("e-1".into())]);
        assert_eq!(parse(&[b"id: \xe2\x80\xa6\ndata\n\n"]).len(), 1);
    }

    #[test]
    fn retry_is_digits_only() {
        assert_eq!(parse(&[b"retry:3000\n"]), [SseItem::Retry(3000)], "at once, before the block ends");
        for bad in [
            "retry:3000 \n",
            "retry:+5\n",
            "retry:\n",
            "retry\n",
            "retry:1e3\n",
            "retry:-1\n",
            "retry:99999999999999999999\n",
        ] {
            assert_eq!(parse(&[bad.as_bytes()]), [], "{bad:?}");
        }
    }

    #[test]
    fn bad_utf8_becomes_replacement_characters() {
        let items = parse(&[b"data:a\xffb\n\n"]);
        assert!(matches!(&items[..], [SseItem::Event { data, .. }] if data == "a\u{fffd}b"));
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let mut out = VecDeque::new();
        let mut parser = SseParser::new(10);
        assert!(matches!(parser.feed(b":0123456789", &mut out), Err(ClientError::TooLarge { .. })));
        let mut parser = SseParser::new(10);
        parser.feed(b"data:0123\ndata:4567\n", &mut out).unwrap();
        assert!(matches!(parser.feed(b"data:8\n", &mut out), Err(ClientError::TooLarge { .. })));
    }

    #[test]
    fn what_the_names_mean() {
        let item = |name: &str, data: &str| SseItem::Event {
            name: name.into(),
            data: Bytes::copy_from_slice(data.as_bytes()),
            last_event_id: String::new(),
        };
        assert!(matches!(
            event(item("hello", r#"{"channel":"a","cursor":"e-0"}"#)),
            Ok(Some(Event::Hello(_)))
        ));
        assert!(matches!(event(item("heartbeat", r#"{"time":1}"#)), Ok(Some(Event::Heartbeat(_)))));
        assert!(matches!(event(item("message", "{}")), Err(ClientError::Protocol(_))));
        assert!(matches!(event(item("later", "anything")), Ok(None)));
    }
}
