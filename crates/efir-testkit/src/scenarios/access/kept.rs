//! What channels keep by their rules, from the beginning and after the rules were replaced.

use std::time::Duration;

use anyhow::{Context, Result};
use efir_access::{Audience, Rule};

use super::rule;
use crate::{
    access::Closed,
    history::Place,
    room::{Cell, Room, same, texts},
    witness::Witness,
};

/// The channel beside the room's, under another rule.
const OTHER: &str = "side";

/// Everybody may everything; the room's channel and the other one keep so many messages, `None`: as the node.
fn keeping(room: Option<usize>, other: Option<usize>) -> Result<Closed> {
    let mut rules = [rule("эфир:**", Audience::Anyone)?, rule("**", Audience::Anyone)?];
    for (rule, kept) in rules.iter_mut().zip([room, other]) {
        rule.options.retention_messages_max = kept;
    }
    Closed::of(rules.into())
}

/// Publishes to one channel; gives where the first of it stands.
fn fill(room: &Room, channel: &str, count: u64) -> Result<Place> {
    let writer = room.writer("inside");
    for text in texts(1..=count) {
        writer.publish_inside(&room.node, channel, &text)?;
    }
    let head = room.node.hub().position(&efir_core::ChannelName::parse(channel)?).to_string();
    let head = Place::parse(&head).with_context(|| format!("{head} is no position"))?;
    Ok(Place { offset: 1, ..head })
}

fn reader(room: &Room, channel: &str, name: &str) -> Result<Witness> {
    let aim = room.aim(room.cell.row()?, vec![channel.to_owned()])?;
    Ok(Witness::new(name, aim, room.history.clone()))
}

/// A reader that comes with the first position misses what is before `kept`, for this reason, and gets exactly what is kept.
async fn replays(
    room: &Room,
    channel: &str,
    (first, reason): (&Place, &str),
    kept: std::ops::RangeInclusive<u64>,
) -> Result<()> {
    let before = Place { offset: kept.start() - 1, ..first.clone() };
    let mut late = reader(room, channel, &format!("late reader of {channel} {kept:?}"))?;
    late.open_after(&first.to_string()).await?;
    let gap = late.gap().await?;
    same("reason", gap.reason.as_str(), reason)?;
    same("after", gap.after.as_deref(), Some(first.to_string().as_str()))?;
    same("resume_from", gap.resume_from, before.to_string())?;
    late.texts(texts(kept.clone())).await?;
    late.settle().await?;
    let mut in_time = reader(room, channel, &format!("reader in time of {channel} {kept:?}"))?;
    in_time.open_after(&before.to_string()).await?;
    in_time.texts(texts(kept)).await?;
    in_time.settle().await
}

/// Two channels under two rules keep what each of them says.
pub(super) async fn each_channel_keeps_what_its_rule_says(cell: Cell) -> Result<()> {
    let room = super::closed(&cell, keeping(Some(3), Some(10))?).await?;
    room.keeps(&room.channel, Some(3));
    room.keeps(OTHER, Some(10));
    let first = fill(&room, &room.channel, 12)?;
    let other = fill(&room, OTHER, 12)?;
    replays(&room, &room.channel, (&first, "trimmed"), 10..=12).await?;
    replays(&room, OTHER, (&other, "trimmed"), 3..=12).await?;
    room.close().await
}

/// One channel forgets by its own age, the other by the node's.
pub(super) async fn a_channel_keeps_as_long_as_its_rule_says(cell: Cell) -> Result<()> {
    let mut short: Rule = rule("эфир:**", Audience::Anyone)?;
    short.options.retention_ms_max = Some(60);
    let room = super::closed(&cell, Closed::of(vec![short, rule("**", Audience::Anyone)?])?).await?;
    room.keeps_by_age();
    let first = fill(&room, &room.channel, 3)?;
    let other = fill(&room, OTHER, 3)?;
    tokio::time::sleep(Duration::from_millis(130)).await;
    room.sweep();
    let mut late = reader(&room, &room.channel, "late reader")?;
    late.open_after(&first.to_string()).await?;
    let gap = late.gap().await?;
    same("reason", gap.reason.as_str(), "expired")?;
    same("resume_from", gap.resume_from, first.plus(2).to_string())?;
    room.publish("m4").await?;
    late.text("m4").await?;
    late.settle().await?;
    let mut other_reader = reader(&room, OTHER, "reader of the other")?;
    other_reader.open_after(&other.to_string()).await?;
    other_reader.texts(texts(2..=3)).await?;
    other_reader.settle().await?;
    room.close().await
}

/// Rules that are replaced hold for channels that are there: at the next publish, or when they are swept.
pub(super) async fn new_rules_hold_for_what_is_kept_already(cell: Cell) -> Result<()> {
    let room = super::closed(&cell, keeping(None, None)?).await?;
    let first = fill(&room, &room.channel, 12)?;
    let other = fill(&room, OTHER, 12)?;
    room.node.close_to(&keeping(Some(3), Some(10))?)?;
    room.keeps(&room.channel, Some(3));
    room.keeps(OTHER, Some(10));
    room.publish("m13").await?;
    room.sweep();
    replays(&room, &room.channel, (&first, "trimmed"), 11..=13).await?;
    replays(&room, OTHER, (&other, "trimmed"), 3..=12).await?;

    // Each other way round, and then as the node: what is gone does not come back.
    room.node.close_to(&keeping(None, Some(2))?)?;
    room.keeps(&room.channel, None);
    room.keeps(OTHER, Some(2));
    for text in texts(14..=18) {
        room.publish(&text).await?;
    }
    room.publish_to(OTHER, "m13").await?;
    replays(&room, &room.channel, (&first, "trimmed"), 11..=18).await?;
    replays(&room, OTHER, (&other, "trimmed"), 12..=13).await?;
    room.close().await
}
