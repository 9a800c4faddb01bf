//! A WebSocket client on the bare codec that runs the cases of a conformance suite's fuzzing server and echoes
//! each message.
//!
//! `cargo run -p efir-ws --example echo_client -- 127.0.0.1:9002`

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use efir_ws::handshake::{accept_key, client_key, has_token};
use efir_ws::{Agreement, Decoder, DecoderLimits, Deflater, Event, Opcode, Role, frame, negotiation};

const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 64 << 20, frame_bytes_max: 64 << 20, fragments_max: 100_000 };

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let mut count = 0;
    run(&address, "/getCaseCount", |text| {
        count = text.parse().unwrap_or(0);
        false
    })?;
    println!("{count} cases");
    for case in 1..=count {
        if let Err(error) = run(&address, &format!("/runCase?case={case}&agent=efir-ws"), |_| true) {
            println!("case {case}: {error}");
        }
    }
    run(&address, "/updateReports?agent=efir-ws", |_| false)
}

/// Opens a connection and echoes every message until the server closes; `is_echoed` sees each text before.
fn run(address: &str, path: &str, mut is_echoed: impl FnMut(&str) -> bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let agreement = upgrade(&mut stream, &mut input, address, path)?;
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    let mut deflater = agreement.map(|_| Deflater::new(1, 15));
    if deflater.is_some() {
        decoder = decoder.with_deflate();
    }
    let mut encode = |opcode, payload: &[u8]| match &mut deflater {
        Some(deflater) => deflater.compress_frame_masked(opcode, payload, mask()),
        None => frame::encode_masked(opcode, payload, mask()),
    };
    loop {
        let answer = match decoder.decode(&mut input) {
            Ok(Some(Event::Text(payload))) => {
                let text = std::str::from_utf8(&payload).unwrap_or_default();
                if is_echoed(text) { encode(Opcode::Text, &payload) } else { Bytes::new() }
            }
            Ok(Some(Event::Binary(payload))) => encode(Opcode::Binary, &payload),
            Ok(Some(Event::Ping(payload))) => frame::encode_masked(Opcode::Pong, &payload, mask()),
            Ok(Some(Event::Pong(_))) => Bytes::new(),
            Ok(Some(Event::Close { code, .. })) => code.map_or_else(
                || frame::encode_masked(Opcode::Close, b"", mask()),
                |code| frame::encode_close_masked(code, "", mask()),
            ),
            Ok(None) => {
                if read(&mut stream, &mut input)? == 0 {
                    return Ok(());
                }
                continue;
            }
            Err(error) => frame::encode_close_masked(error.close_code(), &error.to_string(), mask()),
        };
        stream.write_all(&answer)?;
        if decoder.is_finished() {
            // The server hangs up first.
            while read(&mut stream, &mut input)? > 0 {
                input.clear();
            }
            return Ok(());
        }
    }
}

fn upgrade(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    address: &str,
    path: &str,
) -> io::Result<Option<Agreement>> {
    let mut random = [0; 16];
    random.chunks_exact_mut(4).for_each(|chunk| chunk.copy_from_slice(&mask()));
    let key = client_key(random);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Extensions: {}\r\n\r\n",
        negotiation::OFFER
    )?;
    let end = loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if read(stream, input)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = input.split_to(end);
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    };
    let is_accepted = accept_key(&key).as_deref() == Ok(header("sec-websocket-accept"));
    if !head.starts_with("HTTP/1.1 101 ") || !has_token(header("upgrade"), "websocket") || !is_accepted {
        return Err(io::Error::other("the server refused the upgrade"));
    }
    Agreement::from_answer(header("sec-websocket-extensions")).map_err(io::Error::other)
}

/// Four bytes that a peer cannot foresee.
fn mask() -> [u8; 4] {
    (RandomState::new().hash_one(()) as u32).to_ne_bytes()
}

fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    input.extend_from_slice(&chunk[..count]);
    Ok(count)
}
