//! Twenty bugs that a server of logs could have, each as one table row: what it does to requests, to what the server says, and to the
//! answers of publishes. Where a bug needs to know what went before, [`Memory`] does.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    exchange::Request,
    object::{Name, Object},
};

/// A bug; it lies to one reader at a time.
#[derive(Debug)]
pub struct Bug {
    /// What the server does wrong.
    pub name: &'static str,
    /// Changes a request; a receipt answers it instead of the server.
    pub(super) ask: fn(&mut Memory, &mut Request) -> Option<Value>,
    /// What is said instead of an object.
    pub(super) tell: fn(&mut Memory, Object) -> Vec<Object>,
    /// Changes a receipt.
    pub(super) acknowledge: fn(&mut Memory, &mut Value),
}

/// What a bug has seen so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Messages that came to the bug.
    messages: u64,
    /// Batches that were told since something is kept back, and one before.
    batches: u64,
    /// Receipts that came to the bug.
    receipts: u64,
    /// What it keeps back.
    held: Vec<Object>,
    /// Where the reader was told that it stands.
    told: Option<(String, u64)>,
    /// Reads after a cursor.
    resumed: u64,
    /// The first epoch in a receipt.
    first_epoch: Option<String>,
    /// The last receipt of each channel.
    heads: HashMap<String, (String, u64)>,
    /// What was published last.
    last_text: Option<Value>,
}

impl Memory {
    /// What the reader is told in the end.
    pub(super) fn note(&mut self, object: &Object) {
        if matches!(object.name, Name::Message | Name::Gap) || self.told.is_none() {
            self.told = object.place().or(self.told.take());
        }
    }

    /// Whether this is the message with that number, counted from 1.
    fn is_message(&mut self, object: &Object, number: u64) -> bool {
        self.messages += u64::from(object.name == Name::Message);
        object.name == Name::Message && self.messages == number
    }
}

const HONEST: Bug =
    Bug { name: "", ask: |_, _| None, tell: |_, object| vec![object], acknowledge: |_, _| {} };

/// All of them.
pub const BUGS: &[Bug] = &[
    Bug { name: "a message is skipped", tell: skip, ..HONEST },
    Bug { name: "a message is delivered twice", tell: twice, ..HONEST },
    Bug { name: "two messages change places", tell: swap, ..HONEST },
    Bug { name: "the newest messages are never delivered", tell: stuck, ..HONEST },
    Bug { name: "a gap ends one too late", tell: |_, object| shifted(object, 1), ..HONEST },
    Bug { name: "a gap ends one too early", tell: |_, object| shifted(object, -1), ..HONEST },
    Bug { name: "a gap names the wrong reason", tell: wrong_reason, ..HONEST },
    Bug { name: "a gap is withheld", tell: withhold, ..HONEST },
    Bug { name: "a gap is told after the first message behind it", tell: late_gap, ..HONEST },
    Bug { name: "a gap is told where nothing is missing", tell: needless_gap, ..HONEST },
    Bug { name: "more is trimmed than the retention says", tell: trims_too_much, ..HONEST },
    Bug {
        name: "the epoch is kept after everything was lost",
        tell: keep_epoch,
        acknowledge: old_epoch,
        ..HONEST
    },
    Bug { name: "the epoch changes though nothing was lost", tell: new_epoch, ..HONEST },
    Bug { name: "a message of another channel is mixed in", tell: mix, ..HONEST },
    Bug { name: "the cursor is ignored: everything comes again", ask: all_again, ..HONEST },
    Bug {
        name: "the cursor is ignored: reading goes on from now",
        ask: count_resumed,
        tell: from_now,
        acknowledge: remember,
    },
    Bug { name: "a message carries the payload of another one", tell: other_payload, ..HONEST },
    Bug { name: "idempotency keys are ignored", ask: no_keys, ..HONEST },
    Bug { name: "two publishes are told one position", acknowledge: one_position, ..HONEST },
    Bug { name: "an acknowledged message is lost", ask: lose, acknowledge: remember, ..HONEST },
];

fn skip(memory: &mut Memory, object: Object) -> Vec<Object> {
    if memory.is_message(&object, 2) { Vec::new() } else { vec![object] }
}

fn twice(memory: &mut Memory, object: Object) -> Vec<Object> {
    if memory.is_message(&object, 2) { vec![object.clone(), object] } else { vec![object] }
}

fn swap(memory: &mut Memory, object: Object) -> Vec<Object> {
    if memory.is_message(&object, 2) {
        memory.held.push(object);
        return Vec::new();
    }
    if object.name == Name::Message {
        return std::iter::once(object).chain(memory.held.drain(..)).collect();
    }
    vec![stay(memory, object)]
}

/// Everything from the third message on, and the server says of nobody that he stands there.
fn stuck(memory: &mut Memory, object: Object) -> Vec<Object> {
    memory.is_message(&object, 0);
    match object.name {
        Name::Message | Name::Gap if memory.messages >= 3 => Vec::new(),
        Name::Gap => vec![object],
        _ => vec![if memory.messages >= 3 { stay(memory, object) } else { object }],
    }
}

/// The server says that a reader stands where it was told so last.
fn stay(memory: &Memory, mut object: Object) -> Object {
    if let (Some((epoch, offset)), Name::Hello | Name::Heartbeat | Name::End) = (&memory.told, &object.name) {
        object.set_place(epoch, *offset);
    }
    object
}

fn shifted(mut object: Object, by: i64) -> Vec<Object> {
    if let (Name::Gap, Some((epoch, offset))) = (&object.name, object.place()) {
        object.set_place(&epoch, offset.saturating_add_signed(by));
    }
    vec![object]
}

fn wrong_reason(_: &mut Memory, mut object: Object) -> Vec<Object> {
    if object.name == Name::Gap {
        let wrong = if object.text("reason") == "trimmed" { "epoch_changed" } else { "trimmed" };
        object.value["reason"] = wrong.into();
    }
    vec![object]
}

fn withhold(_: &mut Memory, object: Object) -> Vec<Object> {
    if object.name == Name::Gap { Vec::new() } else { vec![object] }
}

/// Behind the first message where messages come one by one; a batch has one place for a gap, so there it is in the next batch.
fn late_gap(memory: &mut Memory, object: Object) -> Vec<Object> {
    match object.name {
        Name::Gap => {
            memory.held.push(object);
            Vec::new()
        }
        Name::Message if memory.batches == 0 => {
            std::iter::once(object).chain(memory.held.drain(..)).collect()
        }
        Name::End if memory.held.is_empty() => {
            memory.batches = 1;
            vec![object]
        }
        Name::End => {
            memory.batches += 1;
            let is_due = memory.batches > 2;
            let late = if is_due { std::mem::take(&mut memory.held) } else { Vec::new() };
            late.into_iter().chain([object]).collect()
        }
        _ => vec![object],
    }
}

fn needless_gap(memory: &mut Memory, object: Object) -> Vec<Object> {
    if !memory.is_message(&object, 2) {
        return vec![object];
    }
    let Some((epoch, offset)) = memory.told.clone() else { return vec![object] };
    let place = format!("{epoch}-{offset}");
    let gap = json!({
        "channel": object.text("channel"), "reason": "trimmed", "after": place, "resume_from": place, "epoch": epoch,
    });
    vec![Object::new(Name::Gap, gap), object]
}

/// Two messages more than the gap of an honest server has.
fn trims_too_much(memory: &mut Memory, object: Object) -> Vec<Object> {
    if object.name == Name::Gap && object.text("reason") == "trimmed" {
        memory.receipts = 2;
        return shifted(object, 2);
    }
    if object.name == Name::Message && memory.receipts > 0 {
        memory.receipts -= 1;
        return Vec::new();
    }
    vec![object]
}

fn keep_epoch(memory: &mut Memory, mut object: Object) -> Vec<Object> {
    if let (Some(old), Some((_, offset))) = (memory.first_epoch.clone(), object.place()) {
        object.set_place(&old, offset);
        if object.name == Name::Gap {
            object.value["epoch"] = old.into();
        }
    }
    vec![object]
}

fn old_epoch(memory: &mut Memory, receipt: &mut Value) {
    let Some((epoch, offset)) = place_of(receipt) else { return };
    let old = memory.first_epoch.get_or_insert(epoch).clone();
    receipt["position"] = format!("{old}-{offset}").into();
    receipt["epoch"] = old.into();
}

fn new_epoch(memory: &mut Memory, mut object: Object) -> Vec<Object> {
    memory.is_message(&object, 0);
    if let (true, Some((_, offset))) = (memory.messages >= 3, object.place()) {
        object.set_place("another", offset);
    }
    vec![object]
}

fn mix(memory: &mut Memory, mut object: Object) -> Vec<Object> {
    if memory.is_message(&object, 2) {
        object.value["channel"] = "side".into();
    }
    vec![object]
}

fn all_again(_: &mut Memory, request: &mut Request) -> Option<Value> {
    if is_resumed(request) {
        request.remove("last-event-id");
        set_after(request, "start");
    }
    None
}

fn count_resumed(memory: &mut Memory, request: &mut Request) -> Option<Value> {
    memory.resumed += u64::from(is_resumed(request));
    None
}

/// What had been published before a reader came back is not delivered.
fn from_now(memory: &mut Memory, object: Object) -> Vec<Object> {
    let is_old = object.name == Name::Message
        && memory.resumed > 0
        && memory
            .heads
            .get(object.text("channel"))
            .zip(object.place())
            .is_some_and(|(head, place)| head.0 == place.0 && head.1 > place.1);
    if is_old { Vec::new() } else { vec![object] }
}

fn remember(memory: &mut Memory, receipt: &mut Value) {
    if let Some(place) = place_of(receipt) {
        memory.heads.insert(receipt["channel"].as_str().unwrap_or_default().to_owned(), place);
    }
}

fn other_payload(memory: &mut Memory, mut object: Object) -> Vec<Object> {
    let is_third = memory.is_message(&object, 3);
    if object.name == Name::Message {
        let before = memory.last_text.replace(object.value["data"].clone());
        if let (true, Some(before)) = (is_third, before) {
            object.value["data"] = before;
        }
    }
    vec![object]
}

fn no_keys(_: &mut Memory, request: &mut Request) -> Option<Value> {
    request.remove("idempotency-key");
    None
}

fn one_position(memory: &mut Memory, receipt: &mut Value) {
    memory.receipts += 1;
    if let (3, Some((epoch, offset))) = (memory.receipts, place_of(receipt)) {
        receipt["position"] = format!("{epoch}-{}", offset - 1).into();
        receipt["offset"] = (offset - 1).into();
    }
}

/// The third publish is answered as if it stood behind the one before, and nobody appends it.
fn lose(memory: &mut Memory, request: &mut Request) -> Option<Value> {
    if request.method != "POST" {
        return None;
    }
    memory.receipts += 1;
    let (channel, (epoch, offset)) = memory.heads.iter().next().filter(|_| memory.receipts == 3)?;
    let offset = offset + 1;
    Some(json!({
        "channel": channel, "position": format!("{epoch}-{offset}"), "offset": offset, "epoch": epoch,
        "durability": "memory", "duplicate": false, "subscribers": 1,
    }))
}

fn place_of(receipt: &Value) -> Option<(String, u64)> {
    let (epoch, offset) = receipt["position"].as_str()?.rsplit_once('-')?;
    Some((epoch.to_owned(), offset.parse().ok()?))
}

/// Whether this is the read of somebody who has been here before.
fn is_resumed(request: &Request) -> bool {
    request.method == "GET"
        && (request.header("last-event-id").is_some() || request.target.contains("after="))
}

fn set_after(request: &mut Request, cursor: &str) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let after = format!("after={cursor}");
    let query: Vec<&str> = others.chain([after.as_str()]).collect();
    request.target = format!("{path}?{}", query.join("&"));
}
