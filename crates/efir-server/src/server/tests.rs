//! What becomes of those who wait in the queues of the listening sockets when a server goes. This one was never opened, so that all of
//! them still wait.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use super::*;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn prepared(workers: usize) -> Running {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Server::prepare(Resolved { listen, workers, ..Resolved::default() }, Handed::default()).unwrap()
}

/// Has connected and asked.
fn waiting(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn whoever_waits_is_let_in_and_answered_before_the_sockets_close() {
    let running = prepared(2);
    let mut waiting: Vec<_> = (0..40).map(|_| waiting(&running)).collect();
    let stopping = std::thread::spawn(|| run(running.stop()));
    for (number, mut stream) in waiting.drain(..).enumerate() {
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {ended:?} {answer:?}");
    }
    stopping.join().unwrap();
}

#[test]
fn whoever_waits_is_left_to_a_successor() {
    let mut running = prepared(1);
    let theirs = running.kept[0].listener.try_clone().unwrap();
    let mut waiting: Vec<_> = (0..20).map(|_| waiting(&running)).collect();
    run(async {
        // As when it has been handed over.
        Shut::begin(&running.entrances).await.stay().await;
        running.kept.clear();
        running.stop().await;
    });
    for (number, stream) in waiting.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        let ended = stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::WouldBlock), "{number}: it was answered or reset");
    }
    for _ in waiting {
        theirs.accept().unwrap();
    }
}
