//! Regression cases after published vulnerabilities of other servers and clients, one named test each.

use bytes::{Bytes, BytesMut};
use efir_ws::frame::{self, Flags};
use efir_ws::handshake::{UpgradeRequest, choose_subprotocol, has_token};
use efir_ws::negotiation::OffersMalformed;
use efir_ws::{Agreement, Decoder, DecoderLimits, Deflater, Event, FrameError, Opcode, Role};

const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 1 << 20, frame_bytes_max: 1 << 20, fragments_max: 1024 };
const MASK: [u8; 4] = [1, 2, 3, 4];

fn server() -> Decoder {
    Decoder::new(Role::Server, LIMITS)
}

/// A masked text frame's head with a length written in the given form, and no payload.
fn head(length_form: u8, length: &[u8]) -> BytesMut {
    let mut head = BytesMut::from(&[0x81, 0x80 | length_form][..]);
    head.extend_from_slice(length);
    head.extend_from_slice(&MASK);
    head
}

/// V2 (CVE-2026-27889, CVE-2022-35922): huge and overlong lengths neither overflow nor allocate.
#[test]
fn v2_frame_lengths_at_the_edges_of_their_forms() {
    for length in [(1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1] {
        let error = server().decode(&mut head(127, &u64::to_be_bytes(length))).unwrap_err();
        assert_eq!(error, FrameError::FrameTooLarge { limit: 1 << 20 }, "{length}");
    }
    for length in [1 << 63, u64::MAX] {
        let error = server().decode(&mut head(127, &length.to_be_bytes())).unwrap_err();
        assert_eq!(error, FrameError::LengthOverflow, "{length}");
    }
    for length in [0, 1, 125] {
        let error = server().decode(&mut head(126, &u16::to_be_bytes(length))).unwrap_err();
        assert_eq!(error, FrameError::LengthNotMinimal, "{length} in 16 bits");
    }
    for length in [0, 125, 126, 65_535] {
        let error = server().decode(&mut head(127, &u64::to_be_bytes(length))).unwrap_err();
        assert_eq!(error, FrameError::LengthNotMinimal, "{length} in 64 bits");
    }
}

/// V2 again, with limits that let every length pass: a declaration alone allocates nothing.
#[test]
fn v2_a_declared_length_costs_nothing_until_bytes_come() {
    let limits =
        DecoderLimits { message_bytes_max: usize::MAX, frame_bytes_max: usize::MAX, fragments_max: 10 };
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut input = head(127, &u64::to_be_bytes((1 << 63) - 1));
    input.extend_from_slice(b"\x60");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty());
}

/// V9 (CVE-2026-48779, CVE-2026-62389): fragments that never end are stopped by their count.
#[test]
fn v9_a_million_tiny_fragments() {
    for payload in [&b""[..], b"x"] {
        let mut decoder = server();
        let mut frame = frame::encode_masked_flagged(Opcode::Text, Flags::PIECE, payload, MASK);
        let refused_at = (0..1_000_000).find_map(|count| {
            let mut input = BytesMut::from(&frame[..]);
            frame = frame::encode_masked_flagged(Opcode::Continuation, Flags::PIECE, payload, MASK);
            decoder.decode(&mut input).err().map(|error| (count, error))
        });
        assert_eq!(refused_at, Some((1024, FrameError::TooManyFragments { limit: 1024 })));
    }
}

/// V10 (CVE-2024-37890, CVE-2021-32640, GHSA-5v72): header values made to hurt the parser.
#[test]
fn v10_hostile_handshake_headers() {
    let spaces = " ".repeat(32 * 1024);
    assert_eq!(choose_subprotocol(&format!("a{spaces}b,{spaces}chat{spaces}"), &["chat"]), Some("chat"));
    assert!(!has_token(&format!("{spaces},{spaces}"), "upgrade"));
    let many = "x-header, ".repeat(2000);
    assert!(has_token(&format!("{many}Upgrade"), "upgrade"));
    assert!(
        UpgradeRequest { connection: &many, upgrade: "websocket", ..Default::default() }.accept().is_err()
    );
    for name in ["__proto__", "constructor", "toString", "hasOwnProperty"] {
        assert_eq!(Agreement::from_offers(name), Ok(None));
        assert_eq!(Agreement::from_offers(&format!("{name}; a=1, permessage-deflate; {name}")), Ok(None));
        assert!(Agreement::from_offers(&format!("{name}, permessage-deflate")).unwrap().is_some());
    }
}

/// V11 (CVE-2020-7662, CVE-2020-7663): a quadratic reader would need an hour for these values.
#[test]
fn v11_extension_values_of_a_mebibyte_are_read_in_one_pass() {
    const BYTES: usize = 1 << 20;
    let unclosed = "\\".repeat(BYTES);
    assert_eq!(Agreement::from_offers(&format!("a; b=\"{unclosed}")), Err(OffersMalformed));
    assert_eq!(Agreement::from_offers(&format!("permessage-deflate; b=\"{unclosed}")), Err(OffersMalformed));
    for hostile in ["a;b=\"c", "\"", "a;", ";", ",", "=", " ", "a; b=\"\",", "permessage-deflate; b=\","] {
        let value = hostile.repeat(BYTES / hostile.len());
        let agreed = Agreement::from_offers(&value);
        let is_empty = value.trim_matches([' ', ',']).is_empty();
        assert_eq!(agreed, if is_empty { Ok(None) } else { Err(OffersMalformed) }, "{hostile}");
        let declined = Agreement::from_answer(&value);
        assert!(declined.is_err() || declined == Ok(None), "{hostile}");
    }
}

/// V18 (CVE-2026-19204): an unknown opcode is refused before its length is looked at.
#[test]
fn v18_an_unknown_opcode_with_a_huge_length() {
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        let mut input = head(127, &u64::MAX.to_be_bytes());
        input[0] = 0x80 | opcode;
        assert_eq!(server().decode(&mut input), Err(FrameError::UnknownOpcode(opcode)));
        assert_eq!(
            server().decode(&mut BytesMut::from(&[opcode][..])),
            Err(FrameError::UnknownOpcode(opcode))
        );
    }
}

/// V20 (CVE-2023-43669): bytes in segments of one are looked at once each; a reader that begins anew with each
/// segment would look at half a million million of them.
#[test]
fn v20_a_mebibyte_in_segments_of_one_byte() {
    let payload = vec![b'a'; 1 << 20];
    let frame = frame::encode_masked(Opcode::Text, &payload, MASK);
    let mut decoder = server();
    let mut input = BytesMut::new();
    let mut message = None;
    for byte in frame {
        input.extend_from_slice(&[byte]);
        message = decoder.decode(&mut input).unwrap();
        assert!(message.is_some() || input.len() < 14, "only an unfinished head waits in the input");
    }
    assert_eq!(message, Some(Event::Text(Bytes::from(payload))));
}

/// The bombs of V1 and V4, as far as the codec is concerned: inflated bytes count while they appear.
#[test]
fn a_deflate_bomb_ends_at_the_limit() {
    let bomb = Deflater::new(9, 15).compress_frame_masked(Opcode::Binary, &vec![0; 64 << 20], MASK);
    assert!(bomb.len() < 100_000, "64 MiB in {} bytes", bomb.len());
    let mut decoder = server().with_deflate();
    let refused = decoder.decode(&mut BytesMut::from(&bomb[..]));
    assert_eq!(refused, Err(FrameError::InflatedTooLarge { limit: 1 << 20 }));
    let limits = DecoderLimits { message_bytes_max: 64 << 20, ..LIMITS };
    let mut decoder = Decoder::new(Role::Server, limits).with_deflate();
    assert!(matches!(decoder.decode(&mut BytesMut::from(&bomb[..])), Ok(Some(Event::Binary(_)))));
}

/// V12 (CVE-2026-2229, -9675): what a server may not answer to our client.
#[test]
fn v12_answers_that_our_client_refuses() {
    let base = "permessage-deflate; server_no_context_takeover";
    assert!(Agreement::from_answer("").unwrap().is_none());
    assert!(Agreement::from_answer(base).unwrap().is_some());
    assert_eq!(
        Agreement::from_answer(&format!("{base}; server_max_window_bits=8"))
            .unwrap()
            .unwrap()
            .server_window_bits,
        8
    );
    for more in [
        "; server_max_window_bits=7",
        "; server_max_window_bits=16",
        "; server_max_window_bits=08",
        "; server_max_window_bits=1e1",
        "; server_max_window_bits=",
        "; server_max_window_bits",
        "; server_max_window_bits=99999999999999999999",
        "; client_max_window_bits=10",
        "; server_no_context_takeover",
        "; unknown",
        ", permessage-deflate",
        ", x",
        "\"",
    ] {
        assert!(Agreement::from_answer(&format!("{base}{more}")).is_err(), "{more}");
    }
    assert!(Agreement::from_answer("permessage-deflate").is_err(), "we keep no context to take over");
    assert!(Agreement::from_answer("x-webkit-deflate-frame").is_err());
}
