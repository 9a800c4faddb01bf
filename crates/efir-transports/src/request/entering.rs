//! Who reads, and which channels it enters by reading (docs/protocol.md §9.3): `member`, `name`, `data` and `enter` in the query, or the
//! same in the JSON body of `/subscribe`.

use efir_core::{ChannelName, Code, Limits, MemberId, Problem, Who, WhoError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Channels;
use crate::{place::channel_name, query::Query};

/// A reader that is a member of some channels as long as it reads.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) who: Who,
    /// Each once.
    pub(crate) channels: Vec<ChannelName>,
}

/// A member as JSON says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedMember {
    id: String,
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
}

/// `"data":null` removes the data; its absence leaves it.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    <Box<RawValue>>::deserialize(deserializer).map(Some)
}

impl Entering {
    /// `None` where nobody enters anywhere.
    ///
    /// # Errors
    /// `invalid_member`, `invalid_channel` or `too_many_channels`.
    pub(super) fn parse(
        query: &Query<'_>,
        wanted: Channels<'_>,
        limits: &Limits,
    ) -> Result<Option<Box<Self>>, Problem> {
        let (own, channels) = match wanted {
            Channels::One(name) | Channels::Members(name) => {
                let Some(who) = who(query, limits)? else { return Ok(None) };
                return Ok(Some(Box::new(Self { who, channels: vec![channel_name(name)?] })));
            }
            Channels::FromQuery => (None, named(query)?),
            Channels::Listed(wanted) => {
                let mut channels = wanted.entered()?;
                channels.extend(named(query)?);
                (wanted.member(), channels)
            }
        };
        if channels.is_empty() {
            return Ok(None);
        }
        let who = match own {
            Some(member) => Some(member.who(limits)?),
            None => who(query, limits)?,
        };
        let who = who.ok_or_else(|| missing("`enter`"))?;
        let mut once: Vec<ChannelName> = Vec::with_capacity(channels.len());
        for channel in channels {
            if !once.contains(&channel) {
                once.push(channel);
            }
            check_enters(once.len(), limits)?;
        }
        Ok(Some(Box::new(Self { who, channels: once })))
    }
}

/// One response or socket enters no more channels than it may.
pub(crate) fn check_enters(channels: usize, limits: &Limits) -> Result<(), Problem> {
    let channels_max = limits.presence_enters_max;
    if channels <= channels_max {
        return Ok(());
    }
    let detail = format!("at most {channels_max} channels may be entered by one response or socket");
    Err(Problem::new(Code::TooManyChannels, detail).with_limit("presence_enters_max", channels_max as u64))
}

/// The member that the query names.
///
/// # Errors
/// `invalid_member`.
pub(crate) fn who(query: &Query<'_>, limits: &Limits) -> Result<Option<Who>, Problem> {
    let Some(id) = query.one("member")? else { return Ok(None) };
    let (name, data) = (query.one("name")?, query.one("data")?);
    say(id, name, data, limits).map(Some).map_err(|error| error.problem())
}

/// A member with what it says of itself.
///
/// # Errors
/// What breaks the rules.
pub(crate) fn say(
    id: &str,
    name: Option<&str>,
    data: Option<&str>,
    limits: &Limits,
) -> Result<Who, WhoError> {
    let mut who = Who::new(MemberId::parse(id)?);
    if let Some(name) = name {
        who = who.with_name(name, limits)?;
    }
    match data {
        Some(data) => who.with_data(data.as_bytes(), limits),
        None => Ok(who),
    }
}

/// Somebody wants to enter and does not say who.
pub(crate) fn missing(by: &str) -> Problem {
    Problem::new(Code::InvalidMember, format!("{by} needs `member`, the id of who enters"))
}

impl WantedMember {
    fn who(&self, limits: &Limits) -> Result<Who, Problem> {
        let data = self.data.as_ref().map(|data| data.get());
        say(&self.id, self.name.as_deref(), data, limits).map_err(|error| error.problem())
    }
}

fn named(query: &Query<'_>) -> Result<Vec<ChannelName>, Problem> {
    query.all("enter").map(channel_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Wanted;

    fn entering(query: &str, wanted: Channels<'_>) -> Result<Option<Box<Entering>>, Code> {
        let parsed = Entering::parse(&Query::parse(Some(query)), wanted, &Limits::default());
        parsed.map_err(|problem| problem.code)
    }

    fn channels(query: &str, wanted: Channels<'_>) -> Vec<String> {
        let entering = entering(query, wanted).unwrap();
        entering.map_or(Vec::new(), |entering| entering.channels.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn which_channels_are_entered() {
        assert_eq!(channels("", Channels::One(b"a")), [""; 0]);
        assert_eq!(channels("member=x", Channels::One(b"a")), ["a"]);
        assert_eq!(channels("member=x", Channels::Members(b"a")), ["a"]);
        assert_eq!(channels("member=x&channel=a", Channels::FromQuery), [""; 0]);
        assert_eq!(channels("member=x&enter=a&enter=%D1%87&enter=a", Channels::FromQuery), ["a", "ч"]);
        let body = br#"{"channels":["a",{"channel":"b","enter":true},{"channel":"c/presence","enter":true}],"member":{"id":"x"}}"#;
        assert_eq!(channels("", Channels::Listed(&Wanted::parse(body).unwrap())), ["b", "c"]);
    }

    #[test]
    fn refusals() {
        for (query, code) in [
            ("member=", Code::InvalidMember),
            ("member=a%20b", Code::InvalidMember),
            ("member=x&data=%7B", Code::InvalidMember),
            ("member=x&member=y", Code::ConflictingRequest),
        ] {
            assert_eq!(entering(query, Channels::One(b"a")).unwrap_err(), code, "{query}");
        }
        assert_eq!(entering("enter=a", Channels::FromQuery).unwrap_err(), Code::InvalidMember);
        assert_eq!(entering("enter=a%2Fb&member=x", Channels::FromQuery).unwrap_err(), Code::InvalidChannel);
        let many: String = (0..101).map(|n| format!("&enter=c{n}")).collect();
        let many = format!("member=x{many}");
        assert_eq!(entering(&many, Channels::FromQuery).unwrap_err(), Code::TooManyChannels);
        let long = format!("member=x&name={}", "%D0%B6".repeat(65));
        assert_eq!(entering(&long, Channels::One(b"a")).unwrap_err(), Code::InvalidMember);
    }
}
