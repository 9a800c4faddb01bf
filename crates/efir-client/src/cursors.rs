//! The last position of each channel that is followed. Positions are compared here and nowhere else in the client.

use std::collections::BTreeMap;

use efir_core::{ChannelName, Cursor, Token};

use crate::event::MessageView;
use crate::wire::Gap;

/// The last position of each channel.
#[derive(Debug, Default)]
pub(crate) struct Cursors(BTreeMap<String, String>);

impl Cursors {
    pub(crate) fn set(&mut self, channel: &str, cursor: &str) {
        self.0.insert(channel.to_owned(), cursor.to_owned());
    }

    pub(crate) fn set_first(&mut self, channel: &str, cursor: &str) {
        self.0.entry(channel.to_owned()).or_insert_with(|| cursor.to_owned());
    }

    /// Takes over a cursor that is not before the one that is known: an answer that comes once more, as from a cache, leads nobody
    /// back.
    pub(crate) fn set_forward(&mut self, channel: &str, cursor: &str) {
        if !self.is_past(channel, cursor) {
            self.set(channel, cursor);
        }
    }

    /// Takes over what a token says of `channels`, as [`Cursors::set_forward`].
    pub(crate) fn set_token(&mut self, channels: &[String], token: &str) {
        let Ok(token) = Token::parse(token) else { return };
        for channel in channels {
            let known = ChannelName::parse_readable(channel).ok().and_then(|name| token.cursor(&name));
            if let Some(cursor) = known {
                self.set_forward(channel, &cursor.text());
            }
        }
    }

    /// Whether a gap is news. One that answers another cursor than ours, and ends where we have been, was told before.
    pub(crate) fn admit_gap(&mut self, gap: &Gap) -> bool {
        let known = self.0.get(&gap.channel);
        let is_ours = known.is_none() || known == gap.after.as_ref();
        let has_been = known == Some(&gap.resume_from) || self.is_past(&gap.channel, &gap.resume_from);
        let is_new = is_ours || !has_been;
        if is_new {
            self.set(&gap.channel, &gap.resume_from);
        }
        is_new
    }

    /// Whether the known cursor is behind this one in the same epoch.
    fn is_past(&self, channel: &str, cursor: &str) -> bool {
        let place = |text: &str| {
            let (epoch, offset) = text.split_once('-')?;
            Some((epoch.to_owned(), offset.parse::<u64>().ok()?))
        };
        let known = self.0.get(channel).and_then(|known| place(known));
        known.zip(place(cursor)).is_some_and(|(known, other)| known.0 == other.0 && known.1 > other.1)
    }

    /// Whether a message is after the cursor, which then moves to it. Of another epoch, it is.
    pub(crate) fn admit(&mut self, message: &MessageView) -> bool {
        let is_new = match self.0.get(&message.channel).and_then(|cursor| cursor.split_once('-')) {
            Some((epoch, offset)) if epoch == message.epoch() => message.offset() > offset.parse().ok(),
            _ => true,
        };
        if is_new {
            self.set(&message.channel, &message.position);
        }
        is_new
    }

    pub(crate) fn text(&self, channels: &[String], is_several: bool) -> Option<String> {
        if !is_several {
            return self.0.get(channels.first()?).cloned();
        }
        let known: Vec<_> = channels
            .iter()
            .filter_map(|channel| {
                let cursor = Cursor::parse(self.0.get(channel)?).ok()?;
                Some((ChannelName::parse_readable(channel).ok()?, cursor))
            })
            .collect();
        let token = Token::encode(known.iter().map(|(channel, cursor)| (channel, cursor)));
        (!token.is_empty()).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;
    use bytes::Bytes;

    fn message(channel: &str, position: &str) -> MessageView {
        MessageView {
            channel: channel.into(),
            position: position.into(),
            time_ms: 1,
            from: None,
            data: Data::Json(Bytes::from_static(b"1")),
            raw: Bytes::new(),
        }
    }

    #[test]
    fn only_what_is_after_the_cursor_is_admitted() {
        let mut cursors = Cursors::default();
        assert!(cursors.admit(&message("a", "e-3")), "nothing is known yet");
        assert!(!cursors.admit(&message("a", "e-3")));
        assert!(!cursors.admit(&message("a", "e-2")));
        assert!(cursors.admit(&message("a", "e-10")), "numbers, not text");
        assert!(cursors.admit(&message("b", "e-1")), "each channel has its own");
        assert!(cursors.admit(&message("a", "f-1")), "a new epoch begins anew");
        assert_eq!(cursors.text(&["a".into()], false).as_deref(), Some("f-1"));
    }

    #[test]
    fn a_gap_is_told_once() {
        let gap = |after: &str, resume_from: &str| Gap {
            channel: "a".into(),
            reason: "trimmed".into(),
            after: Some(after.into()),
            resume_from: resume_from.into(),
            epoch: "e".into(),
        };
        let mut cursors = Cursors::default();
        assert!(cursors.admit_gap(&gap("x", "e-0")), "nothing is known yet");
        cursors.set("a", "e-3");
        assert!(cursors.admit_gap(&gap("e-3", "e-7")));
        assert!(!cursors.admit_gap(&gap("e-3", "e-7")), "the same once more");
        assert!(cursors.admit(&message("a", "e-8")));
        assert!(!cursors.admit_gap(&gap("e-3", "e-7")), "later than what follows it");
        assert!(cursors.admit_gap(&gap("lost-0", "e-9")), "a cursor that the token could not carry");
        cursors.set("a", "e-100");
        assert!(cursors.admit_gap(&gap("e-100", "e-50")), "ahead of the channel");
        assert!(!cursors.admit_gap(&gap("e-100", "e-50")));
        assert!(cursors.admit_gap(&gap("e-50", "f-0")), "another epoch");
    }

    #[test]
    fn a_batch_leads_nobody_back() {
        let mut cursors = Cursors::default();
        for (cursor, known) in [("e-3", "e-3"), ("e-2", "e-3"), ("e-10", "e-10"), ("f-1", "f-1")] {
            cursors.set_forward("a", cursor);
            assert_eq!(cursors.text(&["a".into()], false).as_deref(), Some(known));
        }
    }

    #[test]
    fn several_cursors_make_a_token() {
        let channels = ["a".to_owned(), "общий".to_owned(), "..".to_owned()];
        let mut cursors = Cursors::default();
        assert_eq!(cursors.text(&channels, true), None);
        cursors.set("общий", "00000000001-7");
        cursors.set("..", "00000000001-7");
        let token = Token::parse(&cursors.text(&channels, true).unwrap()).unwrap();
        let cursor = token.cursor(&ChannelName::parse("общий").unwrap()).unwrap();
        assert_eq!(cursor.to_string(), "00000000001-7");
        assert_eq!(token.cursor(&ChannelName::parse("a").unwrap()), None);
    }
}
