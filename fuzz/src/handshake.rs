//! The headers of a WebSocket handshake (RFC 6455 §4, RFC 7692 §7.1), one line each: connection, upgrade, version, key, subprotocols,
//! offered extensions, answered extensions.

use base64::{Engine, engine::general_purpose::STANDARD};
use efir_ws::{
    Agreement,
    handshake::{self, UpgradeRequest},
};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let request = UpgradeRequest { connection: line(), upgrade: line(), version: line(), key: line() };
    let (protocols, offers, answer) = (line(), line(), line());
    check_request(&request);
    let chosen = handshake::choose_subprotocol(protocols, &["efir", "chat"]);
    let first = members(protocols).find(|member| ["efir", "chat"].contains(member));
    assert_eq!(chosen, first);
    check_extensions(offers, answer);
}

fn check_request(request: &UpgradeRequest<'_>) {
    let key = request.key.trim_matches([' ', '\t']);
    let has = |value, token: &str| members(value).any(|member| member.eq_ignore_ascii_case(token));
    let is_lawful = has(request.upgrade, "websocket")
        && has(request.connection, "upgrade")
        && request.version.trim_matches([' ', '\t']) == "13"
        && STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    let accepted = request.accept();
    assert_eq!(accepted.is_ok(), is_lawful, "{accepted:?}");
    if let Ok(accept) = accepted {
        assert_eq!(STANDARD.decode(&accept).map(|hash| hash.len()), Ok(20), "{accept}");
        assert!(Ok(accept) == handshake::accept_key(key));
    }
}

fn check_extensions(offers: &str, answer: &str) {
    if let Ok(Some(agreed)) = Agreement::from_offers(offers) {
        assert!((9..=15).contains(&agreed.server_window_bits));
        // What a server of ours answers, a client of ours understands.
        let understood = Agreement::from_answer(&agreed.answer());
        let bits = understood.map(|agreed| agreed.map(|agreed| agreed.server_window_bits));
        assert_eq!(bits, Ok(Some(agreed.server_window_bits)));
        // One more extension that nobody knows changes nothing.
        assert_eq!(Agreement::from_offers(&format!("x-other; a=1, {offers}")), Ok(Some(agreed)));
    }
    if let Ok(Some(agreed)) = Agreement::from_answer(answer) {
        assert!((8..=15).contains(&agreed.server_window_bits));
        assert!(answer.contains("permessage-deflate") && answer.contains("server_no_context_takeover"));
    }
}

fn members(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty())
}
