//! What is held at rest, byte by byte: dhat writes down every allocation that is still there at the end, with the calls that made it.
//!
//! Each thing is held so many times, and twice as many; the difference is what one more of it costs, and what only the program
//! needs falls out. [`PURPOSES`] gives the places of allocations their words.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::profile;
use crate::child;
use crate::paper::grouped;

/// Calls kept of each allocation: enough to get out of the libraries.
const CALLS: &str = "--num-callers=24";

/// What stands in the calls of an allocation, and what it is for. The first that fits counts.
const PURPOSES: &[(&str, &str)] = &[
    ("std::net::tcp::TcpStream", CLIENT),
    ("ScheduledIo", "tokio: the socket's registration with epoll"),
    ("worker::connection::Connection>", CONNECTION),
    ("timers", "entry among the worker's timers"),
    ("watched::Subscriber", "entry in the channel's list of subscribers"),
    ("ArcInner<efir_engine::channel::Channel>", "channel: its lock, its log, who watches it"),
    ("ArcInner<efir_core::message::Message>", "message: position, time, its forms"),
    ("efir_core::wire", "encoded message, shared by all who are sent it"),
    ("Log::append", "the log's ring of messages"),
    ("memory::table", "entry in the broker's table of channels"),
    ("Memory::live", "channel: its lock, its log, who watches it"),
    ("reader::Subscription", "subscriptions: name, channel, cursor, where the worker lists it"),
    ("ChannelName::parse", "the channel's name"),
    ("Answer::of", "what the answer of the poll will say"),
    ("efir_access", "user of a token: name, grants, and where the token is remembered"),
    ("guarded", "exchange of a site that asks who it is: caller and what it was allowed"),
    ("efir_transports", "exchange: what the transport remembers"),
    ("Worker as core::future", "bell: how the socket wakes the worker"),
];
const CONNECTION: &str = "connection in the worker's slab: socket, reader with one subscription, state";
const OTHER: &str = "other";
/// The other end of the connections, which is not the server's.
const CLIENT: &str = "client";

/// One kind of thing.
#[derive(Debug, PartialEq)]
pub(super) struct Held {
    pub(super) name: String,
    /// Purpose, bytes and allocations of one of it, the greatest first.
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) purpose: &'static str,
    pub(super) bytes: f64,
    pub(super) blocks: f64,
}

impl Held {
    pub(super) fn bytes(&self) -> f64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn blocks(&self) -> f64 {
        self.parts.iter().map(|part| part.blocks).sum()
    }
}

/// Holds everything that the program can hold.
pub(super) fn count(program: &Path) -> Result<Vec<Held>> {
    let names = child::read(Command::new(program).arg("held"))?;
    names.lines().map(|line| one(program, line)).collect()
}

/// `line` is a name, a tab, and how many make a good sample: a power of two, so that tables which double their room are as full with
/// twice as many.
fn one(program: &Path, line: &str) -> Result<Held> {
    let (name, few) = line.split_once('\t').with_context(|| format!("nothing to hold: {line}"))?;
    let few: usize = few.parse()?;
    let mut sums: BTreeMap<&'static str, (f64, f64)> = BTreeMap::new();
    for (count, sign) in [(2 * few, 1.0), (few, -1.0)] {
        for (purpose, bytes, blocks) in allocations(program, name, count)? {
            let sum = sums.entry(purpose).or_default();
            sum.0 += sign * bytes;
            sum.1 += sign * blocks;
        }
    }
    let each = few as f64;
    let parts = sums.into_iter().map(|(purpose, (bytes, blocks))| Part {
        purpose,
        bytes: bytes / each,
        blocks: blocks / each,
    });
    // Less than a byte each is a table that grew once, or happened to be fuller with fewer.
    let mut parts: Vec<Part> = parts.filter(|part| part.purpose != CLIENT && part.bytes >= 1.0).collect();
    parts.sort_by(|one, other| other.bytes.total_cmp(&one.bytes));
    Ok(Held { name: name.to_owned(), parts })
}

/// Every allocation that is there at the end: its purpose, bytes and number.
fn allocations(program: &Path, name: &str, count: usize) -> Result<Vec<(&'static str, f64, f64)>> {
    let file = profile::folder()?.join("held.json");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=dhat", CALLS]).arg(format!("--dhat-out-file={}", file.display()));
    command.arg(program).args(["held", name, &count.to_string()]);
    // What the profiler says beside its file is for people.
    let output = command.output().context("starting valgrind")?;
    anyhow::ensure!(
        output.status.success(),
        "holding {name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let profile: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    read(&profile).context("dhat wrote what cannot be read")
}

fn read(profile: &Value) -> Option<Vec<(&'static str, f64, f64)>> {
    let calls = profile["ftbl"].as_array()?;
    let points = profile["pps"].as_array()?;
    points
        .iter()
        .map(|point| {
            let stack: Vec<&str> = point["fs"]
                .as_array()?
                .iter()
                .filter_map(|index| calls.get(index.as_u64()? as usize)?.as_str())
                .collect();
            Some((purpose(&stack), point["eb"].as_f64()?, point["ebk"].as_f64()?))
        })
        .collect()
}

/// The purpose whose words stand in the call nearest to the allocation.
fn purpose(stack: &[&str]) -> &'static str {
    let fits =
        |call: &str| PURPOSES.iter().find(|(words, _)| call.contains(words)).map(|(_, purpose)| *purpose);
    stack.iter().find_map(|call| fits(call)).unwrap_or(OTHER)
}

/// The table for docs/benchmarks.md: a column for each thing, a row for each purpose.
pub(super) fn paper(held: &[Held]) -> String {
    let mut purposes: Vec<&str> = Vec::new();
    for part in held.iter().flat_map(|one| &one.parts) {
        if !purposes.contains(&part.purpose) {
            purposes.push(part.purpose);
        }
    }
    let names = held.iter().map(|one| one.name.clone());
    let mut text = row("bytes of one at rest, and what they are for", names);
    text += &format!("|---|{}\n", "---:|".repeat(held.len()));
    for purpose in purposes {
        let bytes = held.iter().map(|one| one.parts.iter().find(|part| part.purpose == purpose));
        text += &row(purpose, bytes.map(|part| part.map_or("–".into(), |part| whole(part.bytes))));
    }
    text += &row("**together**", held.iter().map(|one| format!("**{}**", whole(one.bytes()))));
    text + &row("allocations", held.iter().map(|one| whole(one.blocks())))
}

fn row(title: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("| {title} |");
    for cell in cells {
        text += &format!(" {cell} |");
    }
    text + "\n"
}

fn whole(value: f64) -> String {
    grouped(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_nearest_to_the_allocation_says_what_it_is_for() {
        let stack = [
            "0x1: malloc (in vgpreload_dhat.so)",
            "0x2: efir_core::channel::ChannelName::parse (channel.rs:89)",
            "0x3: efir_transports::websocket::begin (websocket.rs:51)",
        ];
        assert_eq!(purpose(&stack), "the channel's name");
        assert_eq!(purpose(&stack[2..]), "exchange: what the transport remembers");
        assert_eq!(purpose(&stack[..1]), OTHER);
    }

    #[test]
    fn a_profile_is_read() {
        let profile = serde_json::json!({
            "pps": [{ "eb": 320, "ebk": 10, "fs": [1, 2] }, { "eb": 7, "ebk": 1, "fs": [1] }],
            "ftbl": ["[root]", "0x1: malloc", "0x2: efir_core::channel::ChannelName::parse (channel.rs:89)"],
        });
        assert_eq!(read(&profile).unwrap(), [("the channel's name", 320.0, 10.0), (OTHER, 7.0, 1.0)]);
        assert!(read(&serde_json::json!({ "pps": [] })).is_none());
    }

    #[test]
    fn the_paper_has_a_column_for_each_and_a_row_for_each_purpose() {
        let part = |purpose, bytes, blocks| Part { purpose, bytes, blocks };
        let sse = vec![part("bell", 1032.0, 1.0), part("name", 23.5, 1.0)];
        let held = [
            Held { name: "sse".into(), parts: sse },
            Held { name: "channel".into(), parts: vec![part("name", 32.0, 1.2)] },
        ];
        let text = paper(&held);
        assert!(text.contains("| bell | 1,032 | – |\n| name | 24 | 32 |\n"), "{text}");
        assert!(text.ends_with("| **together** | **1,056** | **32** |\n| allocations | 2 | 1 |\n"), "{text}");
    }
}
