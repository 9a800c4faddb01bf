//! The last position of each channel that is followed. Positions are compared here and nowhere else in the client.

use std::collections::BTreeMap;

use efir_core::{ChannelName, Cursor, Token};

use crate::event::MessageView;

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

    /// Takes over what a token says of `channels`.
    pub(crate) fn set_token(&mut self, channels: &[String], token: &str) {
        let Ok(token) = Token::parse(token) else { return };
        for channel in channels {
            let known = ChannelName::parse_readable(channel).ok().and_then(|name| token.cursor(&name));
            if let Some(cursor) = known {
                self.set(channel, &cursor.text());
            }
        }
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
