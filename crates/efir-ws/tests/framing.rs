//! The rules of RFC 6455 one by one: what a decoder accepts, what it refuses, and at which byte.

use bytes::{Bytes, BytesMut};
use efir_ws::frame::{self, Flags};
use efir_ws::{Decoder, DecoderLimits, Deflater, Event, FrameError, Opcode, Role};

const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 1000, frame_bytes_max: 600, fragments_max: 4 };
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A client decoder reads unmasked frames, which are easier to write down.
fn client() -> Decoder {
    Decoder::new(Role::Client, LIMITS)
}

/// All events of `input`, given at once, until the decoder wants more or refuses.
fn decode_all(decoder: &mut Decoder, input: &[u8]) -> Result<Vec<Event>, FrameError> {
    let mut input = BytesMut::from(input);
    let mut events = Vec::new();
    while let Some(event) = decoder.decode(&mut input)? {
        events.push(event);
    }
    Ok(events)
}

fn refusal(input: &[u8]) -> FrameError {
    decode_all(&mut client(), input).unwrap_err()
}

/// How many bytes of `input` pass before the refusal, byte by byte.
fn bytes_before_refusal(input: &[u8]) -> usize {
    let mut decoder = client();
    let mut buffer = BytesMut::new();
    for (at, byte) in input.iter().enumerate() {
        buffer.extend_from_slice(&[*byte]);
        if decoder.decode(&mut buffer).is_err() {
            return at;
        }
    }
    panic!("never refused");
}

fn piece(opcode: Opcode, payload: &[u8]) -> Bytes {
    frame::encode_flagged(opcode, Flags::PIECE, payload)
}

fn text(text: &'static str) -> Event {
    Event::Text(Bytes::from_static(text.as_bytes()))
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 48, "{} bytes", size_of::<Decoder>());
}

#[test]
fn each_role_reads_what_the_other_encodes() {
    let payload = vec![7; 300];
    let mut server = Decoder::new(Role::Server, LIMITS);
    let masked = frame::encode_masked(Opcode::Binary, &payload, MASK);
    assert_eq!(decode_all(&mut server, &masked).unwrap(), [Event::Binary(payload.clone().into())]);
    let plain = frame::encode(Opcode::Binary, &payload);
    assert_eq!(decode_all(&mut client(), &plain).unwrap(), [Event::Binary(payload.into())]);
    let mut server = Decoder::new(Role::Server, LIMITS);
    assert_eq!(decode_all(&mut server, &plain), Err(FrameError::MaskMissing));
    assert_eq!(decode_all(&mut client(), &masked), Err(FrameError::MaskForbidden));
}

#[test]
fn a_whole_frame_is_split_off_without_a_copy() {
    let frame = frame::encode_masked(Opcode::Binary, &[9; 500], MASK);
    let mut input = BytesMut::from(&frame[..]);
    let payload_at = input.as_ptr() as usize + (frame.len() - 500);
    let Ok(Some(Event::Binary(payload))) = Decoder::new(Role::Server, LIMITS).decode(&mut input) else {
        panic!("no message");
    };
    assert_eq!(payload.as_ptr() as usize, payload_at);
    assert_eq!(payload, [9; 500][..]);
}

#[test]
fn a_partial_frame_leaves_nothing_in_the_input() {
    let frame = frame::encode(Opcode::Binary, &[1; 500]);
    let (head, tail) = frame.split_at(300);
    let mut decoder = client();
    let mut input = BytesMut::from(head);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty() && input.capacity() >= 290, "its room waits for the next read");
    assert_eq!(decode_all(&mut decoder, tail).unwrap(), [Event::Binary(vec![1; 500].into())]);
}

#[test]
fn control_frames_come_through_between_fragments() {
    let input = [
        &piece(Opcode::Text, "h\u{e9}".as_bytes()[..2].as_ref())[..],
        &frame::encode(Opcode::Ping, b"p"),
        &piece(Opcode::Continuation, b""),
        &frame::encode(Opcode::Pong, b""),
        &frame::encode(Opcode::Continuation, b"\xa9!"),
        &frame::encode_close(1001, "bye"),
    ]
    .concat();
    let events = [
        Event::Ping("p".into()),
        Event::Pong(Bytes::new()),
        text("hé!"),
        Event::Close { code: Some(1001), reason: "bye".into() },
    ];
    assert_eq!(decode_all(&mut client(), &input).unwrap(), events);
    let mut decoder = client();
    let mut buffer = BytesMut::new();
    let mut seen = Vec::new();
    for byte in input {
        buffer.extend_from_slice(&[byte]);
        seen.extend(decoder.decode(&mut buffer).unwrap());
    }
    assert_eq!(seen, events, "byte by byte");
}

#[test]
fn broken_first_bytes_are_refused_at_once() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(refusal(&[0x80 | opcode]), FrameError::UnknownOpcode(opcode));
    }
    for bits in [0x10, 0x20, 0x40, 0x70] {
        assert_eq!(refusal(&[0x81 | bits]), FrameError::ReservedBits);
    }
    for opcode in [8, 9, 10] {
        assert_eq!(refusal(&[opcode]), FrameError::ControlFragmented);
        assert_eq!(refusal(&[0x80 | opcode, 126]), FrameError::ControlTooLong);
    }
    assert_eq!(refusal(&[0x80]), FrameError::ContinuationWithoutStart);
    assert_eq!(refusal(&[0x01, 0, 0x81]), FrameError::MessageInterleaved);
    assert_eq!(refusal(&[0x01, 0, 0x02]), FrameError::MessageInterleaved);
}

#[test]
fn compression_bits_are_only_for_the_first_frame_of_a_message() {
    let refusal = |input: &[u8]| decode_all(&mut client().with_deflate(), input).unwrap_err();
    assert_eq!(refusal(&[0xc9]), FrameError::ControlCompressed);
    assert_eq!(refusal(&[0x41, 0, 0xc0]), FrameError::ReservedBits);
    assert_eq!(refusal(&[0xa1]), FrameError::ReservedBits);
}

#[test]
fn close_frames_are_checked_to_the_letter() {
    assert_eq!(
        decode_all(&mut client(), &[0x88, 0]).unwrap(),
        [Event::Close { code: None, reason: Bytes::new() }]
    );
    assert_eq!(refusal(&[0x88, 1, 3]), FrameError::CloseCodeTruncated);
    assert_eq!(refusal(&[0x88, 2, 0x03, 0xed]), FrameError::CloseCodeInvalid(1005));
    assert_eq!(refusal(&[0x88, 3, 0x03, 0xe8, 0xff]), FrameError::CloseReasonNotUtf8);
    assert_eq!(refusal(&[0x88, 3, 0x03, 0xe8, 0xff]).close_code(), 1007);
}

#[test]
fn nothing_follows_a_close_or_an_error() {
    let mut decoder = client();
    let input = [&frame::encode_close(1000, "")[..], &frame::encode(Opcode::Text, b"late")].concat();
    assert_eq!(decode_all(&mut decoder, &input).unwrap().len(), 1);
    assert!(decoder.is_finished());
    assert_eq!(decode_all(&mut decoder, b"\x81\x01a"), Ok(vec![]));

    let mut decoder = client();
    let mut input = BytesMut::from(&b"\x83\x00\x81\x01a"[..]);
    assert!(decoder.decode(&mut input).is_err());
    assert!(input.is_empty(), "what follows an error is thrown away");
    assert_eq!(decode_all(&mut decoder, b"\x81\x01a"), Ok(vec![]));
}

#[test]
fn invalid_text_is_refused_inside_a_frame() {
    let mut input = vec![0x81, 20];
    input.extend_from_slice("κόσμε".as_bytes());
    let at = input.len() + 1;
    input.extend_from_slice(b"\xf4\x90\x80\x80edited");
    assert_eq!(bytes_before_refusal(&input), at);
    assert_eq!(refusal(&input), FrameError::TextNotUtf8);
    assert_eq!(
        refusal(b"\x81\x02\xce\xba\x81\x01\xce"),
        FrameError::TextNotUtf8,
        "cut at the end of a frame"
    );
    assert_eq!(refusal(b"\x01\x01\xce\x80\x01a"), FrameError::TextNotUtf8, "cut between fragments");
    assert_eq!(refusal(b"\x01\x01\xce\x80\x00"), FrameError::TextNotUtf8, "cut at the end of a message");
}

#[test]
fn declared_lengths_are_refused_before_a_payload_byte_comes() {
    assert_eq!(refusal(&[0x82, 126, 0x02, 0x59]), FrameError::FrameTooLarge { limit: 600 });
    let first = piece(Opcode::Binary, &[0; 600]);
    let second = [&first[..], &[0x80, 126, 0x01, 0x91]].concat();
    assert_eq!(refusal(&second), FrameError::MessageTooLarge { limit: 1000 });
    let mut decoder = client();
    assert!(decode_all(&mut decoder, &second).is_err());
    assert!(decoder.is_idle(), "the beginning of the refused message is freed");
    let exact = [&first[..], &frame::encode(Opcode::Continuation, &[0; 400])].concat();
    assert_eq!(decode_all(&mut client(), &exact).unwrap(), [Event::Binary(vec![0; 1000].into())]);
}

#[test]
fn fragments_are_counted_even_when_empty() {
    let mut input = piece(Opcode::Text, b"").to_vec();
    for _ in 0..3 {
        input.extend_from_slice(&piece(Opcode::Continuation, b""));
    }
    let mut decoder = client();
    assert_eq!(decode_all(&mut decoder, &input), Ok(vec![]));
    assert_eq!(decode_all(&mut decoder, &[0x80, 0]), Err(FrameError::TooManyFragments { limit: 4 }));
}

#[test]
fn compression_that_does_not_pay_still_fits_the_limits() {
    let mut state = 1_u32;
    let mut random_byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..600).map(|_| random_byte()).collect();
    let frame = Deflater::new(1, 15).compress_frame(Opcode::Binary, &noise);
    assert!(frame.len() > 604, "deflate made {} bytes of it", frame.len());
    assert_eq!(decode_all(&mut client().with_deflate(), &frame).unwrap(), [Event::Binary(noise.into())]);
    let far_above = frame::encode_flagged(Opcode::Binary, Flags::WHOLE_COMPRESSED, &[0; 800]);
    assert_eq!(
        decode_all(&mut client().with_deflate(), &far_above),
        Err(FrameError::FrameTooLarge { limit: 600 })
    );
}

#[test]
fn a_decoder_is_idle_between_messages() {
    let mut decoder = client();
    assert!(decoder.is_idle());
    assert_eq!(decode_all(&mut decoder, &piece(Opcode::Text, b"a")), Ok(vec![]));
    assert!(!decoder.is_idle());
    assert_eq!(decode_all(&mut decoder, &[0x80, 0]), Ok(vec![text("a")]));
    assert!(decoder.is_idle());
}
