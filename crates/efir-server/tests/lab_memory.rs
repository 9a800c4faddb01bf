//! What the lab holds for its visitors, as the machine counts it. The only test of its process, so that nothing else is counted.
#![cfg(target_os = "linux")]

#[path = "lab/wire.rs"]
#[allow(dead_code, reason = "the other tests of the lab need the rest")]
mod wire;

use wire::Node;

/// Bytes of memory that this process has.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Each of them is read alone and waits for its time; what waits is the message and not the room that it was read into.
#[test]
fn small_messages_on_their_way_take_little_room() {
    let node = Node::with(|config| config.limits.lab_visitor_connections_max = 40);
    let mut sockets: Vec<_> = (0..40).map(|_| node.connect()).collect();
    for socket in &mut sockets {
        socket.send("GET /lab/via/v/channels/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        socket.send("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        socket.read_to("{\"hello\":");
        // To its end, which may come in a piece of its own.
        socket.read_to("}}");
    }
    node.set("v", r#"{"delay_ms":10000}"#);
    let mut publisher = node.connect();
    let before = resident();
    for n in 0..500 {
        assert_eq!(publisher.ask("POST", "/channels/chat", "x").json()["offset"], n + 1);
    }
    let grown = resident().saturating_sub(before);
    println!("{grown} bytes for 20,000 messages on their way");
    assert!(grown < 16 * 1024 * 1024, "{grown}");
    assert!(sockets[0].is_silent());
}
