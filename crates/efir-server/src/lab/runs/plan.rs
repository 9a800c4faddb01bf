//! What a run is to publish, and when.

use std::{fmt::Write as _, time::Duration};

use efir_core::{ChannelName, Code, Limits, Problem, Times};
use serde::{Deserialize, Serialize};

use super::super::{check_visitor, too_great};

/// From the request to the first message where nothing is said: as long as readers need to come.
const WAIT_MS: u64 = 500;

/// The body of `POST /lab/runs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    visitor: String,
    channel: Option<String>,
    rate: Option<f64>,
    size: Option<u64>,
    burst: Option<u64>,
    seconds: Option<u64>,
    wait_ms: Option<u64>,
}

/// A checked plan. Bursts follow each other at equal times; the messages of a burst have the same one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in super::super) struct Plan {
    /// Bursts a second.
    rate: f64,
    /// Bytes of a payload; at least as many as its fields need.
    size: u64,
    /// Messages of a burst.
    burst: u64,
    seconds: u64,
    /// From the request to the first message.
    pub(super) wait_ms: u64,
    /// The channel, where one was asked for.
    #[serde(skip)]
    channel: Option<String>,
    /// What fills the payloads: letters that do not compress well, as what people send.
    #[serde(skip)]
    pad: String,
}

/// The slowest rate: a message in ten seconds.
const RATE_MIN: f64 = 0.1;

impl Plan {
    /// Reads the body; gives the visitor and its plan.
    pub(in super::super) fn parse(
        body: &[u8],
        limits: &Limits,
        times: &Times,
    ) -> Result<(String, Self), Problem> {
        let asked: Asked = serde_json::from_slice(body)
            .map_err(|error| Problem::new(Code::InvalidJson, format!("the run: {error}")))?;
        check_visitor(&asked.visitor)?;
        let mut plan = Self {
            rate: asked.rate.unwrap_or(10.0),
            size: asked.size.unwrap_or(100),
            burst: asked.burst.unwrap_or(1),
            seconds: asked.seconds.unwrap_or(30),
            wait_ms: asked.wait_ms.unwrap_or(WAIT_MS),
            channel: asked.channel,
            pad: String::new(),
        };
        if plan.rate < RATE_MIN || plan.burst == 0 || plan.seconds == 0 {
            let detail = format!("`rate` is at least {RATE_MIN}, `burst` and `seconds` are at least 1");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let size_max = limits.lab_message_bytes_max.min(limits.message_bytes_max as u64);
        // A float that is too great becomes the greatest number there is.
        let per_s = (plan.rate * plan.burst as f64).ceil() as u64;
        for (field, value, name, most) in [
            ("rate × burst", per_s, "lab_messages_per_s_max", limits.lab_messages_per_s_max),
            ("size", plan.size, "lab_message_bytes_max", size_max),
            ("seconds × 1000", plan.seconds.saturating_mul(1_000), "lab_run_ms_max", times.lab_run_ms_max),
            ("wait_ms", plan.wait_ms, "lab_wait_ms_max", times.lab_wait_ms_max),
        ] {
            if value > most {
                return Err(too_great(field, value, name, most));
            }
        }
        plan.pad = std::iter::repeat_with(fastrand::alphanumeric).take(plan.size as usize).collect();
        // The name is checked before the run takes a place.
        plan.channel(&asked.visitor, "x")?;
        Ok((asked.visitor, plan))
    }

    /// The channel of a run: the visitor's own, whatever follows.
    pub(super) fn channel(&self, visitor: &str, id: &str) -> Result<ChannelName, Problem> {
        let own = format!("lab:{visitor}:");
        let name = match &self.channel {
            Some(name) if name.len() > own.len() && name.starts_with(&own) => name.clone(),
            Some(name) => {
                let detail =
                    format!("{name:?} is not a channel of this visitor: those begin with {own:?} and go on");
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            None => format!("{own}{id}"),
        };
        ChannelName::parse(&name).map_err(|error| Problem::new(Code::InvalidChannel, error.to_string()))
    }

    /// How many messages there are in all.
    pub(super) fn messages(&self) -> u64 {
        // The first burst is at the beginning, none at the end.
        (self.rate * self.seconds as f64).ceil() as u64 * self.burst
    }

    /// When the message of this number (1, 2, 3 …) is due, from the first one on.
    pub(super) fn after(&self, n: u64) -> Duration {
        let bursts = n.saturating_sub(1) / self.burst;
        Duration::from_secs_f64(bursts as f64 / self.rate)
    }

    /// Its payload.
    pub(super) fn text(&self, n: u64, planned_ms: f64) -> String {
        let size = self.size as usize;
        let mut text = String::with_capacity(size.max(96));
        let _ = write!(text, r#"{{"n":{n},"of":{},"planned":{planned_ms:.3},"pad":""#, self.messages());
        let pad = size.saturating_sub(text.len() + 2);
        text.push_str(self.pad.get(..pad).unwrap_or_default());
        text.push_str("\"}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<(String, Plan), Problem> {
        Plan::parse(body.as_bytes(), &Limits::default(), &Times::default())
    }

    fn plan(body: &str) -> Plan {
        parse(body).unwrap().1
    }

    #[test]
    fn bursts_are_at_equal_times() {
        let plan = plan(r#"{"visitor":"v","rate":4,"burst":3,"seconds":2}"#);
        assert_eq!(plan.messages(), 24);
        let ms: Vec<_> = (1..=7).map(|n| plan.after(n).as_millis()).collect();
        assert_eq!(ms, [0, 0, 0, 250, 250, 250, 500]);
        assert_eq!(plan.after(24).as_millis(), 1_750);
        let quiet = Plan { rate: 0.4, burst: 1, ..plan };
        assert_eq!((quiet.messages(), quiet.after(2).as_millis()), (1, 2_500));
        assert_eq!(Plan { seconds: 6, ..quiet }.messages(), 3);
    }

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        let plan = plan(r#"{"visitor":"v","size":200}"#);
        let text = plan.text(7, 1_795_233_744_123.456);
        assert_eq!(text.len(), 200);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json["n"], &json["of"]), (&7.into(), &300.into()));
        assert!(text.contains(r#""planned":1795233744123.456,"#), "{text}");
        let small = Plan { size: 0, ..plan }.text(1, 1.0);
        assert!(serde_json::from_str::<serde_json::Value>(&small).is_ok() && small.len() < 60);
    }

    #[test]
    fn what_is_too_much_names_its_limit() {
        for (body, name) in [
            (r#"{"visitor":"v","rate":201}"#, "lab_messages_per_s_max"),
            (r#"{"visitor":"v","rate":20,"burst":11}"#, "lab_messages_per_s_max"),
            (r#"{"visitor":"v","rate":1e300,"burst":18446744073709551615}"#, "lab_messages_per_s_max"),
            (r#"{"visitor":"v","size":16385}"#, "lab_message_bytes_max"),
            (r#"{"visitor":"v","seconds":61}"#, "lab_run_ms_max"),
            (r#"{"visitor":"v","wait_ms":10001}"#, "lab_wait_ms_max"),
        ] {
            let problem = parse(body).unwrap_err();
            assert_eq!((problem.code, problem.limit.unwrap().0), (Code::InvalidRequest, name), "{body}");
        }
        for body in
            [r#"{"visitor":"v","rate":0}"#, r#"{"visitor":""}"#, r#"{"visitor":"v","channel":"chat"}"#]
        {
            assert_eq!(parse(body).unwrap_err().code, Code::InvalidRequest, "{body}");
        }
        for body in ["", "{}", r#"{"visitor":"v","rates":1}"#] {
            assert_eq!(parse(body).unwrap_err().code, Code::InvalidJson, "{body}");
        }
    }

    #[test]
    fn a_channel_is_the_visitor_s_own() {
        let own = plan(r#"{"visitor":"v","channel":"lab:v:left"}"#);
        assert_eq!(own.channel("v", "id").unwrap().as_str(), "lab:v:left");
        assert_eq!(plan(r#"{"visitor":"v"}"#).channel("v", "id").unwrap().as_str(), "lab:v:id");
        assert!(parse(r#"{"visitor":"v","channel":"lab:w:left"}"#).is_err());
    }
}
