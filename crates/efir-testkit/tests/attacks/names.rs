//! Names of channels and places in tokens: what is different stays different, however it is joined with something else.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use efir_client::encode_channel;
use efir_testkit::ask::Ask;
use serde_json::json;

use crate::victim::Victim;

/// V6: a message of one channel never reaches another one, whatever stands in their names.
pub(crate) async fn injective() -> Result<()> {
    let victim = Victim::start().await?;
    let parts = [
        "a", "b", "_", "~", ".", "-", ",", "%2F", "%", "+", " ", "&", "=", "?", "#", ";", "\\", "|", ":",
        "*", "**", "{user}", "\u{2044}", "é",
    ];
    let mut names = Vec::new();
    for left in parts {
        names.push(left.to_owned());
        for right in parts {
            names.push(format!("{left}{right}"));
            names.push(format!("a{left}{right}b"));
        }
    }
    names.retain(|name| !matches!(name.as_str(), "." | ".."));
    names.sort();
    names.dedup();
    let mut positions = HashMap::new();
    for name in &names {
        let answer = victim.ask(Ask::text(format!("/channels/{}", encode_channel(name)), name)).await?;
        let receipt = answer.json()?;
        ensure!(receipt["channel"] == name.as_str() && receipt["offset"] == 1, "{name:?}: {receipt}");
        positions.insert(name, receipt["position"].clone());
    }
    for name in &names {
        let batch =
            victim.ask(Ask::get(format!("/channels/{}?after=start", encode_channel(name)))).await?.json()?;
        let messages = batch["messages"].as_array().with_context(|| format!("{name:?}: {batch}"))?;
        ensure!(messages.len() == 1 && messages[0]["data"] == name.as_str(), "{name:?} got {messages:?}");
    }
    // Several in one response: each with its own cursor.
    for some in names.chunks(50) {
        let channels: Vec<_> = some.iter().map(|name| json!({"channel": name, "after": "start"})).collect();
        let batch = victim
            .ask(Ask::json("/subscribe?limit=1000", &json!({"channels": channels}).to_string()))
            .await?
            .json()?;
        ensure!(batch["messages"].as_array().map(Vec::len) == Some(some.len()), "{batch}");
        let token = batch["cursor"].as_str().context("no token")?;
        let query: String = some.iter().map(|name| format!("channel={}&", encode_channel(name))).collect();
        let rest = victim.ask(Ask::get(format!("/subscribe?{query}after={token}"))).await?.json()?;
        ensure!(
            rest["messages"] == json!([]) && rest.get("gaps").is_none(),
            "read again after {token}: {rest}"
        );
    }
    Ok(())
}

/// V6: keys of idempotency belong to their channel, and are not joined with its name.
pub(crate) async fn keys_belong_to_their_channel() -> Result<()> {
    let victim = Victim::start().await?;
    for (channel, key) in [("a", "b:c"), ("a:b", "c"), ("a", "b"), ("ab", "c"), ("a:", "b:c"), ("a", ":b:c")]
    {
        let ask =
            Ask::text(format!("/channels/{}", encode_channel(channel)), channel).with("Idempotency-Key", key);
        let receipt = victim.ask(ask.clone()).await?.json()?;
        ensure!(receipt["duplicate"] == false, "{channel:?} {key:?}: {receipt}");
        ensure!(victim.ask(ask).await?.json()?["duplicate"] == true, "{channel:?} {key:?} again");
    }
    Ok(())
}
