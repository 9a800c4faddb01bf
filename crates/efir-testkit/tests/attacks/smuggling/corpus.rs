//! Raw requests on whose borders two readers could disagree, and what has to become of each.
//!
//! `{n}` stands for the four digits of the run's number, so that every one has channels of its own: `target-{n}` is what the request is about,
//! `smuggled-{n}` is named by a request that hides in a body. Knows nothing of connections; `judge.rs` sends and judges.

/// What a server may do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answers it once with success, and the request behind it as well.
    Taken,
    /// Answers it once with success, and reads nothing more on the connection: so it is with all that comes in chunks.
    Last,
    /// Refuses it, and reads nothing more on the connection.
    Refused,
    /// As [`Fate::Refused`] where efir's own parser meets it. Behind a request that only the library reads the library decides, as
    /// RFC 9112 lets it.
    Ambiguous,
    /// Refuses it with a problem; where it ends is beyond doubt, so that the connection may go on.
    Judged,
    /// More has to come: what stands behind it is its body.
    Waits,
    /// RFC 9112 leaves it to the recipient.
    Either,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Attack {
    /// What is wrong with it.
    pub name: String,
    /// Its bytes, with `{n}` in them.
    pub bytes: Vec<u8>,
    /// What becomes of it.
    pub fate: Fate,
}

/// A request that must never be carried out, for it stands in a body.
const HIDDEN: &str = "POST /channels/smuggled-{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
/// A body of one chunk.
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

/// A POST with these lines of its head, each with its end, and this body.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /channels/target-{{n}} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").into_bytes()
}

/// A GET with these lines.
fn get(query: &str, lines: &str, body: &str) -> Vec<u8> {
    format!("GET /channels/target-{{n}}{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").into_bytes()
}

struct Corpus(Vec<Attack>);

impl Corpus {
    fn add(&mut self, fate: Fate, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.push(Attack { name: name.into(), bytes, fate });
    }
}

/// All of them.
#[must_use]
pub(crate) fn attacks() -> Vec<Attack> {
    let mut all = Corpus(Vec::new());
    plain(&mut all);
    lengths(&mut all);
    two_lengths(&mut all);
    codings(&mut all);
    both(&mut all);
    chunks(&mut all);
    trailers(&mut all);
    lines(&mut all);
    names(&mut all);
    targets(&mut all);
    methods(&mut all);
    early(&mut all);
    all.0
}

/// Requests that are in order: a corpus in which nothing is taken would hold for a server that is off.
fn plain(all: &mut Corpus) {
    let length = HIDDEN.replace("{n}", "0000").len();
    all.add(Fate::Taken, "a length", post("Content-Length: 5\r\n", "hello"));
    all.add(Fate::Taken, "no body", get("", "", ""));
    all.add(Fate::Last, "chunks", post("Transfer-Encoding: chunked\r\n", CHUNKS));
    all.add(Fate::Taken, "a body of nothing", post("Content-Length: 0\r\n", ""));
    all.add(Fate::Last, "chunks of nothing", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"));
    all.add(Fate::Taken, "a request as a payload", post(&format!("Content-Length: {length}\r\n"), HIDDEN));
    all.add(
        Fate::Last,
        "a request as a chunk",
        post("Transfer-Encoding: chunked\r\n", &format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n")),
    );
    for (name, query) in [("a read", ""), ("a held read", "?wait=0.02"), ("a page of one", "?limit=1")] {
        let lines = format!("Content-Length: {length}\r\n");
        all.add(Fate::Taken, format!("{name} with a body"), get(query, &lines, HIDDEN));
        let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
        all.add(
            Fate::Last,
            format!("{name} with chunks"),
            get(query, "Transfer-Encoding: chunked\r\n", &chunked),
        );
    }
    all.add(Fate::Taken, "many spaces before a value", post("Content-Length:    \t 5  \r\n", "hello"));
    all.add(Fate::Taken, "names in any case", post("cOnTeNt-LeNgTh: 5\r\n", "hello"));
    all.add(Fate::Last, "a coding in any case", post("Transfer-Encoding: CHUNKED\r\n", CHUNKS));
    all.add(Fate::Taken, "zeros before a length", post("Content-Length: 0005\r\n", "hello"));
    all.add(Fate::Taken, "an expectation", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"));
}

fn lengths(all: &mut Corpus) {
    for value in [
        "+5",
        "-5",
        "+0",
        "-0",
        "0x5",
        "5.0",
        "5e0",
        "5,",
        ",5",
        "5;5",
        "5 5",
        "5\t5",
        "five",
        "0b101",
        "\"5\"",
        "5\u{a0}",
        "\u{0665}",
        "5a",
        "a5",
        "_5",
        "1_0",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999",
        "-18446744073709551611",
        "340282366920938463463374607431768211461",
        "NaN",
        "inf",
        "5\\",
        "[5]",
        "5%",
        "%35",
        "0o5",
        "5\u{b}",
        "5\u{c}",
    ] {
        all.add(
            Fate::Refused,
            format!("Content-Length: {value}"),
            post(&format!("Content-Length: {value}\r\n"), "hello"),
        );
    }
    all.add(Fate::Refused, "Content-Length without a value", post("Content-Length:\r\n", "hello"));
    all.add(Fate::Refused, "Content-Length of spaces", post("Content-Length:   \r\n", "hello"));
    all.add(Fate::Waits, "a length beyond what comes", post("Content-Length: 4000\r\n", HIDDEN));
    all.add(Fate::Refused, "2^63 bytes", post("Content-Length: 9223372036854775808\r\n", HIDDEN));
    all.add(Fate::Refused, "2^64-1 bytes", post("Content-Length: 18446744073709551615\r\n", HIDDEN));
}

fn two_lengths(all: &mut Corpus) {
    for (first, second) in
        [("5", "6"), ("5", "0"), ("0", "5"), ("5", "+5"), ("5", "five"), ("6", "5"), ("5", "")]
    {
        let lines = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        all.add(Fate::Refused, format!("lengths {first} and {second}"), post(&lines, "hello"));
        let apart = format!("Content-Length: {first}\r\nX: y\r\ncontent-length: {second}\r\n");
        all.add(Fate::Refused, format!("lengths {first} and {second}, apart"), post(&apart, "hello"));
    }
    for value in ["5, 6", "5,5", "5, 5", "5, 0", "0, 5", "5,,5"] {
        all.add(
            Fate::Refused,
            format!("lengths {value} in a line"),
            post(&format!("Content-Length: {value}\r\n"), "hello"),
        );
    }
    let twice = "Content-Length: 5\r\nContent-Length: 5\r\n";
    all.add(Fate::Ambiguous, "the same length twice", post(twice, "hello"));
}

/// Transfer codings that some understand as `chunked`, and some do not.
fn codings(all: &mut Corpus) {
    for value in [
        "xchunked",
        "chunkedx",
        "chunk",
        "\"chunked\"",
        "'chunked'",
        "chunked;",
        "chunked; a=b",
        "identity",
        "identity, chunked, identity",
        "chunked, identity",
        "chunked identity",
        "gzip",
        "chunked, gzip",
        "x",
        "",
        "chunked\u{b}",
        "\u{b}chunked",
        "\u{c}chunked",
        "chunked\u{a0}",
        "ch\u{df}unked",
        "chunked,x",
        "chunKED-false",
        "[chunked]",
        "cow",
        "deflate, chunked, gzip",
    ] {
        let line = format!("Transfer-Encoding: {value}\r\n");
        all.add(Fate::Refused, format!("Transfer-Encoding: {value:?}"), post(&line, CHUNKS));
    }
    for value in [" chunked", "\tchunked", "chunked ", "chunked\t", "  chunked  "] {
        let line = format!("Transfer-Encoding:{value}\r\n");
        all.add(Fate::Last, format!("Transfer-Encoding:{value:?}"), post(&line, CHUNKS));
    }
    for value in
        ["chunked, chunked", "gzip, chunked", "chunked,", ",chunked", "identity, chunked", "chunked,,"]
    {
        let line = format!("Transfer-Encoding: {value}\r\n");
        all.add(Fate::Ambiguous, format!("Transfer-Encoding: {value:?}"), post(&line, CHUNKS));
    }
    for (first, second) in [("chunked", "identity"), ("chunked", "x"), ("chunked", "")] {
        let lines = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        all.add(Fate::Refused, format!("codings {first} and {second:?}"), post(&lines, CHUNKS));
    }
    for (first, second) in [("chunked", "chunked"), ("identity", "chunked"), ("x", "chunked")] {
        let lines = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        all.add(Fate::Ambiguous, format!("codings {first} and {second}"), post(&lines, CHUNKS));
    }
    let old = "POST /channels/target-{n} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    all.add(Fate::Refused, "chunks in HTTP/1.0", format!("{old}{CHUNKS}").into_bytes());
}

/// A length and a coding in one head (RFC 9112 §6.3): whichever is believed, nothing of it is a request.
fn both(all: &mut Corpus) {
    let hidden = format!("0\r\n\r\n{HIDDEN}");
    let length = hidden.replace("{n}", "0000").len();
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.replace("{n}", "0000").len());
    for coding in [
        "chunked",
        "Chunked",
        " chunked",
        "\tchunked",
        "chunked ",
        "xchunked",
        "chunked, identity",
        "identity",
        "\"chunked\"",
        "x, chunked",
        "chunked;q=1",
    ] {
        let (te, cl) = (format!("Transfer-Encoding: {coding}\r\n"), format!("Content-Length: {length}\r\n"));
        all.add(Fate::Ambiguous, format!("CL.TE, {coding:?}"), post(&format!("{cl}{te}"), &hidden));
        all.add(
            Fate::Ambiguous,
            format!("TE.CL, {coding:?}"),
            post(&format!("{te}Content-Length: 4\r\n"), &chunk),
        );
    }
    let both = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
    for query in ["", "?wait=0.02", "?transport=sse"] {
        all.add(Fate::Ambiguous, format!("CL.TE of a read {query}"), get(query, &both, &hidden));
    }
    all.add(
        Fate::Ambiguous,
        "a length of 0 and chunks",
        post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    );
}

fn chunks(all: &mut Corpus) {
    let te = "Transfer-Encoding: chunked\r\n";
    for size in [
        "+5",
        "-5",
        "0x5",
        "5h",
        "g",
        "",
        " 5",
        "\t5",
        "5 5",
        "5,5",
        "fffffffffffffffff",
        "10000000000000005",
        "ffffffffffffffff1",
        "5\u{b}",
        "\u{0665}",
        "5\0",
        "_5",
        "5.",
        "#5",
        "5\\",
    ] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
        all.add(Fate::Refused, format!("a chunk of {size:?} bytes"), post(te, &body));
    }
    for (name, body) in [
        ("a chunk's size ends with LF", "5\nhello\r\n0\r\n\r\n"),
        ("a chunk's size ends with CR", "5\rhello\r\n0\r\n\r\n"),
        ("a chunk ends with LF", "5\r\nhello\n0\r\n\r\n"),
        ("a chunk ends with CR", "5\r\nhello\r0\r\n\r\n"),
        ("a chunk longer than it says", "5\r\nhello!\r\n0\r\n\r\n"),
        ("a chunk shorter than it says", "5\r\nhell\r\n0\r\n\r\n"),
        ("a chunk without an end", "5\r\nhello0\r\n\r\n"),
        ("two ends of a chunk", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("LF as an extension's end", "5;a\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("the last chunk ends with LF", "5\r\nhello\r\n0\n\r\n"),
    ] {
        all.add(Fate::Refused, name, post(te, body));
    }
    // CVE-2025-55315: one reader ends the line at LF and sees a request, the other one sees an extension.
    let hidden = format!("5;\n{HIDDEN}\r\nhello\r\n0\r\n\r\n");
    all.add(Fate::Refused, "a request behind LF in an extension", post(te, &hidden));
    for (name, body) in [
        ("zeros before a size", "00000005\r\nhello\r\n000\r\n\r\n"),
        ("a size in capitals", "A\r\nhellohello\r\n0\r\n\r\n"),
        ("an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        ("an extension in quotes", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
    ] {
        all.add(Fate::Last, name, post(te, body));
    }
    for (name, body) in [
        ("spaces behind a size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("spaces before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n"),
    ] {
        all.add(Fate::Either, name, post(te, body));
    }
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000));
    all.add(Fate::Refused, "an extension of 20,000 bytes", post(te, &long));
    all.add(Fate::Waits, "no last chunk", post(te, "5\r\nhello\r\n"));
    all.add(Fate::Waits, "half a chunk", post(te, "ff\r\nhello"));
}

fn trailers(all: &mut Corpus) {
    let te = "Transfer-Encoding: chunked\r\n";
    for (name, trailer) in [
        ("a trailer", "X: y\r\n"),
        ("a length as a trailer", "Content-Length: 500\r\n"),
        ("a coding as a trailer", "Transfer-Encoding: chunked\r\n"),
        ("a host as a trailer", "Host: evil.example\r\n"),
    ] {
        all.add(Fate::Either, name, post(te, &format!("5\r\nhello\r\n0\r\n{trailer}\r\n")));
    }
    for (name, trailer) in [
        ("a trailer that ends with LF", "X: y\n\n"),
        ("a trailer without a colon", "GET / HTTP/1.1\r\n\r\n"),
        ("a request as a trailer", HIDDEN),
    ] {
        all.add(Fate::Either, name, post(te, &format!("5\r\nhello\r\n0\r\n{trailer}\r\n")));
    }
}

/// Ends of lines, folded lines, and what stands in lines that must not.
fn lines(all: &mut Corpus) {
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
fn names(all: &mut Corpus) {
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

fn targets(all: &mut Corpus) {
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

fn methods(all: &mut Corpus) {
    for method in ["PATCH", "DELETE", "LOCK", "get", "FOO"] {
        let head = format!(
            "{method} /channels/target-{{n}} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
        );
        all.add(Fate::Judged, format!("the method {method}"), head.into_bytes());
    }
    let connect = "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    all.add(Fate::Either, "CONNECT", connect.into());
    let upgrade = format!(
        "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello"
    );
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
fn early(all: &mut Corpus) {
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
