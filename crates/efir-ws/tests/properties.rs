//! What holds for all input: any fragmentation and any cut of the bytes gives the same messages, and no bytes make
//! the decoder panic or keep more than its limits.

use bytes::{Bytes, BytesMut};
use efir_ws::frame::{self, Flags};
use efir_ws::{Agreement, Decoder, DecoderLimits, Deflater, Event, FrameError, Opcode, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 70_000, frame_bytes_max: 70_000, fragments_max: 64 };

/// A message or control frame and how it goes over the wire.
#[derive(Clone, Debug)]
enum Sent {
    Text(String, Vec<Index>),
    Binary(Vec<u8>, Vec<Index>),
    Compressed(String),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let cuts = || vec(any::<Index>(), 0..6);
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..300),
        (65_530_usize..65_540).prop_map(|len| (0..len).map(|at| (at * 7) as u8).collect())
    ];
    prop_oneof![
        ("\\PC{0,200}", cuts()).prop_map(|(text, cuts)| Sent::Text(text, cuts)),
        (bytes, cuts()).prop_map(|(bytes, cuts)| Sent::Binary(bytes, cuts)),
        "[a-e]{0,20}|\\PC{0,400}".prop_map(Sent::Compressed),
        vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
    ]
}

/// Encodes frames for a decoder of `role`.
struct Sender {
    role: Role,
    mask: [u8; 4],
    wire: Vec<u8>,
}

impl Sender {
    fn frame(&mut self, opcode: Opcode, flags: Flags, payload: &[u8]) {
        let frame = match self.role {
            Role::Server => frame::encode_masked_flagged(opcode, flags, payload, self.mask),
            Role::Client => frame::encode_flagged(opcode, flags, payload),
        };
        self.wire.extend_from_slice(&frame);
        self.mask.rotate_left(1);
    }

    /// One message in pieces; a ping follows each piece but the last, and is expected before the message.
    fn pieces(&mut self, opcode: Opcode, payload: &[u8], cuts: &[Index], expected: &mut Vec<Event>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for (at, &cut) in cuts.iter().chain([&payload.len()]).enumerate() {
            let opcode = if at == 0 { opcode } else { Opcode::Continuation };
            let is_last = at == cuts.len();
            self.frame(opcode, if is_last { Flags::WHOLE } else { Flags::PIECE }, &payload[from..cut]);
            if !is_last {
                self.frame(Opcode::Ping, Flags::WHOLE, &[at as u8]);
                expected.push(Event::Ping(Bytes::copy_from_slice(&[at as u8])));
            }
            from = cut;
        }
    }

    fn send(&mut self, sent: &Sent, expected: &mut Vec<Event>) {
        match sent {
            Sent::Text(text, cuts) => {
                self.pieces(Opcode::Text, text.as_bytes(), cuts, expected);
                expected.push(Event::Text(text.clone().into()));
            }
            Sent::Binary(bytes, cuts) => {
                self.pieces(Opcode::Binary, bytes, cuts, expected);
                expected.push(Event::Binary(bytes.clone().into()));
            }
            Sent::Compressed(text) => {
                let mut deflater = Deflater::new(1, 15);
                let frame = match self.role {
                    Role::Server => deflater.compress_frame_masked(Opcode::Text, text.as_bytes(), self.mask),
                    Role::Client => deflater.compress_frame(Opcode::Text, text.as_bytes()),
                };
                self.wire.extend_from_slice(&frame);
                expected.push(Event::Text(text.clone().into()));
            }
            Sent::Ping(payload) => {
                self.frame(Opcode::Ping, Flags::WHOLE, payload);
                expected.push(Event::Ping(payload.clone().into()));
            }
        }
    }
}

/// Feeds `wire` in chunks of the given sizes, over and over.
fn decode(decoder: &mut Decoder, wire: &[u8], chunk_sizes: &[usize]) -> Result<Vec<Event>, FrameError> {
    let mut events = Vec::new();
    let mut input = BytesMut::new();
    let mut rest = wire;
    for size in chunk_sizes.iter().cycle() {
        let (chunk, later) = rest.split_at((*size).min(rest.len()));
        input.extend_from_slice(chunk);
        while let Some(event) = decoder.decode(&mut input)? {
            events.push(event);
        }
        assert!(input.len() < 14 + 125, "{} bytes wait in the input", input.len());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    Ok(events)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_fragmentation_and_any_cut_gives_the_same_messages(
        role in role(),
        mask in any::<[u8; 4]>(),
        sent in vec(sent(), 1..6),
        chunk_sizes in vec(prop_oneof![1_usize..10, 1_usize..5000, Just(100_000)], 1..8),
    ) {
        let mut sender = Sender { role, mask, wire: Vec::new() };
        let mut expected = Vec::new();
        for one in &sent {
            sender.send(one, &mut expected);
        }
        let mut decoder = Decoder::new(role, LIMITS).with_deflate();
        prop_assert_eq!(decode(&mut decoder, &sender.wire, &chunk_sizes), Ok(expected));
    }

    #[test]
    fn compressed_messages_survive_fragmentation(text in "[a-z ]{1,2000}", cuts in vec(any::<Index>(), 0..6)) {
        let compressed = Deflater::new(6, 12).compress_frame(Opcode::Text, text.as_bytes());
        let payload = &compressed[if compressed[1] < 126 { 2 } else { 4 }..];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let (mut wire, mut from) = (Vec::new(), 0);
        for (at, &cut) in cuts.iter().enumerate() {
            let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
            let flags = Flags { fin: at + 1 == cuts.len(), compressed: at == 0 };
            wire.extend_from_slice(&frame::encode_flagged(opcode, flags, &payload[from..cut]));
            from = cut;
        }
        let mut decoder = Decoder::new(Role::Client, LIMITS).with_deflate();
        prop_assert_eq!(decode(&mut decoder, &wire, &[7]), Ok(vec![Event::Text(text.into())]));
    }

    #[test]
    fn any_text_of_the_extension_header_is_read(value in "\\PC{0,80}|[-;,=\" a-z_0-9]{0,80}") {
        let _ = Agreement::from_answer(&value);
        if let Ok(Some(agreement)) = Agreement::from_offers(&value) {
            prop_assert!(Agreement::from_answer(&agreement.answer()).unwrap().is_some());
        }
    }
}

/// Bytes that look enough like frames to get past the first check.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => prop::sample::select(vec![0x01_u8, 0x81, 0x02, 0x82, 0x00, 0x80, 0xc1, 0x41]),
        1 => any::<u8>()];
    let frame = (opcode, any::<bool>(), vec(any::<u8>(), 0..140)).prop_map(|(first, is_honest, payload)| {
        let mut frame = vec![first];
        if is_honest {
            frame.extend([payload.len().min(125) as u8]);
            frame.extend(&payload[..payload.len().min(125)]);
        } else {
            frame.extend(payload);
        }
        frame
    });
    vec(frame, 0..20).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The limits are tiny, so that a message above them would show at once.
    #[test]
    fn random_bytes_never_panic_and_never_pass_the_limits(
        role in role(),
        wire in prop_oneof![vec(any::<u8>(), 0..400), noise()],
        chunk in 1_usize..50,
    ) {
        let limits = DecoderLimits { message_bytes_max: 100, frame_bytes_max: 80, fragments_max: 3 };
        let mut decoder = Decoder::new(role, limits).with_deflate();
        let whole = decode(&mut decoder, &wire, &[wire.len().max(1)]);
        let mut decoder = Decoder::new(role, limits).with_deflate();
        let in_chunks = decode(&mut decoder, &wire, &[chunk]);
        prop_assert_eq!(&whole, &in_chunks, "the verdict does not depend on how the bytes are cut");
        for event in whole.into_iter().flatten() {
            match event {
                Event::Text(payload) => {
                    prop_assert!(payload.len() <= 100);
                    prop_assert!(std::str::from_utf8(&payload).is_ok());
                }
                Event::Binary(payload) => prop_assert!(payload.len() <= 100),
                Event::Ping(payload) | Event::Pong(payload) => prop_assert!(payload.len() <= 125),
                Event::Close { code, reason } => {
                    prop_assert!(reason.len() <= 123 && std::str::from_utf8(&reason).is_ok());
                    prop_assert!(code.is_none_or(frame::is_close_code));
                }
            }
        }
    }
}
