//! Cursors, tokens, positions and channel names: whatever is taken comes back byte for byte, and what is ours is taken everywhere.

use efir_core::{ChannelName, ChannelNameError, Cursor, Epoch, OFFSET_MAX, Position, Start, Token};

pub(crate) fn run(bytes: &[u8]) {
    check_name(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    lines.iter().for_each(|line| check_cursor(line));
    check_token(&lines);
}

fn check_cursor(text: &str) {
    let cursor = Cursor::parse(text);
    let start = Start::parse_after(text);
    match &cursor {
        Ok(cursor) => {
            assert_eq!(cursor.to_string(), text);
            assert_eq!(start, Ok(Start::After(cursor.clone())));
            assert!(text.len() <= 128 && text.is_ascii());
            let (_, offset) = text.split_once('-').expect("a dash");
            assert!(offset.parse::<u64>().is_ok_and(|offset| offset <= OFFSET_MAX), "{offset}");
            let mut written = b"x".to_vec();
            cursor.write_to(&mut written);
            assert_eq!(written[1..], *text.as_bytes());
            let bounded = cursor.not_before(1_000);
            assert_eq!((bounded.to_string(), bounded.position()), (text.to_owned(), None));
        }
        Err(_) => assert!(start.is_err() || text == "start"),
    }
    let position = Position::parse(text);
    assert_eq!(position, cursor.ok().and_then(|cursor| cursor.position()));
    if let Some(position) = position {
        assert_eq!(position.to_string(), text);
        assert_eq!(Epoch::parse(&position.epoch.to_string()), Some(position.epoch));
    }
}

/// Lines by turns a name and a cursor.
fn check_token(lines: &[&str]) {
    if let Ok(token) = Token::parse(lines[0])
        && let Some(Ok(channel)) = lines.get(1).map(|name| ChannelName::parse(name))
        && let Some(cursor) = token.cursor(&channel)
    {
        assert!(lines[0].contains(&cursor.to_string()));
    }
    let pairs = lines
        .chunks_exact(2)
        .filter_map(|pair| Some((ChannelName::parse_readable(pair[0]).ok()?, Cursor::parse(pair[1]).ok()?)));
    let mut cursors: Vec<(ChannelName, Cursor)> = Vec::new();
    for (channel, cursor) in pairs {
        if cursors.iter().all(|(known, _)| known.token_hash() != channel.token_hash()) {
            cursors.push((channel, cursor));
        }
    }
    let text = Token::encode(cursors.iter().map(|(channel, cursor)| (channel, cursor)));
    assert!(text.len() <= 4_096);
    if text.is_empty() {
        assert!(cursors.is_empty());
        return;
    }
    let token = Token::parse(&text).expect("a token of ours");
    for (place, (channel, cursor)) in cursors.iter().enumerate() {
        let own = cursor.position().map_or_else(Cursor::lost, Cursor::from);
        match token.cursor(channel) {
            Some(found) => assert_eq!(found, own),
            None => assert!(place >= Token::CHANNELS_MAX, "entry {place} is not there"),
        }
    }
}

fn check_name(bytes: &[u8]) {
    let name = ChannelName::parse_bytes(bytes);
    match &name {
        Ok(name) => {
            assert_eq!(name.as_bytes(), bytes);
            assert!(
                (1..=255).contains(&bytes.len()) && !bytes.contains(&b'/') && bytes != b"." && bytes != b".."
            );
            assert!(!name.as_str().chars().any(char::is_control));
            let log = name.presence_log();
            assert_eq!((log.is_presence_log(), log.members_of().as_ref()), (true, Some(name)));
            assert_eq!(ChannelName::parse_readable(log.as_str()).as_ref(), Ok(&log));
            assert!(ChannelName::parse(log.as_str()).is_err(), "nobody publishes there");
        }
        Err(ChannelNameError::NotNfc { nfc }) => {
            let composed = ChannelName::parse(nfc);
            assert!(!matches!(composed, Err(ChannelNameError::NotNfc { .. })), "{nfc:?}");
        }
        Err(_) => {}
    }
    match ChannelName::parse_readable_bytes(bytes) {
        Ok(readable) => assert!(readable.is_presence_log() || name.as_ref() == Ok(&readable)),
        Err(_) => assert!(name.is_err()),
    }
}
