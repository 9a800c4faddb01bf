//! Plain HTTP/1 requests as the server reads them by itself: wherever they are cut nothing changes, what follows is left alone, and
//! whatever another reader could end elsewhere is not plain.

use bytes::BytesMut;
use efir_core::Limits;
use efir_server::plain_requests::{Parsed, parse};

pub(crate) fn run(bytes: &[u8]) {
    let limits = Limits::default();
    let mut input = BytesMut::from(bytes);
    let Parsed::Whole(plain) = parse(&mut input, &limits) else {
        assert_eq!(input, bytes, "nothing is taken of what is not whole");
        return;
    };
    let used = plain.bytes;
    assert_eq!(input, bytes[used..], "what follows stays");
    check_end(&bytes[..used], plain.request.body());
    let shown = |bytes: &[u8]| {
        let mut input = BytesMut::from(bytes);
        match parse(&mut input, &limits) {
            Parsed::Whole(plain) => Some(format!("{:?} {}", plain.request, plain.keep_alive)),
            Parsed::PartOfHead | Parsed::PartOfBody(_) => None,
            other => panic!("{other:?} for a part of a plain request"),
        }
    };
    let all = shown(&bytes[..used]);
    assert_eq!(all, Some(format!("{:?} {}", plain.request, plain.keep_alive)));
    // Some places to cut it, the last byte among them.
    for cut in (1..used).step_by(1 + used / 16).chain(used.checked_sub(1).filter(|cut| *cut > 0)) {
        assert_eq!(shown(&bytes[..cut]), None, "cut at {cut}");
    }
}

/// What RFC 9112 §6.3 says of the end, read line by line.
fn check_end(mut request: &[u8], body: &[u8]) {
    // Empty lines before the first one are nobody's (RFC 9112 §2.2).
    while let Some(rest) = request.strip_prefix(b"\r\n") {
        request = rest;
    }
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the head") + 4;
    let head = &request[..end];
    assert_eq!(&request[end..], body);
    let newlines = head.iter().filter(|byte| **byte == b'\n').count();
    let ends = head.windows(2).filter(|two| two == b"\r\n").count();
    assert_eq!(newlines, ends, "a line ends with LF alone");
    let lengths: Vec<&[u8]> = values(head, b"content-length").collect();
    let length = match &lengths[..] {
        [] => 0,
        [one] => std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()).expect("a length"),
        more => panic!("{} lengths", more.len()),
    };
    assert_eq!(body.len(), length);
    assert_eq!(values(head, b"transfer-encoding").count(), 0);
}

fn values<'a>(head: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n').filter_map(move |line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let found = line[..colon].trim_ascii();
        found.eq_ignore_ascii_case(name).then(|| line[colon + 1..].trim_ascii())
    })
}
