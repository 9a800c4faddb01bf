//! Heads that two readers could take apart differently: lines, names, targets, methods, and what stands before and behind.

use super::{Corpus, Fate, post};

/// Ends of lines, folded lines, and what stands in lines that must not.
pub(super) fn lines(all: &mut Corpus) {
    for (name, line) in [
        ("a folded line", "X: a\r\n b\r\nContent-Length: 5\r\n"),
        ("a folded length", "Content-Length:\r\n 5\r\n"),
        ("a folded length of two", "Content-Length: 0\r\n 5\r\n"),
        ("a folded coding", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n"),
        ("a coding folded by a tab", "Transfer-Encoding:\r\n\tchunked\r\nContent-Length: 5\r\n"),
        ("the first line folded", " X: y\r\nContent-Length: 5\r\n"),
        ("CR in a value", "X: a\rContent-Length: 9\r\nContent-Length: 5\r\n"),
        ("CR before a name", "\rContent-Length: 5\r\n"),
        ("NUL in a value", "X: a\0b\r\nContent-Length: 5\r\n"),
        ("NUL in a length", "Content-Length: 5\0\r\n"),
        ("NUL in a name", "Content-\0Length: 5\r\n"),
        ("DEL in a value", "X: a\u{7f}\r\nContent-Length: 5\r\n"),
        ("BEL in a value", "X: a\u{7}\r\nContent-Length: 5\r\n"),
        ("no colon", "Content-Length 5\r\n"),
        ("no name", ": 5\r\nContent-Length: 5\r\n"),
        ("a space for a colon", "X y\r\nContent-Length: 5\r\n"),
    ] {
        all.add(Fate::Refused, name, post(line, "hello"));
    }
    for (name, line) in [
        ("LF alone", "Content-Length: 5\n"),
        ("LF before a length", "X: y\nContent-Length: 5\r\n"),
        ("LF before a coding", "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("LF CR", "X: y\n\rContent-Length: 5\r\n"),
    ] {
        all.add(Fate::Ambiguous, name, post(line, "hello"));
    }
    all.add(
        Fate::Ambiguous,
        "a head of LF",
        b"GET /channels/target-{n} HTTP/1.1\nHost: localhost\n\n".to_vec(),
    );
    let ends =
        b"POST /channels/target-{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\nhello".to_vec();
    all.add(Fate::Ambiguous, "a head that ends with LF", ends);
    let first =
        b"POST /channels/target-{n} HTTP/1.1\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    all.add(Fate::Ambiguous, "a first line that ends with LF", first);
}

/// Names that one reader takes for another name.
pub(super) fn names(all: &mut Corpus) {
    for name in [
        "Content-Length ",
        "Content-Length\t",
        " Content-Length",
        "Content_Length\u{b}",
        "Content-Length\u{c}",
        "Content-Length\r",
        "Content Length",
        "\"Content-Length\"",
        "Content-Length:",
        "Content-L\u{e9}ngth",
        "Content-Length(",
        "Content-Length;",
    ] {
        let line = format!("{name}: 5\r\n");
        all.add(Fate::Refused, format!("{name:?} as a name"), post(&line, "hello"));
    }
    for name in [
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        " Transfer-Encoding",
        "Transfer-Encoding\u{b}",
        "Transfer-Encoding\0",
    ] {
        let lines = format!("Content-Length: 5\r\n{name}: chunked\r\n");
        all.add(Fate::Refused, format!("{name:?} as a name"), post(&lines, "hello"));
    }
    for name in [
        "Transfer_Encoding",
        "Content_Length",
        "X-Transfer-Encoding",
        "Content-Length2",
        "Transfer-Encodin",
        "TE",
    ] {
        let lines = format!("{name}: chunked\r\nContent-Length: 5\r\n");
        all.add(Fate::Taken, format!("{name} is another name"), post(&lines, "hello"));
    }
}

pub(super) fn targets(all: &mut Corpus) {
    for (name, line) in [
        ("two spaces before the target", "GET  /channels/target-{n} HTTP/1.1"),
        ("a tab before the version", "GET /channels/target-{n}\tHTTP/1.1"),
        ("two spaces before the version", "GET /channels/target-{n}  HTTP/1.1"),
        ("a space behind the version", "GET /channels/target-{n} HTTP/1.1 "),
        ("a space in the target", "GET /channels/target-{n} x HTTP/1.1"),
        ("no version", "GET /channels/target-{n}"),
        ("HTTP/1.2", "GET /channels/target-{n} HTTP/1.2"),
        ("HTTP/2.0", "GET /channels/target-{n} HTTP/2.0"),
        ("HTTP/0.9", "GET /channels/target-{n} HTTP/0.9"),
        ("HTTP/1.10", "GET /channels/target-{n} HTTP/1.10"),
        ("http/1.1", "GET /channels/target-{n} http/1.1"),
        ("HTTP/1,1", "GET /channels/target-{n} HTTP/1,1"),
        ("ICY/1.1", "GET /channels/target-{n} ICY/1.1"),
        ("a method in brackets", "(GET) /channels/target-{n} HTTP/1.1"),
        ("a colon in the method", "GET: /channels/target-{n} HTTP/1.1"),
        ("NUL in the target", "GET /channels/target-{n}\0 HTTP/1.1"),
        ("CR in the target", "GET /channels/target-{n}\r HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("a space before the method", " GET /channels/target-{n} HTTP/1.1"),
    ] {
        all.add(Fate::Refused, name, format!("{line}\r\nHost: localhost\r\n\r\n").into_bytes());
    }
    let absolute = "GET http://localhost/channels/target-{n} HTTP/1.1\r\nHost: localhost\r\n\r\n";
    all.add(Fate::Taken, "the absolute form", absolute.into());
    for (name, target, host) in [
        (
            "the absolute form of another host",
            "http://evil.example/channels/target-{n}",
            "Host: localhost\r\n",
        ),
        (
            "the absolute form of an own host, and a foreign one",
            "http://localhost/channels/target-{n}",
            "Host: evil.example\r\n",
        ),
        ("a foreign host", "/channels/target-{n}", "Host: evil.example\r\n"),
        ("two hosts", "/channels/target-{n}", "Host: localhost\r\nHost: localhost\r\n"),
        ("two hosts that differ", "/channels/target-{n}", "Host: localhost\r\nHost: evil.example\r\n"),
        ("no host", "/channels/target-{n}", ""),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\n{host}\r\n").into_bytes();
        all.add(Fate::Either, name, bytes);
    }
}

pub(super) fn methods(all: &mut Corpus) {
    for method in ["PATCH", "DELETE", "LOCK", "get", "FOO"] {
        let head = format!(
            "{method} /channels/target-{{n}} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
        );
        all.add(Fate::Judged, format!("the method {method}"), head.into_bytes());
    }
    let connect = "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    all.add(Fate::Either, "CONNECT", connect.into());
    let upgrade = "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello";
    let upgrade = format!("POST /channels/target-{{n}} HTTP/1.1\r\nHost: localhost\r\n{upgrade}");
    all.add(Fate::Taken, "an upgrade to h2c", upgrade.into_bytes());
    let early = "GET /channels/target-{n} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    all.add(Fate::Judged, "an upgrade to a WebSocket of another version", early.into());
    for (name, word) in [
        ("Connection: Content-Length", "Content-Length"),
        ("Connection: Transfer-Encoding", "Transfer-Encoding"),
        ("Connection: Host", "Host"),
    ] {
        all.add(Fate::Either, name, post(&format!("Connection: {word}\r\nContent-Length: 5\r\n"), "hello"));
    }
}

/// Bytes before the request, and more than there should be behind it.
pub(super) fn early(all: &mut Corpus) {
    for (name, before) in [("an empty line before", "\r\n"), ("two empty lines before", "\r\n\r\n")] {
        let bytes = [before.as_bytes(), &post("Content-Length: 5\r\n", "hello")].concat();
        all.add(Fate::Either, name, bytes);
    }
    for (name, before) in [
        ("NUL before", "\0"),
        ("a byte order mark before", "\u{feff}"),
        ("a space before", " "),
        ("CR before", "\r"),
        ("garbage before", "\u{1}\u{2}\u{3}\r\n"),
    ] {
        let bytes = [before.as_bytes(), &post("Content-Length: 5\r\n", "hello")].concat();
        all.add(Fate::Refused, name, bytes);
    }
    let garbage = post("Content-Length: 5\r\n", "hello!!\r\n\r\n");
    all.add(Fate::Either, "garbage behind a body", garbage);
    all.add(
        Fate::Either,
        "two bytes behind the chunks",
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n!!"),
    );
}
