//! Publishing by POST or PUT: the body is the payload, its `Content-Type` says of which kind (docs/protocol.md §6).

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use efir_access::{Action, RuleOptions};
use efir_core::{Code, Payload, PayloadError, Problem, wire};
use efir_engine::{Hub, Publish};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use http_body::Frame;
use tokio::time::Instant;

use crate::{
    access, account, head, place::channel_name, problem::Refused, query::Query, reply::Reply, request,
    site::Site,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes that hold any position of ours.
const CURSOR_BYTES: usize = 28;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 128;
/// Bytes of a refused body that are read to its end, and for how long, so that its sender gets the answer.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
const DISCARD_MAX: Duration = Duration::from_secs(2);

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyMost {
    pub(crate) bytes_max: usize,
    ms: u64,
    /// From when on it has to come at this pace.
    grace_ms: u64,
    bytes_per_s_min: u64,
    /// The name of the limit in problems.
    pub(crate) limit: &'static str,
}

impl BodyMost {
    /// At most so many bytes, by the limit of this name, at the pace that the hub asks for.
    pub(crate) fn new(hub: &Hub, bytes_max: usize, limit: &'static str) -> Self {
        let (limits, times) = (hub.limits(), hub.times());
        let bytes_per_s_min = limits.body_bytes_per_s_min.max(1);
        Self { bytes_max, ms: times.body_ms_max, grace_ms: times.body_grace_ms, bytes_per_s_min, limit }
    }

    fn paced_ms(&self, bytes: usize) -> u64 {
        self.grace_ms.saturating_add((bytes as u64).saturating_mul(1_000) / self.bytes_per_s_min)
    }

    /// How long after its head the next part of a body may come, of which so many bytes are there.
    fn time_max(&self, bytes: usize) -> Duration {
        Duration::from_millis(self.ms.min(self.paced_ms(bytes)))
    }

    /// What is wrong with a body whose next part has not come in time.
    fn late(&self, bytes: usize) -> Problem {
        let Self { ms, bytes_per_s_min, .. } = *self;
        if self.paced_ms(bytes) < ms {
            let detail = format!("the body comes slower than {bytes_per_s_min} bytes a second");
            Problem::new(Code::RequestTimeout, detail).with_limit("body_bytes_per_s_min", bytes_per_s_min)
        } else {
            let detail = format!("the body did not arrive within {ms} ms");
            Problem::new(Code::RequestTimeout, detail).with_limit("body_ms_max", ms)
        }
    }
}

/// For a carrier that collects bodies itself: how long after its head the next part of one may come, of which so many bytes are there,
/// and what is wrong when it does not.
pub fn body_pace(hub: &Hub, bytes: usize) -> (Duration, impl FnOnce() -> Problem) {
    let most = BodyMost::new(hub, usize::MAX, "message_bytes_max");
    (most.time_max(bytes), move || most.late(bytes))
}

/// Until when a body that is being read has to be there.
#[derive(Debug, Clone, Copy)]
struct Pace {
    begin: Instant,
    most: BodyMost,
}

impl Pace {
    fn begin(most: BodyMost) -> Self {
        Self { begin: Instant::now(), most }
    }

    /// Waits for the next part, when so many bytes are there.
    async fn in_time<T>(&self, bytes: usize, next: impl Future<Output = T>) -> Result<T, Problem> {
        let end = self.begin + self.most.time_max(bytes);
        tokio::time::timeout_at(end, next).await.map_err(|_| self.most.late(bytes))
    }
}

/// What a `Content-Type` makes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    /// Said to be text: refused when it is not.
    Text,
    /// Nothing said, or curl's default: text if it is.
    TextOrBytes,
    Bytes,
}

pub(crate) async fn publish<B>(site: &Site, parts: &Parts, name: &[u8], body: B) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    let channel = channel_name(name)?;
    let query = Query::parse(parts.uri.query());
    request::check_client(&query)?;
    let visitor = access::visitor(site, parts, &query)?;
    // Nobody's body is read who may not publish.
    let options = visitor.as_ref().map(|visitor| visitor.judge(Action::Publish, &channel)).transpose()?;
    let key = key(&parts.headers)?;
    let kind = Kind::of(&parts.headers)?;
    let own_max = options.as_ref().and_then(|options| options.message_bytes_max).unwrap_or(usize::MAX);
    let bytes_max = site.hub().limits().message_bytes_max.min(own_max);
    let most = BodyMost::new(site.hub(), bytes_max, "message_bytes_max");
    let payload = kind.payload(collect(parts, body, most).await?).map_err(|error| payload_problem(&error))?;
    let in_channel = |problem: Problem| problem.with_channel(channel.clone());
    let mut account = account::of(&parts.extensions);
    let mut from = None;
    if let (Some(visitor), Some(options)) = (&visitor, &options) {
        account.set_holder(visitor.holder(site.hub()));
        from = visitor.from(options);
    }
    account.pay(site.hub().rates(), payload.len()).map_err(in_channel)?;
    let publish = Publish { channel: &channel, payload: &payload, key, from };
    let receipt = site.hub().publish(&publish).map_err(|error| in_channel(error.problem()))?;
    let mut response = head::json(wire::receipt::to_json(&receipt), "no-store");
    let mut cursor = Vec::with_capacity(CURSOR_BYTES);
    receipt.position.write_to(&mut cursor);
    if let Ok(cursor) = HeaderValue::from_maybe_shared(Bytes::from(cursor)) {
        response.headers_mut().insert(head::EFIR_CURSOR, cursor);
    }
    Ok(Reply::Whole(response))
}

/// Refuses a payload that is larger than the rule of its channel allows; the node's own limit is looked at elsewhere.
///
/// # Errors
/// `payload_too_large`.
pub(crate) fn check_size(options: Option<&RuleOptions>, bytes: usize) -> Result<(), Problem> {
    let Some(bytes_max) = options.and_then(|options| options.message_bytes_max) else { return Ok(()) };
    if bytes <= bytes_max {
        return Ok(());
    }
    let detail = format!("the payload has {bytes} bytes; at most {bytes_max} are allowed in this channel");
    Err(Problem::new(Code::PayloadTooLarge, detail).with_limit("message_bytes_max", bytes_max as u64))
}

/// What is wrong with a payload, as a problem.
pub(crate) fn payload_problem(error: &PayloadError) -> Problem {
    Problem::new(error.code(), format!("the payload is refused: {error}"))
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.map(HeaderValue::as_bytes).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            let detail = "a body with Content-Encoding is not accepted; send it as it is";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::TextOrBytes) };
        let Ok(content_type) = content_type.to_str() else { return Ok(Self::Bytes) };
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media.eq_ignore_ascii_case(name);
        let begins =
            |name: &str| media.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        let ends = |name: &str| {
            let end = media.len().checked_sub(name.len()).and_then(|at| media.get(at..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        Ok(match () {
            () if media.is_empty() || is("application/x-www-form-urlencoded") => Self::TextOrBytes,
            () if is("application/json") || ends("+json") => Self::Json,
            () if begins("text/") => Self::Text,
            () => Self::Bytes,
        })
    }

    fn payload(self, body: Bytes) -> Result<Payload, PayloadError> {
        match self {
            Self::Json => Payload::json(body),
            Self::Text => Payload::text(body),
            Self::TextOrBytes => Ok(Payload::text(body.clone()).unwrap_or_else(|_| Payload::bytes(body))),
            Self::Bytes => Ok(Payload::bytes(body)),
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = keys.next() else { return Ok(None) };
    let key = first.to_str().ok().filter(|key| is_key(key) && keys.next().is_none());
    key.map(Some).ok_or_else(|| invalid_key("Idempotency-Key"))
}

/// 1–128 bytes of visible ASCII.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn invalid_key(name: &str) -> Problem {
    Problem::new(
        Code::InvalidKey,
        format!("`{name}` is one text of 1 to {KEY_BYTES_MAX} visible ASCII characters"),
    )
}

/// Reads a body, but never more of it than is allowed.
///
/// # Errors
/// `payload_too_large` before anything is read where the length is declared; `request_timeout`.
pub(crate) async fn collect<B>(parts: &Parts, body: B, most: BodyMost) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes>,
{
    let too_large = |bytes: &str| {
        let detail = format!("the payload has {bytes} bytes; at most {} are allowed", most.bytes_max);
        Problem::new(Code::PayloadTooLarge, detail).with_limit(most.limit, most.bytes_max as u64)
    };
    let declared = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let declared = declared.or(body.size_hint().exact()).unwrap_or(0);
    let mut body = pin!(body);
    if declared > most.bytes_max as u64 {
        if !parts.headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large(&declared.to_string()));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let pace = Pace::begin(most);
    let read = async {
        while !body.is_end_stream() {
            let next = pace.in_time(first.len() + rest.len(), next_frame(body.as_mut())).await?;
            let Some(frame) = next else { break };
            let Ok(frame) = frame else { return Err(cut_off()) };
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + rest.len() + data.len() > most.bytes_max {
                return Err(too_large(&format!("more than {}", most.bytes_max)));
            }
            // A body that comes in one piece, as almost all do, is not copied. Of one that does not, each piece would keep the buffer
            // that it was read into.
            if rest.is_empty() && body.is_end_stream() {
                first = data;
            } else {
                rest.extend_from_slice(data.chunk());
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    };
    let read = read.await;
    if read.as_ref().is_err_and(|problem| problem.code == Code::PayloadTooLarge) {
        discard(body).await;
    }
    read
}

async fn next_frame<B>(mut body: Pin<&mut B>) -> Option<Result<Frame<Bytes>, B::Error>>
where
    B: http_body::Body<Data = Bytes>,
{
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

/// Reads on, for a while, what is refused already: a client that is still sending when the connection closes gets a reset instead of
/// the answer.
async fn discard<B>(mut body: Pin<&mut B>)
where
    B: http_body::Body<Data = Bytes>,
{
    let mut left = DISCARD_BYTES_MAX;
    let read = async {
        while let Some(Ok(frame)) = next_frame(body.as_mut()).await {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // What comes later than this meets a closed connection.
    let _ = tokio::time::timeout(DISCARD_MAX, read).await;
}

fn cut_off() -> Problem {
    Problem::new(Code::InvalidRequest, "the body broke off")
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        task::{Context, Poll},
    };

    use efir_core::{Limits, Times};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn content_types() {
        let table = [
            (None, Kind::TextOrBytes),
            (Some(""), Kind::TextOrBytes),
            (Some("application/json"), Kind::Json),
            (Some("Application/JSON; charset=utf-8"), Kind::Json),
            (Some("application/activity+json"), Kind::Json),
            (Some("application/Activity+JSON"), Kind::Json),
            (Some("TEXT/plain"), Kind::Text),
            (Some("application/x-www-form-urlencoded"), Kind::TextOrBytes),
            (Some("text/plain"), Kind::Text),
            (Some("text/plain;charset=UTF-8"), Kind::Text),
            (Some("text/html"), Kind::Text),
            (Some("application/octet-stream"), Kind::Bytes),
            (Some("image/png"), Kind::Bytes),
            (Some("application/jsonx"), Kind::Bytes),
        ];
        for (content_type, kind) in table {
            let headers = content_type.map(|value| headers(&[("content-type", value)])).unwrap_or_default();
            assert_eq!(Kind::of(&headers).unwrap(), kind, "{content_type:?}");
        }
        assert!(Kind::of(&headers(&[("content-encoding", "gzip")])).is_err());
        assert!(Kind::of(&headers(&[("content-encoding", "identity")])).is_ok());
    }

    #[test]
    fn bytes_that_are_not_text() {
        let bytes = Bytes::from_static(b"\xff\xfe");
        assert!(matches!(Kind::Text.payload(bytes.clone()), Err(PayloadError::NotUtf8 { .. })));
        assert_eq!(Kind::TextOrBytes.payload(bytes.clone()), Ok(Payload::Bytes(bytes.clone())));
        assert_eq!(Kind::Bytes.payload(bytes.clone()), Ok(Payload::Bytes(bytes)));
        assert_eq!(Kind::TextOrBytes.payload(Bytes::new()), Ok(Payload::Text(Bytes::new())));
        assert!(Kind::Json.payload(Bytes::new()).is_err());
    }

    #[test]
    fn keys() {
        let long: &'static str = Box::leak("k".repeat(129).into_boxed_str());
        for (value, is_good) in
            [("k", true), ("a-b_c~\"x\"", true), ("", false), ("a b", false), ("ключ", false), (long, false)]
        {
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, value.clone());
            assert_eq!(key(&headers).is_ok(), is_good, "{value:?}");
            headers.append(IDEMPOTENCY_KEY, value);
            assert!(key(&headers).is_err());
        }
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let most = most(&Limits::default(), &Times::default());
        let parts = http::Request::new(()).into_parts().0;
        let full = |text: &'static str| http_body_util::Full::new(Bytes::from_static(text.as_bytes()));
        assert_eq!(collect(&parts, full("abc"), most).await.unwrap(), "abc");
        let problem = collect(&parts, full("abcd"), most).await.unwrap_err();
        assert_eq!((problem.code, problem.limit), (Code::PayloadTooLarge, Some(("message_bytes_max", 3))));
    }

    fn most(limits: &Limits, times: &Times) -> BodyMost {
        BodyMost::new(&Hub::new(limits.clone(), times.clone()), 3, "message_bytes_max")
    }

    /// Says something and then nothing more.
    struct Halting(Option<Bytes>);

    impl http_body::Body for Halting {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
        }
    }

    #[tokio::test]
    async fn a_body_that_halts_is_given_up_by_its_pace_or_by_its_time() {
        let parts = http::Request::new(()).into_parts().0;
        let slow = Limits { body_bytes_per_s_min: 1_000, ..Limits::default() };
        for (grace_ms, body_ms, limit) in
            [(5, 60_000, ("body_bytes_per_s_min", 1_000)), (60_000, 10, ("body_ms_max", 10))]
        {
            let times = Times { body_grace_ms: grace_ms, body_ms_max: body_ms, ..Times::default() };
            let body = Halting(Some(Bytes::from_static(b"ab")));
            let problem = collect(&parts, body, most(&slow, &times)).await.unwrap_err();
            assert_eq!((problem.code, problem.limit), (Code::RequestTimeout, Some(limit)));
        }
    }
}
