//! Every way in which somebody can bring something to the server, a secret at a time, rightly or wrongly.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

/// How long an answer to something odd is waited for; some have none.
const ANSWER_MAX: Duration = Duration::from_millis(40);

/// Bytes for one connection: what is sent, with `SECRET` where the secret belongs.
pub(crate) struct Door {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

const HOST: &str = "Host: localhost\r\n";

/// All doors of an HTTP/1 listener.
pub(crate) fn doors() -> Vec<Door> {
    let mut doors = Vec::new();
    doors.extend(headers());
    doors.extend(queries());
    doors.extend(bodies());
    doors.extend(sockets());
    doors.extend(malformed());
    doors
}

fn door(name: &'static str, bytes: impl Into<Vec<u8>>) -> Door {
    Door { name, bytes: bytes.into() }
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{line} HTTP/1.1\r\n{HOST}Connection: close\r\n{length}{headers}\r\n{body}")
}

fn headers() -> Vec<Door> {
    let paths = [
        "GET /channels/chat",
        "GET /channels/chat?transport=sse",
        "POST /channels/chat",
        "GET /info",
        "GET /socket",
        "GET /nowhere",
        "POST /tickets",
        "GET /metrics",
        "POST /reload",
    ];
    let mut doors = Vec::new();
    for path in paths {
        for (name, header) in [
            ("bearer", "Authorization: Bearer SECRET\r\n"),
            ("basic", "Authorization: Basic SECRET\r\n"),
            ("no scheme", "Authorization: SECRET\r\n"),
            ("twice", "Authorization: Bearer SECRET\r\nAuthorization: Bearer SECRET\r\n"),
            ("like a token", "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.SECRET.SECRET\r\n"),
            ("folded", "Authorization: Bearer\r\n SECRET\r\n"),
            ("proxy", "Proxy-Authorization: Bearer SECRET\r\n"),
            ("cookie", "Cookie: session=SECRET; token=SECRET\r\n"),
            ("not text", "X-Odd: \u{1}SECRET\r\n"),
            ("no colon", "SECRET\r\n"),
            ("key", "Idempotency-Key: SECRET\r\n"),
            ("bad key", "Idempotency-Key: a SECRET\r\n"),
            ("cursor", "Last-Event-ID: SECRET\r\n"),
            ("api key", "X-Api-Key: SECRET\r\n"),
        ] {
            doors.push(door(name, request(path, header, "")));
        }
    }
    doors
}

fn queries() -> Vec<Door> {
    let mut doors = Vec::new();
    for path in
        ["/channels/chat", "/subscribe", "/socket", "/info", "/tickets", "/reload", "/metrics", "/traffic"]
    {
        for name in [
            "ticket",
            "token",
            "access_token",
            "key",
            "api_key",
            "after",
            "client",
            "cursor",
            "wait",
            "limit",
        ] {
            doors.push(door("query", request(&format!("GET {path}?channel=chat&{name}=SECRET"), "", "")));
        }
        doors.push(door(
            "query of a stream",
            request(&format!("GET {path}?channel=chat&transport=sse&ticket=SECRET"), "", ""),
        ));
        doors.push(door("query of a post", request(&format!("POST {path}?token=SECRET"), "", "x")));
        doors.push(door("bare query", request(&format!("GET {path}?SECRET"), "", "")));
        doors.push(door("broken escape", request(&format!("GET {path}?ticket=%zzSECRET"), "", "")));
    }
    doors.push(door("user of a url", request("GET http://user:SECRET@localhost/channels/chat", "", "")));
    doors.push(door("fragment", request("GET /channels/chat#SECRET", "", "")));
    doors
}

fn bodies() -> Vec<Door> {
    let mut doors = Vec::new();
    for (name, kind, body) in [
        ("text", "text/plain", "SECRET"),
        ("json", "application/json", "{\"password\":\"SECRET\"}"),
        ("broken json", "application/json", "{\"password\":\"SECRET\""),
        ("json that is none", "application/json", "SECRET"),
        ("deep json", "application/json", "[[[[[[[[[[[[[[[[[\"SECRET\"]]]]]]]]]]]]]]]]]"),
        ("bytes", "application/octet-stream", "\u{0}SECRET\u{0}"),
        ("form", "application/x-www-form-urlencoded", "password=SECRET"),
        ("odd kind", "SECRET", "SECRET"),
    ] {
        let header = format!("Content-Type: {kind}\r\n");
        for line in [
            "POST /channels/chat",
            "PUT /channels/chat",
            "POST /subscribe",
            "PUT /channels/chat/presence",
            "POST /tickets",
            "POST /reload",
            "POST /revocations",
        ] {
            doors.push(door(name, request(line, &header, body)));
        }
    }
    doors.push(door(
        "member",
        request("PUT /channels/chat/presence", "", "{\"id\":\"a\",\"data\":{\"a\":\"SECRET\"}}"),
    ));
    let large = format!("SECRET{}", "x".repeat(70_000));
    doors.push(door("too large", request("POST /channels/chat", "", &large)));
    let chunked = format!("POST /channels/chat HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
    doors.push(door("chunks", format!("{chunked}26\r\n{:<38}\r\n0\r\n\r\n", "SECRET")));
    doors.push(door("bad chunks", format!("{chunked}zz\r\nSECRET\r\n")));
    doors.push(door("trailer", format!("{chunked}1\r\nx\r\n0\r\nAuthorization: SECRET\r\n\r\n")));
    doors.push(door(
        "half a body",
        format!("POST /channels/chat HTTP/1.1\r\n{HOST}Content-Length: 500\r\n\r\nSECRET"),
    ));
    doors.push(door("compressed", request("POST /channels/chat", "Content-Encoding: gzip\r\n", "SECRET")));
    doors
}

fn sockets() -> Vec<Door> {
    let mut doors = Vec::new();
    let upgrade = |path: &str, headers: &str| {
        format!(
            "GET {path} HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )
    };
    for path in [
        "/socket",
        "/channels/chat",
        "/subscribe?channel=chat",
        "/socket?ticket=SECRET",
        "/channels/chat?token=SECRET",
    ] {
        for protocol in
            ["efir, efir.token.SECRET", "efir.token.SECRET", "SECRET", "efir, efir.token.\u{1}SECRET"]
        {
            doors.push(door("protocol", upgrade(path, &format!("Sec-WebSocket-Protocol: {protocol}\r\n"))));
        }
        doors.push(door("bad key", upgrade(path, "Sec-WebSocket-Key: SECRET\r\n")));
        for text in [
            "{\"authorize\":{\"token\":\"SECRET\"},\"id\":1}",
            "{\"authorize\":{\"token\":\"SECRET\"}",
            "{\"authorize\":\"SECRET\"}",
            "{\"publish\":{\"channel\":\"chat\",\"data\":\"SECRET\"},\"id\":\"SECRET\"}",
            "{\"publish\":{\"channel\":\"chat\",\"data\":\"SECRET}",
            "{\"SECRET\":{}}",
            "SECRET",
        ] {
            for (opcode, is_masked) in [(0x81, true), (0x82, true), (0x81, false), (0xf1, true), (0x88, true)]
            {
                let mut bytes = upgrade(path, "").into_bytes();
                // Long enough for the secret that will stand there.
                bytes.extend(frame(opcode, is_masked, text));
                doors.push(door("frame", bytes));
            }
        }
    }
    doors
}

/// A frame of at most 125 bytes, masked with zeros so that the secret can be put into it. Its length fits a secret of 38 bytes.
fn frame(opcode: u8, is_masked: bool, text: &str) -> Vec<u8> {
    let length = text.replace("SECRET", SECRET_SPACE).len().min(125) as u8;
    let mut bytes = vec![opcode, if is_masked { 0x80 | length } else { length }];
    if is_masked {
        bytes.extend([0; 4]);
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// As long as every secret.
pub(crate) const SECRET_SPACE: &str = "______________________________________";

fn malformed() -> Vec<Door> {
    let mut doors = Vec::new();
    for bytes in [
        "SECRET\r\n\r\n",
        "SECRET",
        "GET SECRET HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9 SECRET\r\n\r\n",
        "\u{16}\u{3}\u{1}SECRET",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nSECRET",
        "GET /channels/chat HTTP/1.1\r\nHost: SECRET\r\n\r\n",
        "GET /channels/chat HTTP/1.1\r\nHost: localhost\r\nHost: SECRET\r\n\r\n",
        "GET /channels/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: SECRET\r\n\r\n",
        "POST /channels/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\nAuthorization: SECRET\r\n\r\n",
        "POST /channels/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: SECRET\r\n\r\n",
        "GET /channels/chat HTTP/1.1\r\nHost: localhost\r\nOrigin: https://SECRET.example\r\n\r\n",
        "POST /channels/chat HTTP/1.1\r\nHost: localhost\r\nOrigin: https://SECRET.example\r\n\r\n",
        "SECRET /channels/chat HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PROXY TCP4 SECRET 127.0.0.1 1 2\r\n",
    ] {
        doors.push(door("malformed", bytes));
    }
    let many = "X-A: SECRET\r\n".repeat(300);
    doors.push(door("many headers", request("GET /channels/chat", &many, "")));
    let long = format!("Authorization: Bearer SECRET{}\r\n", "x".repeat(100_000));
    doors.push(door("long header", request("GET /channels/chat", &long, "")));
    doors
}

impl Door {
    /// Sends it with this secret, and takes whatever comes back for a moment.
    pub(crate) fn enter(&self, address: &str, secret: &str) {
        assert_eq!(secret.len(), SECRET_SPACE.len());
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        let _ = stream.set_read_timeout(Some(ANSWER_MAX));
        let bytes = replaced(&self.bytes, secret);
        // The server may have closed already.
        let _ = stream.write_all(&bytes);
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn replaced(bytes: &[u8], secret: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 100);
    let mut rest = bytes;
    while let Some(at) = rest.windows(6).position(|window| window == b"SECRET") {
        out.extend(&rest[..at]);
        out.extend(secret.as_bytes());
        rest = &rest[at + 6..];
    }
    out.extend(rest);
    // Lengths of bodies grow with the secret.
    let text = String::from_utf8_lossy(&out);
    match text.split_once("\r\n\r\n") {
        Some((head, body))
            if !body.is_empty()
                && head.contains("Content-Length: ")
                && !head.contains("Content-Length: 500") =>
        {
            let declared = head
                .split("Content-Length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next())
                .unwrap_or_default();
            if declared.parse::<usize>().is_ok() && !head.contains("Content-Length: 3") {
                let fixed = head.replacen(
                    &format!("Content-Length: {declared}"),
                    &format!("Content-Length: {}", body.len()),
                    1,
                );
                return [fixed.as_bytes(), b"\r\n\r\n", body.as_bytes()].concat();
            }
            out
        }
        _ => out,
    }
}
