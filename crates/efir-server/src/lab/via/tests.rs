//! Connections whose visitor takes little or nothing: they end.

use std::time::Instant;

use efir_core::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::lab::visitors::Visitors;

const STALL_MAX: Duration = Duration::from_secs(1);

fn visitors() -> Visitors {
    Visitors::new(&Limits::default())
}

/// The visitor of a connection through the lab that the server answers with so many bytes and closes, and the connection.
async fn answered(
    bytes: usize,
    stall_max: Duration,
    visitors: &Visitors,
) -> (TcpStream, impl Future<Output = Carried> + use<>) {
    let (front, server) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    // The kernel holds little, so that what is not taken stands in the lab.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let visitor = socket.connect(front.local_addr().unwrap()).await.unwrap();
    let client = front.accept().await.unwrap().0;
    socket2::SockRef::from(&client).set_send_buffer_size(4_096).unwrap();
    let way = Way {
        pass: visitors.enter("v", Instant::now()).unwrap(),
        visitor: "v".to_owned(),
        access: Access::Neighbours,
        server: server.local_addr().unwrap(),
        head_max: Duration::from_secs(60),
        stall_max,
    };
    tokio::spawn(async move {
        let mut stream = server.accept().await.unwrap().0;
        // What is not read would make a reset of its end. Writing fails where the connection is cut before.
        let _ = stream.read(&mut [0; 1_024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = stream.write_all(&vec![b'x'; bytes]).await;
    });
    let input = BytesMut::from("GET /lab/via/v/ HTTP/1.1\r\n\r\n");
    // The sender of the stop lives as long as the connection.
    let carried = async move {
        let (_stop, stopping) = watch::channel(false);
        carry(way, (client, input), stopping).await
    };
    (visitor, carried)
}

#[tokio::test]
async fn a_visitor_that_takes_nothing_is_cut_however_much_there_is() {
    for bytes in [100_000, 10_000_000] {
        let (_visitor, carried) = answered(bytes, STALL_MAX, &visitors()).await;
        let outcome = tokio::time::timeout(Duration::from_secs(20), carried).await;
        assert!(matches!(outcome, Ok(Carried::Over)), "{bytes}");
    }
}

#[tokio::test]
async fn what_a_server_has_left_is_not_kept_for_ever() {
    let (mut visitor, carried) = answered(200_000, STALL_MAX, &visitors()).await;
    let reading = async {
        let (mut taken, mut bytes) = (0, [0; 1_024]);
        while let Ok(count @ 1..) = visitor.read(&mut bytes).await {
            taken += count;
            tokio::time::sleep(STALL_MAX / 50).await;
        }
        taken
    };
    let (outcome, taken) = tokio::join!(carried, reading);
    assert!(matches!(outcome, Carried::Over) && taken < 200_000, "{taken}");
}

#[tokio::test]
async fn a_visitor_holds_little_where_others_hold_too_much() {
    let mut crowded = visitors();
    crowded.bytes_max = 0;
    for (visitors, least, most) in [(visitors(), 200_000, 300_000), (crowded, 1, 50_000)] {
        let (_visitor, carried) = answered(10_000_000, STALL_MAX, &visitors).await;
        let mut carried = std::pin::pin!(carried);
        let mut held = 0;
        while tokio::time::timeout(Duration::from_millis(1), &mut carried).await.is_err() {
            held = held.max(visitors.bytes.load(Ordering::Relaxed));
        }
        assert!((least..most).contains(&held), "{held}");
    }
}

#[tokio::test]
async fn a_visitor_that_reads_has_everything_also_where_others_hold_too_much() {
    let mut crowded = visitors();
    crowded.bytes_max = 0;
    for visitors in [visitors(), crowded] {
        let (mut visitor, carried) = answered(2_000_000, Duration::from_secs(60), &visitors).await;
        let mut bytes = Vec::new();
        let reading = async {
            visitor.read_to_end(&mut bytes).await.unwrap();
            drop(visitor);
        };
        let (outcome, ()) = tokio::join!(carried, reading);
        assert!(matches!(outcome, Carried::Over));
        assert_eq!(bytes.len(), 2_000_000 + "HTTP/1.1 200 OK\r\n\r\n".len());
    }
}
