//! What a connection's peer has taken, as the kernel counts it. It knows a socket and nothing of what is written to it.

use tokio::net::TcpStream;

/// Bytes that the peer has acknowledged since the connection began, if more waits here for which it has no room.
///
/// That more waits is what makes the number worth something: a peer's kernel acknowledges what its program never reads, but only until its
/// buffer is full, and after that no more than the program takes out of it. `None` where nothing waits, and where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn taken_bytes(tcp: &TcpStream) -> Option<u64> {
    use std::{mem, os::fd::AsRawFd, ptr};

    let mut bytes = mem::size_of::<libc::tcp_info>() as libc::socklen_t;
    #[expect(unsafe_code, reason = "no crate of ours offers TCP_INFO")]
    // SAFETY: `tcp_info` is numbers only, for which zeros are a value. The kernel writes at most `bytes` bytes into it, which is its size, and
    // keeps neither pointer; both live through the call. The descriptor is open as long as `tcp` is borrowed.
    let info = unsafe {
        let mut info: libc::tcp_info = mem::zeroed();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        let told =
            libc::getsockopt(tcp.as_raw_fd(), level, name, ptr::from_mut(&mut info).cast(), &raw mut bytes);
        (told == 0).then_some(info)?
    };
    // Before Linux 4.6 this is zero for ever.
    (info.tcpi_notsent_bytes > 0).then_some(info.tcpi_bytes_acked)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn taken_bytes(_tcp: &TcpStream) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpSocket},
    };

    use super::*;

    #[tokio::test]
    async fn what_a_reader_takes_is_seen_while_more_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(2_048).unwrap();
        let mut client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(taken_bytes(&server), None, "nothing waits");
        let mut written = 0;
        server.writable().await.unwrap();
        while let Ok(bytes) = server.try_write(&[b'x'; 64 * 1024]) {
            written += bytes;
        }
        // The reader's own buffer fills up first.
        let mut before = None;
        while before.is_none() || before != taken_bytes(&server) {
            before = taken_bytes(&server);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        client.read_exact(&mut [0; 32 * 1024]).await.unwrap();
        while taken_bytes(&server).unwrap() < before.unwrap() + 16 * 1024 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        client.read_exact(&mut vec![0; written - 32 * 1024]).await.unwrap();
        assert_eq!(taken_bytes(&server), None, "nothing waits any more");
    }
}
