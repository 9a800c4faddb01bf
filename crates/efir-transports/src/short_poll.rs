//! AJAX polling: one request, one answer with what there is, maybe nothing.

use bytes::Bytes;
use efir_core::{ChannelName, Cursor, ReadMost, Start, Times, Token};
use efir_engine::{Hub, Transport};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    Choice,
    poll::{Answer, Found},
    present::{self, StatesRoom},
    problem::Refused,
    reply::Reply,
    request::{ReadRequest, Scope},
    site::Site,
};

/// Conditional requests need the answer kept; nobody may use it without asking.
const CACHE_CONTROL: &str = "private, no-cache";

pub(crate) fn begin(site: &Site, mut asked: ReadRequest) -> Result<Reply, Refused> {
    if asked.entering.is_some() {
        present::enter_for(site.hub(), &asked, stay_ms(&asked, site.hub().times()))?;
    }
    let mut answer = Answer::of(&mut asked);
    // It begins and ends here.
    site.hub().counters().open(Transport::ShortPoll, 1);
    site.hub().counters().close(Transport::ShortPoll, 1);
    let mut found = match &asked.scope {
        Scope::One { channel, start } => read_one(site.hub(), channel, start, asked.limit),
        Scope::Several { channels, .. } => read_several(site.hub(), channels, asked.limit),
    };
    answer.add_problems(std::mem::take(&mut found.problems));
    let is_known =
        !answer.has_problems() && found.is_empty() && matches(asked.if_none_match.as_ref(), &found.cursor);
    if answer.is_large(&found) {
        let mut response = answer.in_pieces(&found, CACHE_CONTROL);
        say_when(site, &found, response.headers_mut());
        return Ok(Reply::Batch(response));
    }
    let mut response = answer.response(&found, CACHE_CONTROL);
    say_when(site, &found, response.headers_mut());
    Ok(Reply::Whole(if is_known { not_modified(response) } else { response }))
}

/// Says what the answer is known by, and when to ask again.
fn say_when(site: &Site, found: &Found, headers: &mut HeaderMap) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", found.cursor)) {
        headers.insert(header::ETAG, tag);
    }
    let interval_ms = if found.more { 0 } else { site.hub().times().poll_interval_ms };
    headers.insert(header::RETRY_AFTER, interval_ms.div_ceil(1_000).into());
}

/// How long a member stays until its next poll.
fn stay_ms(asked: &ReadRequest, times: &Times) -> u64 {
    // A long poll that was answered at once asks again at once.
    let is_held = asked.transport.choice == Choice::Wait;
    times.presence_grace_ms + if is_held { 0 } else { times.poll_interval_ms }
}

/// The newest `count` are wanted: then they are the limit, unless one was given.
fn limit_of(start: &Start, limit: Option<usize>) -> Option<usize> {
    match start {
        Start::Last(count) => Some(limit.unwrap_or(*count).min(*count)),
        _ => limit,
    }
}

pub(crate) fn read_one(hub: &Hub, channel: &ChannelName, start: &Start, limit: Option<usize>) -> Found {
    let mut found = Found::default();
    let most = hub.limits().batch(limit_of(start, limit));
    let cursor = read_into(hub, (channel, start), most, &mut found);
    found.cursor = cursor.to_string();
    found
}

/// Reads one channel; returns where it stands then.
fn read_into(
    hub: &Hub,
    (channel, start): (&ChannelName, &Start),
    most: ReadMost,
    found: &mut Found,
) -> Cursor {
    if matches!(start, Start::Now)
        && let Some(channel) = channel.members_of()
    {
        let state = hub.members(&channel);
        let cursor = state.cursor.into();
        found.presence.push(state);
        return cursor;
    }
    let read = hub.read(channel, start.clone(), most).read;
    found.more |= read.more;
    if let (Some(missed), Start::After(after)) = (read.gap, start) {
        found.gaps.push(missed.gap(channel, after));
    }
    found.messages.extend(read.messages);
    read.cursor.into()
}

/// Reads all channels. Each gets an equal share of the limit, and what the ones before it left of theirs.
fn read_several(hub: &Hub, channels: &[(ChannelName, Start)], limit: Option<usize>) -> Found {
    let mut found = Found::default();
    let mut left = hub.limits().batch(limit);
    let (mut cursors, mut room) = (Vec::with_capacity(channels.len()), StatesRoom::of(hub));
    for (index, (channel, start)) in channels.iter().enumerate() {
        let coming = channels.len() - index;
        let most = ReadMost { messages: left.messages.div_ceil(coming), bytes: left.bytes.div_ceil(coming) };
        let cursor = match start {
            Start::After(cursor) if most.messages == 0 => {
                found.more |= cursor.position() != Some(hub.position(channel));
                cursor.clone()
            }
            _ => {
                let (before, states) = (found.messages.len(), found.presence.len());
                let cursor = read_into(hub, (channel, start), most, &mut found);
                if let Some(state) = found.presence.get(states)
                    && let Err(problem) = room.take(channel, state)
                {
                    found.presence.truncate(states);
                    found.problems.push(problem);
                    continue;
                }
                let read = found.messages.get(before..).unwrap_or_default();
                left.messages = left.messages.saturating_sub(read.len());
                left.bytes =
                    left.bytes.saturating_sub(read.iter().map(|message| message.object().len()).sum());
                cursor
            }
        };
        cursors.push((channel, cursor));
    }
    found.cursor = Token::encode(cursors.iter().map(|(channel, cursor)| (*channel, cursor)));
    found
}

/// Weak comparison (RFC 9110 §8.8.3.2): proxies that recompress make strong tags weak.
fn matches(if_none_match: Option<&HeaderValue>, cursor: &str) -> bool {
    let Some(tags) = if_none_match.and_then(|tags| tags.to_str().ok()) else { return false };
    tags.split(',').map(str::trim).any(|tag| {
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(cursor)
    })
}

fn not_modified(mut response: Response<Bytes>) -> Response<Bytes> {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Bytes::new();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let matching = |tags: &str| matches(Some(&HeaderValue::from_str(tags).unwrap()), "E-1");
        for tags in ["\"E-1\"", "W/\"E-1\"", "\"x\", W/\"E-1\"", "*"] {
            assert!(matching(tags), "{tags}");
        }
        for tags in ["\"E-2\"", "E-1", "", "W/E-1", "\"E-1"] {
            assert!(!matching(tags), "{tags}");
        }
        assert!(!matches(None, "E-1"));
    }
}
