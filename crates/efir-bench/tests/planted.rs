//! A whole run against a tiny server that does something wrong on purpose: the tool has to see it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use efir_bench::mark::MARK_LEN;
use efir_bench::sequence::Faults;
use efir_bench::{Figures, Heard, Load, Message, Pace, Publish, Seat, Subscribe, Target, run};

/// Payloads one after the other, without frames. A subscriber says `S`, a publisher `P`; the server says `.` to both.
#[derive(Debug)]
struct Bare;

fn joined(bytes: &[u8], heard: &mut Heard) {
    heard.is_joined |= bytes.first() == Some(&b'.');
}

impl Subscribe for Bare {
    fn name(&self) -> &str {
        "bare"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.push(b'S');
    }

    fn receive(&self, _: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        joined(bytes, heard);
        Ok(heard.search(bytes))
    }
}

impl Publish for Bare {
    fn name(&self) -> &str {
        "bare"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.push(b'P');
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.payload);
    }

    fn receive(&self, _: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        joined(bytes, heard);
        Ok(bytes.len())
    }

    fn is_answered(&self) -> bool {
        false
    }
}

/// Serves one run: takes `subscribers` and a publisher, and hands each message (counted from 0) to `pass`.
fn serve(
    subscribers: usize,
    mut pass: impl FnMut(usize, &[u8], &mut [TcpStream]) + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut reading = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().unwrap();
            let mut word = [0];
            socket.read_exact(&mut word).unwrap();
            socket.write_all(b".").unwrap();
            if word == *b"S" {
                reading.push(socket);
                continue;
            }
            assert_eq!(reading.len(), subscribers);
            let mut message = [0; MARK_LEN];
            for n in 0.. {
                if socket.read_exact(&mut message).is_err() {
                    return;
                }
                pass(n, &message, &mut reading);
            }
        }
    });
    address
}

fn to_all(message: &[u8], reading: &mut [TcpStream]) {
    reading.iter_mut().for_each(|socket| socket.write_all(message).unwrap());
}

fn figures(address: SocketAddr, pace: Pace) -> Figures {
    let load = Load {
        subscribers: 3,
        payload_bytes: MARK_LEN,
        pace,
        warm_up: Duration::from_millis(50),
        measured: Duration::from_millis(200),
        ..Load::default()
    };
    let (subscribe, publish) = (Arc::new(Bare), Arc::new(Bare));
    run(
        &load,
        &Target { destination: address.into(), subscribe, publish, processes: Vec::new() },
        &mut |_| (),
    )
    .unwrap()
}

#[test]
fn nothing_is_wrong_with_a_server_that_passes_everything_on() {
    for pace in [Pace::PerSecond(500.0), Pace::flat_out(MARK_LEN)] {
        let figures = figures(serve(3, |_, message, reading| to_all(message, reading)), pace);
        assert!(figures.faults.is_none(), "{}", figures.faults);
        assert!(figures.published >= 50, "{}", figures.published);
        assert_eq!(
            (figures.seen.delivered, figures.expected),
            (figures.published * 3, figures.published * 3)
        );
        assert_eq!(figures.seen.latency.count(), figures.seen.delivered);
        assert_eq!(figures.seen.bytes_in, figures.seen.delivered * MARK_LEN as u64);
    }
}

#[test]
fn every_planted_fault_is_counted() {
    let mut kept = Vec::new();
    let address = serve(3, move |n, message, reading| match n {
        // One of three does not get it.
        40 => to_all(message, &mut reading[1..]),
        // One gets it twice.
        45 => {
            to_all(message, reading);
            to_all(message, &mut reading[..1]);
        }
        // All get it after the next.
        50 => kept = message.to_vec(),
        51 => {
            to_all(message, reading);
            to_all(&kept, reading);
        }
        _ => to_all(message, reading),
    });
    let figures = figures(address, Pace::PerSecond(500.0));
    assert_eq!(figures.faults, Faults { lost: 1, duplicated: 1, reordered: 3 });
    assert_eq!(figures.expected, figures.published * 3);
}

#[test]
fn a_stall_is_seen_in_the_latency_of_all_that_was_planned_meanwhile() {
    let address = serve(3, |n, message, reading| {
        if n == 60 {
            std::thread::sleep(Duration::from_millis(100));
        }
        to_all(message, reading);
    });
    let figures = figures(address, Pace::PerSecond(500.0));
    // 100 ms are 50 messages of the 100: a quarter of all waited 50 ms or more, and no sending in step with the
    // answers hides that.
    assert!(figures.seen.latency.max() >= 99_000, "{}", figures.seen.latency.max());
    assert!(figures.seen.latency.quantile(0.8) >= 20_000, "{}", figures.seen.latency.quantile(0.8));
}
