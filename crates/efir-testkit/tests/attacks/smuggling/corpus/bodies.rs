//! Bodies on whose end two readers could disagree: lengths, codings, chunks and trailers.

use super::{CHUNKS, Corpus, Fate, HIDDEN, get, post};

pub(super) fn lengths(all: &mut Corpus) {
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

pub(super) fn two_lengths(all: &mut Corpus) {
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
pub(super) fn codings(all: &mut Corpus) {
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
pub(super) fn both(all: &mut Corpus) {
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

pub(super) fn chunks(all: &mut Corpus) {
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

pub(super) fn trailers(all: &mut Corpus) {
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
