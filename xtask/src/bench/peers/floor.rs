//! The floor: a loop that writes each message to every subscriber's socket, and does nothing else.
//!
//! It is measured as a server: whatever one costs beyond it is that server's own doing, or its protocol's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use super::dialects::raw;

/// About what a WebSocket frame of efir has for a payload of 100 bytes: head, channel, position, time, payload.
const FRAME_BYTES: usize = 190;

/// Takes subscribers and publishers on a port of 127.0.0.1 until it is killed. Payloads have `payload_bytes`.
pub(super) fn serve(port: u16, payload_bytes: usize) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).context("binding the floor's port")?;
    let subscribers: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    for socket in listener.incoming() {
        let mut socket = socket?;
        socket.set_nodelay(true)?;
        let mut kind = [0];
        // Whoever only looks whether somebody listens says nothing.
        if socket.read_exact(&mut kind).is_err() {
            continue;
        }
        socket.write_all(&[raw::JOINED])?;
        if kind == [raw::SUBSCRIBER] {
            subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
        } else {
            let subscribers = Arc::clone(&subscribers);
            // It ends with its publisher.
            std::thread::spawn(move || send(&mut socket, payload_bytes, &subscribers));
        }
    }
    Ok(())
}

fn send(publisher: &mut TcpStream, payload_bytes: usize, subscribers: &Mutex<Vec<TcpStream>>) {
    let mut frame = vec![b'.'; FRAME_BYTES.max(payload_bytes)];
    let start = frame.len() - payload_bytes;
    let subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    while publisher.read_exact(&mut frame[start..]).is_ok() {
        for mut socket in subscribers.iter() {
            if socket.write_all(&frame).is_err() {
                return;
            }
        }
    }
}
