//! Requests and what becomes of them: transports, refusals, starts.

use efir_core::{Cursor, Limits, Start, Times};
use efir_engine::Hub;
use http::{Request, request::Builder};

use super::*;
use crate::{CarrierHint, Site, SiteOptions};

const CURSOR: &str = "00000000001-7";

fn site() -> Site {
    Site::new(Hub::new(Limits::default(), Times::default()), SiteOptions::default())
}

fn get(uri: &str) -> Builder {
    Request::get(uri).header("host", "localhost")
}

fn socket(uri: &str) -> Builder {
    get(uri).header("connection", "keep-alive, Upgrade").header("upgrade", "websocket")
}

fn chosen_by(request: Builder) -> Result<&'static str, Code> {
    let parts = request.body(()).unwrap().into_parts().0;
    let query = Query::parse(parts.uri.query());
    negotiate(&parts, &query).map(|row| row.name).map_err(|problem| problem.code)
}

fn parse(request: Builder) -> Result<ReadRequest, Problem> {
    let site = site();
    let parts = request.body(()).unwrap().into_parts().0;
    let query = Query::parse(parts.uri.query());
    let call = Call { site: &site, cors: Cors::default(), hint: CarrierHint::Slab };
    let transport = negotiate(&parts, &query)?;
    match parts.uri.path().strip_prefix("/channels/").map(query::decode_path) {
        Some(name) => ReadRequest::parse(&call, &parts, &query, Channels::One(&name), transport),
        None => ReadRequest::parse(&call, &parts, &query, Channels::FromQuery, transport),
    }
}

fn start_of(request: Builder) -> Result<Start, Code> {
    let asked = parse(request).map_err(|problem| problem.code)?;
    Ok(asked.scope.into_channels().remove(0).1)
}

#[test]
fn transports() {
    const EVENTS: &str = "text/event-stream";
    const LINES: &str = "application/x-ndjson";
    let accepting = |accept: &str| get("/channels/a").header("accept", accept);
    let table = [
        (get("/channels/a"), Ok("short-poll")),
        (get("/channels/a?after=x-1"), Ok("short-poll")),
        (get("/channels/a?wait=25"), Ok("long-poll")),
        (get("/channels/a?wait"), Ok("long-poll")),
        (get("/channels/a").header("prefer", "respond-async, wait=10"), Ok("long-poll")),
        (get("/channels/a").header("prefer", "wait=soon"), Ok("short-poll")),
        (accepting(EVENTS), Ok("sse")),
        (accepting("TEXT/Event-Stream;q=0.5"), Ok("sse")),
        (accepting(LINES), Ok("http-stream")),
        (accepting("application/x-ndjson, text/event-stream"), Ok("http-stream")),
        (accepting("text/event-stream, application/x-ndjson"), Ok("sse")),
        (accepting("text/event-stream;q=0, application/x-ndjson"), Ok("http-stream")),
        (accepting("text/html, */*"), Ok("short-poll")),
        (accepting(EVENTS).header("accept", LINES), Ok("sse")),
        (get("/channels/a?wait=5").header("accept", EVENTS), Ok("sse")),
        (socket("/channels/a"), Ok("websocket")),
        (socket("/channels/a").header("accept", EVENTS), Ok("websocket")),
        (socket("/channels/a").version(http::Version::HTTP_10), Ok("short-poll")),
        (get("/channels/a?transport=sse"), Ok("sse")),
        (get("/channels/a?transport=long-poll").header("accept", EVENTS), Ok("long-poll")),
        (get("/channels/a?transport=http-stream"), Ok("http-stream")),
        (get("/channels/a?transport=short-poll").header("accept", EVENTS), Ok("short-poll")),
        (socket("/channels/a?transport=websocket"), Ok("websocket")),
        (socket("/channels/a?transport=sse"), Err(Code::ConflictingRequest)),
        (get("/channels/a?transport=short-poll&wait=25"), Err(Code::ConflictingRequest)),
        (get("/channels/a?transport=sse&transport=websocket"), Err(Code::ConflictingRequest)),
        (get("/channels/a?transport=websocket"), Err(Code::UpgradeRequired)),
        (get("/channels/a?transport=pigeon"), Err(Code::InvalidRequest)),
    ];
    for (request, expected) in table {
        let shown = format!("{request:?}");
        assert_eq!(chosen_by(request), expected, "{shown}");
    }
}

#[test]
fn every_transport_can_be_named() {
    for row in TRANSPORTS {
        let uri = format!("/channels/a?transport={}", row.name);
        let request = if row.choice == Choice::Upgrade { socket(&uri) } else { get(&uri) };
        assert_eq!(chosen_by(request), Ok(row.name));
    }
}

#[test]
fn starts() {
    let after = |text: &str| Ok(Start::After(Cursor::parse(text).unwrap()));
    let lost = || Ok(Start::After(Cursor::lost()));
    let with_id = |uri: &str, id: &str| get(uri).header("last-event-id", id);
    let table = [
        (get("/channels/a"), Ok(Start::Now)),
        (get("/channels/a?last=5"), Ok(Start::Last(5))),
        (get("/channels/a?last=99999999999999999999999"), Ok(Start::Last(usize::MAX))),
        (get("/channels/a?after=start"), Ok(Start::Beginning)),
        (get("/channels/a?after=00000000001-7"), after(CURSOR)),
        (get("/channels/a?after=foreign-7"), after("foreign-7")),
        (with_id("/channels/a?after=x-1", CURSOR), after(CURSOR)),
        (with_id("/channels/a?last=3", CURSOR), after(CURSOR)),
        (with_id("/channels/a", "not a cursor"), lost()),
        (with_id("/channels/a?after=x-1", "чат"), lost()),
        (with_id("/channels/a?after=x-1", ""), after("x-1")),
        (get("/channels/a?after=x"), Err(Code::InvalidCursor)),
        (get("/channels/a?after="), Err(Code::InvalidCursor)),
        (get("/channels/a?last=x"), Err(Code::InvalidRequest)),
        (get("/channels/a?last=-1"), Err(Code::InvalidRequest)),
        (get("/channels/a?after=x-1&last=3"), Err(Code::ConflictingRequest)),
        (get("/channels/a%2Fb"), Err(Code::InvalidChannel)),
        (get("/channels/%FF"), Err(Code::InvalidChannel)),
        (get("/channels/"), Err(Code::InvalidChannel)),
        (get("/channels/cafe%CC%81"), Err(Code::InvalidChannel)),
        (get("/channels/a?limit=0"), Err(Code::InvalidRequest)),
        (get("/channels/a?wait=-1"), Err(Code::InvalidRequest)),
        (get("/channels/a?wait=NaN"), Err(Code::InvalidRequest)),
        (get("/channels/a?client=a/b"), Err(Code::InvalidRequest)),
        (get("/channels/a?payload=xml"), Err(Code::InvalidRequest)),
        (get("/subscribe?channel=a"), Ok(Start::Now)),
        (get("/subscribe?channel=a&after=start"), Ok(Start::Beginning)),
        (get("/subscribe?channel=a&after=00000000001-7"), Err(Code::InvalidCursor)),
        (with_id("/subscribe?channel=a&after=start", "junk"), lost()),
        (get("/subscribe"), Err(Code::InvalidRequest)),
        (get("/subscribe?channel="), Err(Code::InvalidChannel)),
    ];
    for (request, expected) in table {
        let shown = format!("{request:?}");
        assert_eq!(start_of(request), expected, "{shown}");
    }
}

#[test]
fn holds() {
    let wait = |request: Builder| parse(request).unwrap().wait;
    let asked = |ms| Wait { ms, is_preferred: false };
    assert_eq!(wait(get("/channels/a?wait=10")), asked(10_000));
    assert_eq!(wait(get("/channels/a?wait=1.25")), asked(1_250));
    assert_eq!(wait(get("/channels/a?wait=0")), asked(1_000));
    assert_eq!(wait(get("/channels/a?wait=99999999999999999999")), asked(110_000));
    assert_eq!(wait(get("/channels/a?transport=long-poll")), asked(25_000));
    assert_eq!(
        wait(get("/channels/a").header("prefer", "wait=\"3\"")),
        Wait { ms: 3_000, is_preferred: true }
    );
    assert_eq!(wait(get("/channels/a?wait=4").header("prefer", "wait=3")), asked(4_000));
    assert_eq!(asked(25_000).seconds(), "25");
    assert_eq!(asked(1_250).seconds(), "1.25");
    assert_eq!(asked(1_005).seconds(), "1.005");
}

#[test]
fn several_channels() {
    let one_bad = parse(get("/subscribe?channel=a&channel=..&channel=b&channel=a")).unwrap();
    let Scope::Several { channels, bad } = one_bad.scope else { panic!("several") };
    assert_eq!(channels.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bad.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::InvalidChannel]);
    assert!(bad[0].detail.contains("\"..\""), "{}", bad[0].detail);

    let many: Vec<_> = (0..101).map(|n| format!("channel=c{n}")).collect();
    let problem = parse(get(&format!("/subscribe?{}", many.join("&")))).unwrap_err();
    assert_eq!((problem.code, problem.limit), (Code::TooManyChannels, Some(("subscribe_channels_max", 100))));
}

#[test]
fn a_body_may_name_a_start_for_each_channel() {
    let parts = get("/subscribe").body(()).unwrap().into_parts().0;
    let query = Query::parse(None);
    let resolve = |json: &str| {
        let wanted = Wanted::parse(json.as_bytes())?;
        Channels::Listed(&wanted).resolve(&parts, &query, &Limits::default())
    };
    let scope =
        resolve(r#"{"channels":["a",{"channel":"b","after":"00000000001-7"},{"channel":"c","last":2}]}"#)
            .unwrap();
    let starts: Vec<_> = scope.into_channels().into_iter().map(|(_, start)| start).collect();
    assert_eq!(starts, [Start::Now, Start::After(Cursor::parse(CURSOR).unwrap()), Start::Last(2)]);

    let Scope::Several { bad, channels } =
        resolve(r#"{"channels":["a",{"channel":"b","after":"?"}]}"#).unwrap()
    else {
        panic!("several")
    };
    assert_eq!((channels.len(), bad[0].code), (1, Code::InvalidCursor));
    assert_eq!(bad[0].channel.as_deref(), Some("b"));
    assert_eq!(resolve("{").unwrap_err().code, Code::InvalidJson);
    assert_eq!(resolve(r#"{"channel":"a"}"#).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(resolve(r#"{"channels":[1]}"#).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(resolve(r#"{"channels":[]}"#).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn the_next_url_keeps_what_the_request_asked_for() {
    let link =
        |request: Builder| parse(request).unwrap().next.link("E-1").unwrap().to_str().unwrap().to_owned();
    assert_eq!(link(get("/channels/chat?last=3")), "</channels/chat?after=E-1>; rel=\"next\"");
    assert_eq!(
        link(get("/channels/chat?wait=5&limit=2")),
        "</channels/chat?after=E-1&limit=2&wait=5>; rel=\"next\""
    );
    assert_eq!(
        link(get("/channels/chat").header("prefer", "wait=7")),
        "</channels/chat?after=E-1&wait=7>; rel=\"next\""
    );
    assert_eq!(
        link(get("/subscribe?channel=a&channel=%D0%B6&client=me")),
        "</subscribe?after=E-1&channel=a&channel=%D0%B6&client=me>; rel=\"next\""
    );
}
