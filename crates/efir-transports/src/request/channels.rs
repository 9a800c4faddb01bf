//! Which channels a request reads, and from where: the path, the query, `Last-Event-ID`, or the JSON body of `/subscribe`.

use std::collections::HashSet;

use efir_core::{ChannelName, Code, Cursor, CursorError, Limits, Problem, Start, Token};
use http::{HeaderName, request::Parts};
use serde::Deserialize;

use super::{count, entering::WantedMember};
use crate::{
    place::{channel_name, readable_name},
    query::Query,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The channels of a request, as they were named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Channels<'a> {
    /// The decoded name in the path.
    One(&'a [u8]),
    /// The log of members of the channel with this decoded name in the path.
    Members(&'a [u8]),
    /// `?channel=a&channel=b`.
    FromQuery,
    /// The JSON body of `/subscribe`.
    Listed(&'a Wanted),
}

/// The channels of a request, understood.
#[derive(Debug)]
pub(crate) enum Scope {
    /// `/channels/{channel}`.
    One { channel: ChannelName, start: Start },
    /// `/subscribe`; what is wrong with single channels is told in the answer.
    Several { channels: Vec<(ChannelName, Start)>, bad: Vec<Problem> },
}

/// The JSON body of `/subscribe`: `{"channels":["a",{"channel":"b","after":"E-3"}]}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    channels: Vec<WantedChannel>,
    member: Option<WantedMember>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WantedChannel {
    Name(String),
    Place(WantedPlace),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedPlace {
    channel: String,
    after: Option<String>,
    last: Option<u64>,
    #[serde(default)]
    enter: bool,
}

/// The start that holds for all channels of a request that do not say their own.
#[derive(Debug)]
enum Overall {
    /// A malformed `Last-Event-ID`: the browser cannot mend it, so it is told what it may have missed.
    Lost,
    Token(Token),
    Start(Start),
}

impl Wanted {
    /// Reads the body.
    ///
    /// # Errors
    /// `invalid_json` or `invalid_request`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            let code = if error.is_data() { Code::InvalidRequest } else { Code::InvalidJson };
            let example = r#"{"channels":["a",{"channel":"b","after":"CURSOR"}]}"#;
            Problem::new(code, format!("the body must look like {example}: {error}"))
        })
    }
}

impl Wanted {
    /// Who enters.
    pub(super) fn member(&self) -> Option<&WantedMember> {
        self.member.as_ref()
    }

    /// The channels that it enters; of a log of members, the channel that it tells of.
    pub(super) fn entered(&self) -> Result<Vec<ChannelName>, Problem> {
        let entered = self.channels.iter().filter_map(|channel| match channel {
            WantedChannel::Place(place) if place.enter => Some(readable_name(place.channel.as_bytes())),
            _ => None,
        });
        entered.map(|channel| channel.map(|channel| channel.members_of().unwrap_or(channel))).collect()
    }
}

impl Channels<'_> {
    /// # Errors
    /// What is wrong with the request as a whole: one bad channel alone, all of several, too many, none.
    pub(crate) fn resolve(self, parts: &Parts, query: &Query, limits: &Limits) -> Result<Scope, Problem> {
        if let Self::One(name) = self {
            let channel = channel_name(name)?;
            return Ok(Scope::One { channel, start: start_of_one(parts, query)? });
        }
        if let Self::Members(name) = self {
            let channel = channel_name(name)?.presence_log();
            return Ok(Scope::One { channel, start: start_of_one(parts, query)? });
        }
        let overall = overall(parts, query)?;
        let named: Vec<Result<(ChannelName, Option<Start>), Problem>> = match self {
            Self::Listed(wanted) => wanted.channels.iter().map(WantedChannel::resolve).collect(),
            _ => query.all("channel").map(|name| Ok((readable_name(name)?, None))).collect(),
        };
        let channels_max = limits.subscribe_channels_max.min(Token::CHANNELS_MAX);
        if named.len() as u64 > channels_max as u64 {
            let detail =
                format!("{} channels in one response; at most {channels_max} are allowed", named.len());
            return Err(Problem::new(Code::TooManyChannels, detail)
                .with_limit("subscribe_channels_max", channels_max as u64));
        }
        if named.is_empty() {
            return Err(Problem::new(
                Code::InvalidRequest,
                "name at least one channel, as /subscribe?channel=a&channel=b",
            ));
        }
        let (mut channels, mut bad, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for one in named {
            match one {
                Ok((channel, own)) if seen.insert(channel.clone()) => {
                    let start = overall.start(&channel, own);
                    channels.push((channel, start));
                }
                Ok(_) => {}
                Err(problem) => bad.push(problem),
            }
        }
        match bad.first() {
            Some(problem) if channels.is_empty() => Err(problem.clone()),
            _ => Ok(Scope::Several { channels, bad }),
        }
    }
}

impl WantedChannel {
    fn resolve(&self) -> Result<(ChannelName, Option<Start>), Problem> {
        let place = match self {
            Self::Name(name) => return Ok((readable_name(name.as_bytes())?, None)),
            Self::Place(place) => place,
        };
        let channel = readable_name(place.channel.as_bytes())?;
        let start =
            start(place.after.as_deref(), place.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX)));
        let start = start.map_err(|problem| problem.with_channel(channel.clone()))?;
        Ok((channel, start))
    }
}

impl Overall {
    /// Where a channel begins: `Last-Event-ID` or a token go before what stands beside the name, that before the rest.
    fn start(&self, channel: &ChannelName, own: Option<Start>) -> Start {
        match self {
            Self::Lost => Start::After(Cursor::lost()),
            Self::Token(token) => match token.cursor(channel) {
                Some(cursor) => Start::After(cursor),
                None => own.unwrap_or(Start::Now),
            },
            Self::Start(start) => own.unwrap_or_else(|| start.clone()),
        }
    }
}

impl Scope {
    /// The channel of `/channels/{channel}`.
    pub(crate) fn only(&self) -> Option<&ChannelName> {
        match self {
            Self::One { channel, .. } => Some(channel),
            Self::Several { .. } => None,
        }
    }

    /// Keeps the channels that pass. One of several that does not is among those that something is wrong with.
    ///
    /// # Errors
    /// None passes.
    pub(crate) fn admit(
        &mut self,
        judge: impl Fn(&ChannelName, &mut Start) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        match self {
            Self::One { channel, start } => judge(channel, start),
            Self::Several { channels, bad } => {
                channels.retain_mut(|(channel, start)| {
                    judge(channel, start).map_err(|problem| bad.push(problem)).is_ok()
                });
                match bad.last() {
                    Some(problem) if channels.is_empty() => Err(problem.clone()),
                    _ => Ok(()),
                }
            }
        }
    }

    /// What is wrong with single channels, for the books.
    pub(crate) fn bad(&self) -> &[Problem] {
        match self {
            Self::One { .. } => &[],
            Self::Several { bad, .. } => bad,
        }
    }

    /// What is wrong with single channels.
    pub(crate) fn take_bad(&mut self) -> Vec<Problem> {
        match self {
            Self::One { .. } => Vec::new(),
            Self::Several { bad, .. } => std::mem::take(bad),
        }
    }

    /// Whether who is in a channel is told first: a log of members is read without a cursor.
    pub(crate) fn begins_with_members(&self) -> bool {
        let begins = |(channel, start): (&ChannelName, &Start)| {
            matches!(start, Start::Now) && channel.is_presence_log()
        };
        match self {
            Self::One { channel, start } => begins((channel, start)),
            Self::Several { channels, .. } => {
                channels.iter().any(|(channel, start)| begins((channel, start)))
            }
        }
    }

    /// The channels with their starts, which may be changed.
    pub(crate) fn places_mut(&mut self) -> impl Iterator<Item = (&ChannelName, &mut Start)> {
        let (one, several) = match self {
            Self::One { channel, start } => (Some((&*channel, start)), &mut [][..]),
            Self::Several { channels, .. } => (None, channels.as_mut_slice()),
        };
        one.into_iter().chain(several.iter_mut().map(|(channel, start)| (&*channel, start)))
    }

    /// Keeps the channels against which `look` says nothing; what it says is told in the answer. A single one stays.
    pub(crate) fn keep(&mut self, mut look: impl FnMut(&ChannelName, &mut Start) -> Result<(), Problem>) {
        match self {
            Self::One { channel, start } => _ = look(channel, start),
            Self::Several { channels, bad } => channels.retain_mut(|(channel, start)| {
                look(channel, start).map_err(|problem| bad.push(problem)).is_ok()
            }),
        }
    }

    /// The channels with their starts.
    pub(crate) fn into_channels(self) -> Vec<(ChannelName, Start)> {
        match self {
            Self::One { channel, start } => vec![(channel, start)],
            Self::Several { channels, .. } => channels,
        }
    }
}

fn start_of_one(parts: &Parts, query: &Query) -> Result<Start, Problem> {
    let (after, last) = (query.one("after")?, count(query, "last")?);
    refuse_both(after, last)?;
    match last_event_id(parts) {
        Some(text) => {
            Ok(Start::After(text.and_then(|text| Cursor::parse(text).ok()).unwrap_or_else(Cursor::lost)))
        }
        None => Ok(start(after, last)?.unwrap_or(Start::Now)),
    }
}

fn overall(parts: &Parts, query: &Query) -> Result<Overall, Problem> {
    let (after, last) = (query.one("after")?, count(query, "last")?);
    refuse_both(after, last)?;
    if let Some(text) = last_event_id(parts) {
        return Ok(text.and_then(|text| Token::parse(text).ok()).map_or(Overall::Lost, Overall::Token));
    }
    match after {
        None => Ok(Overall::Start(last.map_or(Start::Now, Start::Last))),
        Some("start") => Ok(Overall::Start(Start::Beginning)),
        Some(text) => Token::parse(text).map(Overall::Token).map_err(|error| invalid_cursor(text, error)),
    }
}

/// `Some(None)`: it is there, but is not even text. An empty one is none: browsers send it when they saw no id.
fn last_event_id(parts: &Parts) -> Option<Option<&str>> {
    let value = parts.headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty())?;
    Some(value.to_str().ok())
}

/// Where one channel begins; `None` where nothing is said.
///
/// # Errors
/// `conflicting_request` or `invalid_cursor`.
pub(crate) fn start(after: Option<&str>, last: Option<usize>) -> Result<Option<Start>, Problem> {
    refuse_both(after, last)?;
    match after {
        Some(text) => Start::parse_after(text).map(Some).map_err(|error| invalid_cursor(text, error)),
        None => Ok(last.map(Start::Last)),
    }
}

fn refuse_both(after: Option<&str>, last: Option<usize>) -> Result<(), Problem> {
    if after.is_some() && last.is_some() {
        return Err(Problem::new(Code::ConflictingRequest, "`after` and `last` contradict each other"));
    }
    Ok(())
}

fn invalid_cursor(text: &str, error: CursorError) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::new(Code::InvalidCursor, format!("`after` is {shown:?}: {error}"))
}
