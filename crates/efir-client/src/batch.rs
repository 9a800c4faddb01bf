//! The answer of a poll (docs/protocol.md §4) as the events that a stream would have given.

use std::collections::VecDeque;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Answer;
use crate::error::ClientError;
use crate::event::{BatchEnd, Event};
use crate::presence::PresenceState;
use crate::subscription::{Head, Subscription};
use crate::wire::{self, Gap, Problem};

#[derive(Deserialize)]
struct Batch<'a> {
    gap: Option<Gap>,
    #[serde(default)]
    gaps: Vec<Gap>,
    #[serde(default)]
    problems: Vec<Problem>,
    #[serde(default)]
    presence: States,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    cursor: String,
    more: bool,
}

/// Of one channel, or of several.
#[derive(Deserialize)]
#[serde(untagged)]
enum States {
    One(Box<PresenceState>),
    Several(Vec<PresenceState>),
}

impl Default for States {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// A complete poll as a subscription that ends.
pub(crate) fn subscription(answer: &Answer) -> Result<Subscription, ClientError> {
    let head = Head { status: answer.status, headers: answer.headers.clone() };
    let mut events = VecDeque::new();
    let mut end = BatchEnd { retry_after: answer.retry_after(), ..BatchEnd::default() };
    if answer.status != StatusCode::NOT_MODIFIED {
        let batch: Batch<'_> = wire::json(&answer.body, "a batch")?;
        events.extend(batch.gap.into_iter().chain(batch.gaps).map(Event::Gap));
        events.extend(batch.problems.into_iter().map(Event::Problem));
        match batch.presence {
            States::One(state) => events.push_back(Event::Presence(*state)),
            States::Several(states) => events.extend(states.into_iter().map(Event::Presence)),
        }
        for message in &batch.messages {
            events.push_back(Event::Message(wire::message_view(&wire::part(&answer.body, message))?));
        }
        end.cursor = Some(batch.cursor);
        end.more = batch.more;
    }
    events.push_back(Event::BatchEnd(end));
    Ok(Subscription::complete(head, events))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::time::Duration;

    async fn events(body: &'static str) -> Vec<Event> {
        let headers =
            HeaderMap::from_iter([(http::header::RETRY_AFTER, http::HeaderValue::from_static("2"))]);
        let answer = Answer { status: StatusCode::OK, headers, body: body.into() };
        let mut subscription = subscription(&answer).unwrap();
        let mut events = Vec::new();
        while let Some(event) = subscription.next().await.unwrap() {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn a_gap_comes_before_the_messages() {
        let events = events(
            r#"{"channel":"a","gap":{"channel":"a","reason":"trimmed","after":"e-1","resume_from":"e-4","epoch":"e"},
               "messages":[{"channel":"a","position":"e-5","time":1,"data":{"x": 1}}],"cursor":"e-5","more":true}"#,
        )
        .await;
        assert!(matches!(&events[0], Event::Gap(gap) if gap.resume_from == "e-4"));
        assert!(matches!(&events[1], Event::Message(message)
            if message.raw == r#"{"channel":"a","position":"e-5","time":1,"data":{"x": 1}}"#));
        let end =
            BatchEnd { cursor: Some("e-5".into()), more: true, retry_after: Some(Duration::from_secs(2)) };
        assert_eq!(events[2..], [Event::BatchEnd(end)]);
    }

    #[tokio::test]
    async fn several_channels_have_gaps_and_problems() {
        let events = events(
            r#"{"messages":[],"gaps":[{"channel":"a","reason":"expired","resume_from":"e-4","epoch":"e"}],
               "problems":[{"code":"invalid_channel","channel":".."}],"cursor":"T","more":false}"#,
        )
        .await;
        assert!(matches!(&events[..], [Event::Gap(_), Event::Problem(problem), Event::BatchEnd(_)]
            if problem.channel.as_deref() == Some("..")));
    }

    #[tokio::test]
    async fn not_modified_is_an_empty_batch() {
        let answer =
            Answer { status: StatusCode::NOT_MODIFIED, headers: HeaderMap::new(), body: bytes::Bytes::new() };
        let mut subscription = subscription(&answer).unwrap();
        assert_eq!(subscription.next().await.unwrap(), Some(Event::BatchEnd(BatchEnd::default())));
        assert_eq!(subscription.next().await.unwrap(), None);
    }

    #[test]
    fn a_batch_of_the_wrong_shape_is_refused() {
        let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: "{}".into() };
        assert!(matches!(subscription(&answer), Err(ClientError::Protocol(_))));
    }
}
