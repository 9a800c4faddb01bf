//! What each dialect says to a server's words, and that it finds the same messages however the words are cut.

use std::sync::Arc;

use efir_bench::channels::Channels;
use efir_bench::mark::{self, Mark};
use efir_bench::{Heard, Seat, Subscribe};

use super::{engine_io, frames, nats, nchan, streams};

const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

fn payload(number: u64) -> String {
    let mut payload = mark::blank(100);
    mark::stamp(&mut payload, &Mark { lane: 0, number, due_us: 5 });
    String::from_utf8(payload).unwrap()
}

/// A frame as a server sends it.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ 0..=125 => frame.push(len as u8),
        len => frame.extend([&[126][..], &(len as u16).to_be_bytes()].concat()),
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// What was heard of a server's words, in pieces of any size: numbers, times joined, and what was said back.
fn hear(dialect: &dyn Subscribe, words: &[u8], piece: usize) -> (Vec<u64>, usize, String) {
    let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
    let mut said = Vec::new();
    dialect.open(&mut seat, &mut said);
    let (mut heard, mut cut, mut numbers, mut joined) = (Heard::default(), Vec::new(), Vec::new(), 0);
    for piece in words.chunks(piece) {
        cut.extend_from_slice(piece);
        let done = dialect.receive(&mut seat, &cut, &mut heard).unwrap();
        cut.drain(..done);
        numbers.extend(heard.found.drain(..).map(|mark| mark.number));
        joined += usize::from(std::mem::take(&mut heard.is_joined));
        said.append(&mut heard.reply);
    }
    assert!(cut.is_empty(), "left over: {}", String::from_utf8_lossy(&cut));
    (numbers, joined, String::from_utf8_lossy(&said).into_owned())
}

fn always(dialect: &dyn Subscribe, words: &[u8], numbers: &[u64]) -> String {
    let whole = hear(dialect, words, words.len());
    assert_eq!((whole.0.as_slice(), whole.1), (numbers, 1));
    for piece in 1..words.len() {
        assert_eq!(hear(dialect, words, piece), whole, "pieces of {piece}");
    }
    whole.2
}

fn host() -> String {
    "h:1".to_owned()
}

#[test]
fn plain_frames_are_read() {
    let words = [UPGRADED.as_bytes(), &frame(&payload(1)), &frame(&payload(2))].concat();
    let said = always(&frames::Subscriber { host: host() }, &words, &[1, 2]);
    assert!(said.starts_with("GET /channels/c HTTP/1.1\r\n"));
}

#[test]
fn events_are_read() {
    let words = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\nid: 1:0\ndata: {}\n\ndata: {}\n\n",
        payload(1),
        payload(2)
    );
    let said = always(&streams::Subscriber { host: host(), before: "/streams/" }, words.as_bytes(), &[1, 2]);
    assert!(said.starts_with("GET /streams/c HTTP/1.1\r\n") && said.contains("Accept: text/event-stream"));
}

#[test]
fn a_poll_of_nchan_goes_on_from_time_and_tag() {
    let answer = |tag: u32, body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nLast-Modified: Sat, 21 Nov 2026 11:06:37 GMT\r\nEtag: {tag}\r\n\r\n{body}",
            body.len()
        )
    };
    let words = format!(
        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n{}{}",
        answer(0, &payload(1)),
        answer(7, &payload(2))
    );
    let said = always(&nchan::LongPoll { host: host() }, words.as_bytes(), &[1, 2]);
    assert!(said.starts_with(
        "GET /ready HTTP/1.1\r\nHost: h:1\r\n\r\nGET /channels/c HTTP/1.1\r\nHost: h:1\r\n\r\n"
    ));
    let after = "If-Modified-Since: Sat, 21 Nov 2026 11:06:37 GMT\r\nIf-None-Match: 7\r\n\r\n";
    assert!(said.ends_with(after), "{said}");
}

#[test]
fn nats_is_joined_by_its_pong_and_answers_pings() {
    let messages = format!("MSG c 1 100\r\n{}\r\nMSG c 1 100\r\n{}\r\nPING\r\n", payload(1), payload(2));
    let words =
        [UPGRADED.as_bytes(), &frame("INFO {\"a\":1}\r\n"), &frame("PONG\r\n"), &frame(&messages)].concat();
    let said = always(&nats::Subscriber { host: host() }, &words, &[1, 2]);
    assert!(said.contains("SUB c 1\r\nPING\r\n") && said.ends_with("PONG\r\n"), "{said}");
}

#[test]
fn socket_io_joins_its_namespace_over_a_websocket() {
    let event = format!("42[\"message\",\"{}\"]", payload(1));
    let words = [
        UPGRADED.as_bytes(),
        &frame("0{\"sid\":\"a\"}"),
        &frame("2"),
        &frame("40{\"sid\":\"b\"}"),
        &frame(&event),
    ];
    let said = always(&engine_io::Subscriber { host: host() }, &words.concat(), &[1]);
    assert!(said.starts_with("GET /socket.io/?EIO=4&transport=websocket&channel=c HTTP/1.1"));
    assert!(said.contains("40") && said.ends_with('3'), "{said}");
}

#[test]
fn socket_io_polls_in_its_session() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let both = format!("42[\"message\",\"{}\"]\u{1e}42[\"message\",\"{}\"]\u{1e}2", payload(1), payload(2));
    let words = [
        answer("0{\"sid\":\"s-1\",\"upgrades\":[]}"),
        answer("ok"),
        answer("40{\"sid\":\"b\"}"),
        answer(&both),
        answer("ok"),
    ];
    let said = always(&engine_io::LongPoll { host: host() }, words.concat().as_bytes(), &[1, 2]);
    let requests: Vec<&str> = said.split("HTTP/1.1").collect();
    let path = "/socket.io/?EIO=4&transport=polling&channel=c";
    assert_eq!(requests[0], format!("GET {path} "));
    assert!(requests[1].ends_with(&format!("POST {path}&sid=s-1 ")));
    assert!(requests[2].ends_with(&format!("\r\n\r\n40GET {path}&sid=s-1 ")), "{said}");
    assert!(requests[4].ends_with(&format!("POST {path}&sid=s-1 ")));
    assert!(requests[5].ends_with(&format!("\r\n\r\n3GET {path}&sid=s-1 ")), "{said}");
    assert_eq!(requests.len(), 7);
}

#[test]
fn a_refusal_ends_it() {
    let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
    let words = [UPGRADED.as_bytes(), &frame("44{\"message\":\"no\"}")].concat();
    let refused = engine_io::Subscriber { host: host() }.receive(&mut seat, &words, &mut Heard::default());
    assert!(refused.is_err());
    let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
    let words = [UPGRADED.as_bytes(), &frame("-ERR 'Authorization Violation'\r\n")].concat();
    assert!(nats::Subscriber { host: host() }.receive(&mut seat, &words, &mut Heard::default()).is_err());
}
