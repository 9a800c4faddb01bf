//! Commands of `/socket` and parameters of URLs: confused types, declared numbers, cases and normal forms, and long sequences.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::{Ask, check_problem},
    raw::{Opcode, Raw},
};
use serde_json::{Value, json};

use crate::victim::Victim;

/// Commands that a fuzzed socket gets in all.
const FUZZED: usize = 6_000;
/// Steps of the sequence of subscriptions.
const STEPS: usize = 20_000;
const SOCKETS: usize = 4;
const CHANNELS: usize = 40;

async fn open(victim: &Victim) -> Result<Raw> {
    let mut raw = Raw::websocket(victim.address(), "/socket").await?;
    raw.object().await?;
    Ok(raw)
}

/// Sends a command and takes its answer; what belongs to no command goes by.
async fn call(raw: &mut Raw, command: &Value) -> Result<Value> {
    raw.send_frame(Opcode::Text, command.to_string().as_bytes()).await?;
    loop {
        let object = raw.object().await?;
        if object["id"] == command["id"] && object.get("id").is_some() {
            return Ok(object);
        }
    }
}

/// Values of every type, at the edges of each.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(""),
        json!("a"),
        json!("start"),
        json!("\u{0}"),
        json!("../x"),
        json!("a/presence"),
        json!("x".repeat(300)),
        json!("__proto__"),
        json!([]),
        json!({}),
        json!(["a"]),
        json!({"a": 1}),
        json!({"_placeholder": true, "num": 0}),
        json!({"__proto__": {"x": 1}}),
        json!({"constructor": {"prototype": {"x": 1}}}),
        json!([[[[]]]]),
        json!("e\u{301}"),
        json!("\u{202e}"),
        json!({"toString": 1}),
    ]
}

/// V13: every field of every command with every type of value; one command more or less ends no process.
pub(crate) async fn confused_types() -> Result<()> {
    let victim = Victim::start().await?;
    let names = [
        "subscribe",
        "unsubscribe",
        "publish",
        "history",
        "enter",
        "leave",
        "ping",
        "authorize",
        "toString",
        "",
    ];
    let fields = [
        "channel",
        "after",
        "last",
        "limit",
        "data",
        "text",
        "bytes",
        "key",
        "member",
        "name",
        "token",
        "__proto__",
    ];
    let values = values();
    let mut random = fastrand::Rng::with_seed(13);
    let mut raw = open(&victim).await?;
    let mut answered = 0;
    for number in 0..FUZZED {
        let mut body = serde_json::Map::new();
        for _ in 0..random.usize(0..5) {
            body.insert(
                fields[random.usize(..fields.len())].into(),
                values[random.usize(..values.len())].clone(),
            );
        }
        let body = if random.u8(..) < 32 {
            values[random.usize(..values.len())].clone()
        } else {
            Value::Object(body)
        };
        let id =
            if random.u8(..) < 32 { values[random.usize(..values.len())].clone() } else { json!(number) };
        let mut command = json!({"id": id, names[random.usize(..names.len())]: body});
        if random.u8(..) < 16 {
            command[names[random.usize(..names.len())]] = json!({});
        }
        if raw.send_frame(Opcode::Text, command.to_string().as_bytes()).await.is_err() {
            raw = open(&victim).await?;
        }
        // From time to time somebody asks whether the socket still answers, so that its answers are read.
        if number % 50 == 49 {
            match call(&mut raw, &json!({"id": format!("at {number}"), "ping": {}})).await {
                Ok(reply) => {
                    ensure!(reply["reply"]["time"].is_u64(), "{reply}");
                    answered += 1;
                }
                Err(_) => raw = open(&victim).await?,
            }
        }
    }
    ensure!(answered > FUZZED / 100, "only {answered} sockets answered");
    no_commands(&victim).await?;
    victim.is_well().await
}

/// Frames that are no command at all: each is told so.
async fn no_commands(victim: &Victim) -> Result<()> {
    for text in [
        "",
        "{",
        "[]",
        "null",
        "0",
        "\"a\"",
        "{}",
        "{\"id\":1}",
        "{\"id\":1,\"ping\":{},\"ping\":{}}",
        "51-[\"x\",{\"_placeholder\":true,\"num\":10}]",
        "2probe",
        "42[\"__proto__\"]",
    ] {
        let mut raw = open(victim).await?;
        raw.send_frame(Opcode::Text, text.as_bytes()).await?;
        let object = raw.object_past_heartbeats().await.with_context(|| text.to_owned())?;
        check_problem(&object["problem"])
            .or_else(|error| if object["reply"].is_object() { Ok(()) } else { Err(error) })
            .with_context(|| text.to_owned())?;
    }
    Ok(())
}

/// V14: a number that is declared is no number that is reserved. Each in several forms, for the first mending of such a fault is
/// seldom whole.
pub(crate) async fn declared_counts() -> Result<()> {
    let victim = Victim::start().await?;
    let before = victim.memory()?;
    for number in [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "4294967296",
        "1e18",
        "0x7fffffff",
        "-1",
        "1_000_000",
        "99999999999999999999999",
        "NaN",
    ] {
        for query in ["limit", "last", "wait"] {
            if query == "wait" && (number == "1e18" || number.bytes().all(|byte| byte.is_ascii_digit())) {
                // A hold time is clamped, not refused.
                continue;
            }
            for path in ["/channels/counts?", "/subscribe?channel=counts&"] {
                let answer = victim.ask(Ask::get(format!("{path}{query}={number}"))).await?;
                ensure!(matches!(answer.status, 200 | 400), "{path}{query}={number}: {}", answer.status);
            }
        }
        for cursor in [format!("a-{number}"), format!("00000000.a-{number}"), format!("{number}-{number}")] {
            let answer = victim.ask(Ask::get(format!("/channels/counts?after={cursor}"))).await?;
            ensure!(matches!(answer.status, 200 | 400), "after={cursor}: {}", answer.status);
        }
        let mut raw = open(&victim).await?;
        for command in ["subscribe", "history"] {
            for field in ["last", "limit"] {
                let text = format!("{{\"id\":1,\"{command}\":{{\"channel\":\"c\",\"{field}\":{number}}}}}");
                raw.send_frame(Opcode::Text, text.as_bytes()).await?;
                let object = raw.object_past_heartbeats().await?;
                ensure!(object["reply"].is_object() || object["problem"].is_object(), "{text}: {object}");
            }
        }
    }
    let many: Vec<String> = (0..9_000).map(|number| format!("c{number}")).collect();
    let answer = victim.ask(Ask::json("/subscribe", &json!({"channels": many}).to_string())).await?;
    ensure!(answer.status >= 400, "9,000 channels: {}", answer.status);
    let objects: Vec<Value> = many.iter().map(|name| json!({"channel": name, "after": "start"})).collect();
    let answer =
        victim.ask(Ask::json("/subscribe", &json!({"channels": &objects[..1_000]}).to_string())).await?;
    ensure!(answer.status >= 400, "1,000 channels with cursors: {}", answer.status);
    let query: String = (0..2_000).map(|number| format!("channel=c{number}&")).collect();
    ensure!(
        victim.ask(Ask::get(format!("/subscribe?{query}"))).await?.status >= 400,
        "2,000 channels in a query"
    );
    let token = (0..2_000).map(|_| "AAAAAAAA.e-1").collect::<Vec<_>>().join("~");
    let answer = victim.ask(Ask::get(format!("/subscribe?channel=a&after={token}"))).await?;
    ensure!((400..500).contains(&answer.status), "a token of 2,000 entries: {}", answer.status);
    let grown = victim.memory_most()?.saturating_sub(before);
    ensure!(grown < 16 << 20, "{grown} bytes for what was only declared");
    victim.is_well().await
}

/// V17: names that differ in case or normal form are different names, or none; who leaves one stays in the other.
pub(crate) async fn cases_and_normal_forms() -> Result<()> {
    let victim = Victim::start().await?;
    for (name, other) in [
        ("Chat", "chat"),
        ("straße", "STRASSE"),
        ("ǆ", "ǅ"),
        ("İ", "i"),
        ("ﬁ", "fi"),
        ("Ω", "ω"),
        ("а", "a"),
        ("x", "ｘ"),
        ("a:b", "a.b"),
        ("a_b", "a-b"),
    ] {
        let mut raw = open(&victim).await?;
        for channel in [name, other] {
            let reply = call(&mut raw, &json!({"id": 1, "subscribe": {"channel": channel}})).await?;
            ensure!(reply["reply"]["channel"] == channel, "{name} {other}: {reply}");
        }
        call(&mut raw, &json!({"id": 2, "unsubscribe": {"channel": other}})).await?;
        for channel in [other, name] {
            victim
                .ask(Ask::text(format!("/channels/{}", efir_client::encode_channel(channel)), channel))
                .await?;
        }
        let message = raw.object_past_heartbeats().await?;
        ensure!(message["channel"] == name && message["data"] == name, "{name} {other}: {message}");
    }
    // Not in NFC: no name of anything.
    for name in ["e\u{301}", "\u{212b}", "\u{1100}\u{1161}", "\u{2126}"] {
        let mut raw = open(&victim).await?;
        for command in ["subscribe", "unsubscribe", "history"] {
            let reply = call(&mut raw, &json!({"id": 1, command: {"channel": name}})).await?;
            ensure!(reply["problem"]["code"] == "invalid_channel", "{command} {name:?}: {reply}");
        }
        let path = format!("/channels/{}", efir_client::encode_channel(name));
        victim.ask(Ask::text(path, "x")).await?.problem("invalid_channel")?;
    }
    victim.is_well().await
}

/// V17: a hundred thousand beginnings of nothing. No reader leaves anything behind: its cursor is its own.
pub(crate) async fn readers_leave_nothing_behind() -> Result<()> {
    let victim = Victim::start().await?;
    let ask = |number: usize| {
        let cursor = if number.is_multiple_of(2) { "" } else { "?after=nobody-7" };
        format!("GET /channels/half-open-{number}{cursor} HTTP/1.1\r\nHost: {}\r\n\r\n", victim.address())
    };
    let rounds = |from: usize, until: usize| {
        let heads: Vec<String> = (from..until).map(ask).collect();
        async move {
            let mut raw = Raw::connect(victim_address(&heads)?).await?;
            for head in heads.chunks(100) {
                raw.write(head.concat().as_bytes()).await?;
                for _ in head {
                    ensure!(raw.answer_to("GET").await?.status == 200, "a read of nothing");
                }
            }
            anyhow::Ok(())
        }
    };
    rounds(0, 2_000).await?;
    let before = victim.memory()?;
    rounds(2_000, 12_000).await?;
    let grown = victim.memory_most()?.saturating_sub(before);
    ensure!(grown < 4 << 20, "{grown} bytes for 10,000 readers that are gone");
    victim.is_well().await
}

fn victim_address(heads: &[String]) -> Result<std::net::SocketAddr> {
    let head = heads.first().context("no head")?;
    let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).context("no host")?;
    Ok(host.parse()?)
}

/// V23: not bytes but a sequence: subscribing, publishing, leaving and closing in any order, against a list of who is where.
pub(crate) async fn sequences() -> Result<()> {
    let victim = Victim::start().await?;
    let mut random = fastrand::Rng::with_seed(23);
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push((open(&victim).await?, HashSet::new()));
    }
    for step in 0..STEPS / 10 {
        let place = random.usize(..SOCKETS);
        // Several commands in one write, so that they meet each other in the server.
        let (raw, joined) = &mut sockets[place];
        let mut frames = Vec::new();
        for _ in 0..10 {
            let channel = format!("v23-{}", random.usize(..CHANNELS));
            let command = match random.u8(..10) {
                0..4 if joined.insert(channel.clone()) => json!({"subscribe": {"channel": channel}}),
                4..7 if joined.remove(&channel) => json!({"unsubscribe": {"channel": channel}}),
                _ => json!({"publish": {"channel": channel, "text": "x"}}),
            };
            let mut command = command;
            command["id"] = json!(step);
            frames.extend(efir_testkit::raw::frame_bytes(0x81, command.to_string().as_bytes()));
        }
        raw.write(&frames).await?;
        call(raw, &json!({"id": "read", "ping": {}})).await?;
        if random.u8(..) == 0 {
            let (old, _) = std::mem::replace(&mut sockets[place], (open(&victim).await?, HashSet::new()));
            old.reset()?;
        }
    }
    for number in 0..CHANNELS {
        let channel = format!("v23-{number}");
        let last = format!("last of {number}");
        victim.ask(Ask::text(format!("/channels/{channel}"), &last)).await?;
        for (raw, joined) in &mut sockets {
            raw.send_frame(Opcode::Text, br#"{"id":"last","ping":{}}"#).await?;
            let mut has_come = false;
            loop {
                let object = raw.object().await?;
                has_come |= object["data"] == last.as_str();
                if object["id"] == "last" {
                    break;
                }
            }
            if joined.contains(&channel) && !has_come {
                // It may stand behind the reply to the ping.
                has_come = raw.object_past_heartbeats().await?["data"] == last.as_str();
            }
            ensure!(
                has_come == joined.contains(&channel),
                "{channel}: came {has_come}, joined {}",
                joined.contains(&channel)
            );
        }
    }
    victim.is_well().await
}
