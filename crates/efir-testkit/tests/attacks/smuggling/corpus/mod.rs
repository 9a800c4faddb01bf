//! Raw requests on whose borders two readers could disagree, and what has to become of each.
//!
//! `{n}` stands for the four digits of the run's number, so that every one has channels of its own: `target-{n}` is what the request is about,
//! `smuggled-{n}` is named by a request that hides in a body. Knows nothing of connections; `judge.rs` sends and judges.

mod bodies;
mod heads;

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
    bodies::lengths(&mut all);
    bodies::two_lengths(&mut all);
    bodies::codings(&mut all);
    bodies::both(&mut all);
    bodies::chunks(&mut all);
    bodies::trailers(&mut all);
    heads::lines(&mut all);
    heads::names(&mut all);
    heads::targets(&mut all);
    heads::methods(&mut all);
    heads::early(&mut all);
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
