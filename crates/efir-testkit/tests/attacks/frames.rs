//! WebSocket frames that hurt other servers.

use anyhow::{Context, Result, ensure};
use efir_testkit::raw::{Opcode, Raw, frame_bytes};

use crate::victim::{CONNECTION_BYTES_MAX, Victim, closed};

const TARGETS: [&str; 2] = ["/channels/frames", "/socket"];

/// V2: lengths at the edges of their forms, and longer forms than a length needs.
pub(crate) async fn lengths() -> Result<()> {
    let victim = Victim::start().await?;
    let mut before = 0;
    // The first round pays for what all others share.
    for target in TARGETS.into_iter().chain(TARGETS) {
        if target == TARGETS[0] {
            before = victim.memory()?;
        }
        for first in [0x81_u8, 0x82, 0x01, 0xc1] {
            for length in
                [(1_u64 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX, 0, 125, 65_535]
            {
                let head = [&[first, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4], b"tail"].concat();
                refused(&victim, target, &head).await.with_context(|| format!("{first:#x} {length}"))?;
            }
            for length in [0_u16, 1, 125] {
                let head = [&[first, 0xfe][..], &length.to_be_bytes(), &[1, 2, 3, 4], b"tail"].concat();
                refused(&victim, target, &head)
                    .await
                    .with_context(|| format!("{first:#x} {length} in 16 bits"))?;
            }
        }
        // Control frames have 125 bytes at most.
        for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
            refused(&victim, target, &frame_bytes(0x80 | opcode as u8, &[0; 126])).await?;
            let head = [&[0x80 | opcode as u8, 0xff][..], &u64::MAX.to_be_bytes(), &[1, 2, 3, 4]].concat();
            refused(&victim, target, &head).await?;
        }
    }
    let grown = victim.memory_most()?.saturating_sub(before);
    ensure!(grown <= CONNECTION_BYTES_MAX, "{grown} bytes for what was announced and never came");
    victim.is_well().await
}

/// Sends it on a connection of its own, which has to end as a fault of the client's.
async fn refused(victim: &Victim, target: &str, bytes: &[u8]) -> Result<()> {
    let mut raw = Raw::websocket(victim.address(), target).await?;
    raw.write(bytes).await?;
    let (code, _) = closed(&mut raw).await?;
    ensure!(matches!(code, 1002 | 1009), "closed with {code}");
    Ok(())
}

/// V9: fragments of nothing or next to it, which never end.
pub(crate) async fn a_million_fragments() -> Result<()> {
    a_million_fragments_of(&Victim::start().await?).await
}

/// V9: the same by somebody who was let in.
pub(crate) async fn a_million_fragments_after_authentication() -> Result<()> {
    a_million_fragments_of(&Victim::start_closed().await?).await
}

async fn a_million_fragments_of(victim: &Victim) -> Result<()> {
    for target in TARGETS {
        for payload in [&b""[..], b"x"] {
            let mut raw = victim.websocket(target).await?;
            let before = victim.memory()?;
            raw.write(&frame_bytes(0x01, payload)).await?;
            let more = frame_bytes(0x00, payload).repeat(1_000);
            let mut sent = 0_u32;
            // Until the server has had enough; it need not read what comes after that.
            while sent < 1_000_000 && raw.write(&more).await.is_ok() {
                sent += 1_000;
                if !raw.is_silent(std::time::Duration::ZERO).await && sent > 10_000 {
                    break;
                }
            }
            let grown = victim.memory_most()?.saturating_sub(before);
            ensure!(sent < 1_000_000, "a million fragments were taken on {target}");
            ensure!(grown <= CONNECTION_BYTES_MAX, "{grown} bytes for {sent} fragments");
        }
        // A ping in between is no end of a message.
        let mut raw = victim.websocket(target).await?;
        raw.write(&frame_bytes(0x01, b"x")).await?;
        let more = [frame_bytes(0x00, b"").repeat(100), frame_bytes(0x89, b"")].concat().repeat(60);
        let _ = raw.write(&more).await;
        let (code, problem) = closed(&mut raw).await?;
        ensure!(matches!(code, 1008 | 1009), "closed with {code} ({problem})");
    }
    victim.is_well().await
}

/// V18: an opcode that does not exist, with a length that cannot be.
pub(crate) async fn unknown_opcodes() -> Result<()> {
    let victim = Victim::start().await?;
    let mut before = 0;
    for target in TARGETS.into_iter().chain(TARGETS) {
        if target == TARGETS[0] {
            before = victim.memory()?;
        }
        for opcode in [0x3_u8, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            for length in [u64::MAX, (1 << 63) - 1, 1 << 31] {
                let head = [&[0x80 | opcode, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
                let mut raw = Raw::websocket(victim.address(), target).await?;
                raw.write(&head).await?;
                let (code, _) = closed(&mut raw).await?;
                ensure!(code == 1002, "{opcode:#x}: closed with {code}");
            }
        }
    }
    let grown = victim.memory_most()?.saturating_sub(before);
    ensure!(grown <= CONNECTION_BYTES_MAX, "{grown} bytes");
    victim.is_well().await
}
