//! States and changes of members on the wire (docs/protocol.md §9).

use efir_core::presence::{Change, MemberLease, Members};

use super::*;

#[test]
fn members_are_the_documented_ones() {
    let limits = Limits::default();
    let id = |id: &str| MemberId::parse(id).unwrap();
    let lease = |number, transport| MemberLease { number, client: None, transport, until_ms: None };
    let mut members = Members::default();
    let who = Who::new(id("7cJ")).with_name("Аня", &limits).unwrap();
    let who = who.with_data(br#"{"colour": "red"}"#, &limits).unwrap();
    let entered = members.enter(&who, lease(1, Some("websocket")), 7, 9).unwrap();
    let with = |transports: &str| {
        format!(
            r#"{{"id":"7cJ","name":"Аня","data":{{"colour": "red"}},"transports":[{transports}],"since":7}}"#
        )
    };
    let told = |change: &Change, members: &Members| match wire::presence::change(change, members) {
        Some(Payload::Json(json)) => String::from_utf8(json.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&entered, &members), format!(r#"{{"enter":{}}}"#, with("\"websocket\"")));
    let updated = members.enter(&who, lease(2, Some("long-poll")), 8, 9).unwrap();
    let member = with("\"long-poll\",\"websocket\"");
    assert_eq!(told(&updated, &members), format!(r#"{{"update":{member}}}"#));
    let other = members.enter(&Who::new(id("x")), lease(3, None), 9, 9).unwrap();
    let bare = r#"{"id":"x","transports":[],"since":9}"#;
    assert_eq!(told(&other, &members), format!(r#"{{"enter":{bare}}}"#));
    let list = wire::presence::list(&members);
    assert_eq!(list, format!("[{member},{bare}]"));
    let Payload::Json(all) = wire::presence::state(&members, &list) else { panic!("JSON") };
    assert_eq!(all, format!(r#"{{"state":{{"count":2,"members":[{member},{bare}]}}}}"#));
    assert_eq!(wire::presence::count(&members), Payload::Json(Bytes::from_static(br#"{"count":2}"#)));
    let left = members.end(&id("x"), 3);
    assert_eq!(told(&left, &members), r#"{"leave":{"id":"x"}}"#);
    assert_eq!(wire::presence::change(&Change::Nothing, &members), None);
    let state = state(Some("[1]"));
    let frame = Control::Presence(&state).encode(Form::HttpStream);
    let wanted = format!(r#"{{"presence":{{"channel":"chat","cursor":"{E}-12","count":2,"members":[1]}}}}"#);
    assert_eq!(string(&frame.plain()).trim_end(), wanted);
    let (chat, cursor) = (chat(), Cursor::from(AT));
    for (reply, wanted) in [
        (
            Reply::Subscribed { channel: &chat, cursor: &cursor, presence: Some(&self::state(None)) },
            format!(
                r#"{{"channel":"chat","cursor":"{E}-12","presence":{{"channel":"chat","cursor":"{E}-12","count":2}}}}"#
            ),
        ),
        (Reply::Present { channel: &chat, count: 2 }, r#"{"channel":"chat","count":2}"#.into()),
    ] {
        let frame = Control::Reply { id: "1", reply }.encode(Form::Batch);
        assert_eq!(string(&frame.plain()), format!(r#"{{"id":1,"reply":{wanted}}}"#));
    }
    let event = Control::Presence(&state).encode(Form::Sse);
    assert!(string(&event.plain()).starts_with("event: presence\ndata: {\"channel\":"), "no id");
    assert!(all.iter().chain(list.iter()).all(|byte| !matches!(byte, b'\n' | b'\r')));
}
