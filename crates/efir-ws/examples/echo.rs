//! A WebSocket echo server on the bare codec, one thread per connection: what conformance suites talk to.
//!
//! `cargo run -p efir-ws --example echo -- 127.0.0.1:9001`

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::{Bytes, BytesMut};
use efir_ws::handshake::UpgradeRequest;
use efir_ws::{Agreement, Decoder, DecoderLimits, Deflater, Event, Opcode, Role, frame};

const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 64 << 20, frame_bytes_max: 64 << 20, fragments_max: 100_000 };
const HEAD_BYTES_MAX: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let Some(head) = read_head(&mut stream, &mut input)? else { return Ok(()) };
    let header = |name: &str| head.get(name).map_or("", String::as_str);
    let request = UpgradeRequest {
        connection: header("connection"),
        upgrade: header("upgrade"),
        version: header("sec-websocket-version"),
        key: header("sec-websocket-key"),
    };
    let accept = match request.accept() {
        Ok(accept) => accept,
        Err(error) => return refuse(stream, &error),
    };
    let agreement = match Agreement::from_offers(header("sec-websocket-extensions")) {
        Ok(agreement) => agreement,
        Err(error) => return refuse(stream, &error),
    };
    let extensions = agreement.map_or_else(String::new, |agreement| {
        format!("Sec-WebSocket-Extensions: {}\r\n", agreement.answer())
    });
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    )?;
    echo(stream, input, agreement)
}

fn refuse(mut stream: TcpStream, error: &dyn std::error::Error) -> io::Result<()> {
    write!(stream, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{error}\n")
}

fn echo(mut stream: TcpStream, mut input: BytesMut, agreement: Option<Agreement>) -> io::Result<()> {
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let mut deflater = agreement.map(|agreement| Deflater::new(1, agreement.server_window_bits));
    if deflater.is_some() {
        decoder = decoder.with_deflate();
    }
    let mut encode = |opcode, payload: &[u8]| match &mut deflater {
        Some(deflater) => deflater.compress_frame(opcode, payload),
        None => frame::encode(opcode, payload),
    };
    loop {
        let answer = match decoder.decode(&mut input) {
            Ok(Some(Event::Text(payload))) => encode(Opcode::Text, &payload),
            Ok(Some(Event::Binary(payload))) => encode(Opcode::Binary, &payload),
            Ok(Some(Event::Ping(payload))) => frame::encode(Opcode::Pong, &payload),
            Ok(Some(Event::Pong(_))) => Bytes::new(),
            Ok(Some(Event::Close { code, .. })) => {
                code.map_or_else(|| frame::encode(Opcode::Close, b""), |code| frame::encode_close(code, ""))
            }
            Ok(None) => {
                if read(&mut stream, &mut input)? == 0 {
                    return Ok(());
                }
                continue;
            }
            Err(error) => frame::encode_close(error.close_code(), &error.to_string()),
        };
        stream.write_all(&answer)?;
        if decoder.is_finished() {
            // Close only our half and read on, lest a reset overtakes the close frame.
            stream.shutdown(std::net::Shutdown::Write)?;
            while read(&mut stream, &mut input)? > 0 {
                input.clear();
            }
            return Ok(());
        }
    }
}

/// The request's headers by lower-case name, several lines of one joined by commas; `None` when the peer hung up.
fn read_head(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<Option<HashMap<String, String>>> {
    let end = loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if input.len() > HEAD_BYTES_MAX || read(stream, input)? == 0 {
            return Ok(None);
        }
    };
    let head = input.split_to(end);
    let mut headers: HashMap<String, String> = HashMap::new();
    for (name, value) in String::from_utf8_lossy(&head).lines().filter_map(|line| line.split_once(':')) {
        let all = headers.entry(name.to_ascii_lowercase()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value.trim());
    }
    Ok(Some(headers))
}

fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    input.extend_from_slice(&chunk[..count]);
    Ok(count)
}
