//! The requests and answers on one connection of a visitor, as far as the lab must understand them: requests lose the prefix of their
//! target, a request that is not for this visitor's network is told, and answers are known to end.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use super::{
    super::Access,
    body::{BadFraming, Body},
    target::{begins_via, empty_lines, own_target},
};

/// A head, first line included.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Its lines.
const LINES_MAX: usize = 100;

/// What was said so far.
#[derive(Debug)]
pub(super) struct Dialogue {
    visitor: String,
    access: Access,
    up: Up,
    down: Down,
    /// The part of an answer's head that has come.
    head: BytesMut,
    /// Requests without a whole answer.
    asked: VecDeque<Asked>,
}

#[derive(Debug)]
enum Up {
    /// Before a request.
    Head,
    Body(Body),
    /// An upgrade was asked for; what follows depends on the answer.
    Upgrading,
    Tunnel,
}

#[derive(Debug)]
enum Down {
    Head,
    Body(Body),
    /// Whatever it is now, it has no end but the connection's.
    Opaque,
    Tunnel,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    is_head: bool,
}

/// What stands at the beginning of the rest of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing whole.
    More,
    /// A request that is not for this network, or that may not go through any.
    Elsewhere,
    /// Nothing that HTTP allows.
    Bad,
}

impl Dialogue {
    pub(super) fn new(visitor: &str, access: Access) -> Self {
        Self {
            visitor: visitor.to_owned(),
            access,
            up: Up::Head,
            down: Down::Head,
            head: BytesMut::new(),
            asked: VecDeque::new(),
        }
    }

    /// Whether every request has its answer and no further one has begun.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.up, Up::Head) && self.asked.is_empty()
    }

    /// Whether a head has to come next from the visitor.
    pub(super) fn awaits_head(&self) -> bool {
        matches!(self.up, Up::Head)
    }

    /// Whether an upgrade has made bytes of the connection.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self.down, Down::Tunnel)
    }

    /// Moves what may go to the server from `input` to `out`, without the prefix of its target.
    pub(super) fn up(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Next {
        while !input.is_empty() {
            match &mut self.up {
                Up::Tunnel => out.extend_from_slice(&input.split()),
                Up::Upgrading => return Next::More,
                Up::Body(body) => {
                    let Ok(count) = body.take(input) else { return Next::Bad };
                    out.extend_from_slice(&input.split_to(count));
                    if body.is_over() {
                        self.up = Up::Head;
                    }
                }
                Up::Head => match self.begin(input, out) {
                    Ok(true) => {}
                    Ok(false) => return Next::More,
                    Err(next) => return next,
                },
            }
        }
        Next::More
    }

    /// One request's head; false where it has not come whole.
    fn begin(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<bool, Next> {
        input.advance(empty_lines(input));
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut head = httparse::Request::new(&mut lines);
        let length = match head.parse(input) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => return Ok(false),
            Ok(_) | Err(_) => return Err(Next::Bad),
        };
        if begins_via(input) != Some(self.visitor.as_str()) || !self.access.admits_head(&head) {
            return Err(Next::Elsewhere);
        }
        let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
        let Some((_, own)) = own_target(target) else { return Err(Next::Bad) };
        let body = Body::announced(head.headers).map_err(|BadFraming| Next::Bad)?;
        let is_upgrade = head.headers.iter().any(|line| line.name.eq_ignore_ascii_case("upgrade"));
        self.asked.push_back(Asked { is_head: method == "HEAD" });
        self.up = match body.filter(|body| !body.is_over()) {
            Some(body) => Up::Body(body),
            None if is_upgrade => Up::Upgrading,
            None => Up::Head,
        };
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(if own.starts_with('/') { b" " } else { b" /" });
        out.extend_from_slice(own.as_bytes());
        let rest = method.len() + 1 + target.len();
        out.extend_from_slice(input.get(rest..length).unwrap_or_default());
        input.advance(length);
        Ok(true)
    }

    /// Follows what comes from the server; gives the number of leading bytes up to which whole answers go, or that need not wait.
    pub(super) fn down(&mut self, bytes: &[u8]) -> usize {
        let (mut at, mut whole) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.down {
                Down::Tunnel => return bytes.len(),
                Down::Opaque => return whole,
                Down::Body(body) => match body.take(rest) {
                    Ok(count) => {
                        at += count;
                        if body.is_over() {
                            self.answered();
                            whole = at;
                        }
                    }
                    Err(BadFraming) => self.down = Down::Opaque,
                },
                Down::Head => {
                    let (count, is_whole) = self.answer(rest);
                    at += count;
                    if is_whole {
                        whole = at;
                    }
                }
            }
        }
        whole
    }

    /// One answer's head, or a part of it; the bytes taken, and whether nothing follows it.
    fn answer(&mut self, bytes: &[u8]) -> (usize, bool) {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut head = httparse::Response::new(&mut lines);
        let length = match head.parse(&self.head) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.head.len() < HEAD_BYTES_MAX => return (bytes.len(), false),
            Ok(_) | Err(_) => {
                (self.head, self.down) = (BytesMut::new(), Down::Opaque);
                return (bytes.len(), false);
            }
        };
        let status = head.code.unwrap_or_default();
        let body = Body::announced(head.headers);
        self.head = BytesMut::new();
        let taken = length - before;
        if status == 101 {
            (self.up, self.down) = (Up::Tunnel, Down::Tunnel);
            return (taken, true);
        }
        if status < 200 {
            // Something before the answer proper.
            return (taken, true);
        }
        let has_none = matches!(status, 204 | 304) || self.asked.front().is_some_and(|asked| asked.is_head);
        let body = match body {
            _ if has_none => Body::Bytes(0),
            Ok(Some(body)) => body,
            Ok(None) | Err(BadFraming) => Body::UntilEnd,
        };
        if body.is_over() {
            self.answered();
            return (taken, true);
        }
        self.down = Down::Body(body);
        (taken, false)
    }

    /// An answer has ended.
    fn answered(&mut self) {
        self.asked.pop_front();
        self.down = Down::Head;
        if matches!(self.up, Up::Upgrading) && self.asked.is_empty() {
            // Refused: requests follow.
            self.up = Up::Head;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Dialogue {
        Dialogue::new("v", Access::Neighbours)
    }

    fn up(dialogue: &mut Dialogue, text: &str) -> (Next, String, String) {
        let (mut input, mut out) = (BytesMut::from(text), BytesMut::new());
        let next = dialogue.up(&mut input, &mut out);
        (next, String::from_utf8(out.to_vec()).unwrap(), String::from_utf8(input.to_vec()).unwrap())
    }

    #[test]
    fn requests_lose_their_prefix_and_nothing_else() {
        let mut dialogue = fresh();
        let text = "POST /lab/via/v/channels/a?b=/lab/via/v/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /lab/via/v?x HTTP/1.1\r\n\r\n";
        let (next, out, rest) = up(&mut dialogue, text);
        let expected = "POST /channels/a?b=/lab/via/v/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /?x HTTP/1.1\r\n\r\n";
        assert_eq!((next, out.as_str(), rest.as_str()), (Next::More, expected, ""));
        assert!(!dialogue.is_at_rest());
    }

    #[test]
    fn empty_lines_before_a_request_do_not_go_with_it() {
        let mut dialogue = fresh();
        let text = "\r\n\nGET /lab/via/v/info HTTP/1.1\r\n\r\n\r\nGET /lab/via/v/a HTTP/1.1\r\n\r\n\r\n";
        let expected = "GET /info HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
        assert_eq!(up(&mut dialogue, text), (Next::More, expected.to_owned(), String::new()));
    }

    #[test]
    fn a_request_for_somebody_else_stays_where_it_is() {
        for text in [
            "PUT /lab/network/v HTTP/1.1\r\n\r\n",
            "GET /lab/via/w/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /lab/via/v/ HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
        ] {
            let mut dialogue = fresh();
            assert_eq!(up(&mut dialogue, text), (Next::Elsewhere, String::new(), text.to_owned()));
        }
        let part = "GET /lab/via/v/ HTTP/1.1\r\nHost";
        assert_eq!(up(&mut fresh(), part), (Next::More, String::new(), part.to_owned()));
        assert_eq!(up(&mut fresh(), "\u{1}\r\n\r\n").0, Next::Bad);
    }

    #[test]
    fn answers_are_known_to_end() {
        let mut dialogue = fresh();
        up(&mut dialogue, "GET /lab/via/v/a HTTP/1.1\r\n\r\nHEAD /lab/via/v/b HTTP/1.1\r\n\r\n");
        let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let second = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let text = [first, second].concat();
        for cut in 0..text.len() {
            let mut dialogue = fresh();
            up(&mut dialogue, "GET /lab/via/v/a HTTP/1.1\r\n\r\nHEAD /lab/via/v/b HTTP/1.1\r\n\r\n");
            let whole = dialogue.down(&text.as_bytes()[..cut]);
            assert_eq!(whole, if cut >= first.len() { first.len() } else { 0 }, "{cut}");
            assert_eq!(dialogue.down(&text.as_bytes()[cut..]), text.len() - cut, "{cut}");
            assert!(dialogue.is_at_rest(), "{cut}");
        }
        assert!(!dialogue.is_at_rest());
    }

    #[test]
    fn an_upgrade_makes_a_tunnel_only_when_it_is_answered_so() {
        let ask = "GET /lab/via/v/socket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        let mut dialogue = fresh();
        up(&mut dialogue, ask);
        assert_eq!(up(&mut dialogue, "frames"), (Next::More, String::new(), "frames".to_owned()));
        assert!(dialogue.down(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81") > 0 && dialogue.is_tunnel());
        assert_eq!(up(&mut dialogue, "frames"), (Next::More, "frames".to_owned(), String::new()));
        let mut refused = fresh();
        up(&mut refused, ask);
        refused.down(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
        assert!(refused.is_at_rest() && !refused.is_tunnel());
        assert_eq!(up(&mut refused, "GET / HTTP/1.1\r\n\r\n").0, Next::Elsewhere);
    }
}
