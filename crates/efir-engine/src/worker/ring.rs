//! Many sends by one system call: a step of a fan-out goes through an io_uring, where the kernel grants one.
//!
//! It knows file descriptors and bytes, nothing of connections. No send is ever left behind in the kernel: each one
//! ends at once, with `WouldBlock` where the socket is full. `walk.rs` fills it.

use std::{
    io,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use io_uring::{IoUring, opcode::Send, types::Fd};

/// Sends that one call takes.
const SENDS_MAX: u32 = super::walk::STEP as u32;

/// A worker's ring: 24 KiB of the kernel's memory, one file.
pub(super) struct Ring {
    ring: IoUring,
    results: Vec<Option<i32>>,
    is_broken: bool,
}

impl Ring {
    /// None where io_uring is switched off or forbidden (containers often do), or the kernel is older than 6.0: each send
    /// is a call of its own then. It must be used by the thread that opens it.
    pub(super) fn open() -> Option<Self> {
        let ring = IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(SENDS_MAX).ok()?;
        Some(Self { ring, results: Vec::new(), is_broken: false })
    }

    /// The kernel failed us: drop the ring, with what it did not submit.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Sends all of it, as many as a step has subscribers, without waiting for any peer; returns how each one went, in order. An error of the
    /// ring itself breaks it, and leaves the sends that it concerns undone, as `WouldBlock`.
    pub(super) fn send<'a>(
        &mut self,
        sends: impl Iterator<Item = (RawFd, &'a [u8])>,
    ) -> impl Iterator<Item = io::Result<usize>> {
        self.results.clear();
        if self.is_broken {
            self.results.extend(sends.map(|_| None));
            return Self::told(&mut self.results);
        }
        for (number, (fd, bytes)) in sends.enumerate() {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let send = Send::new(Fd(fd), bytes.as_ptr(), length)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .user_data(number as u64);
            #[expect(unsafe_code, reason = "io_uring takes pointers")]
            // SAFETY: `bytes` is borrowed until this function returns. By then the kernel is done with it: `submit` waits for
            // every completion, and a ring that is broken is never submitted again.
            let pushed = unsafe { self.ring.submission().push(&send) };
            // The ring is empty between two calls; what goes beyond its size has to be sent in another way.
            self.results.push(pushed.is_err().then_some(-libc::EAGAIN));
        }
        self.submit();
        Self::told(&mut self.results)
    }

    /// As [`Ring::send`], of `count` sends, and all that came of them. A ring on which that panics is broken; nobody knows what it has sent
    /// then, so all of these sends have failed.
    pub(super) fn send_all<'a>(
        &mut self,
        count: usize,
        sends: impl Iterator<Item = (RawFd, &'a [u8])>,
    ) -> Vec<io::Result<usize>> {
        let sent = catch_unwind(AssertUnwindSafe(|| self.send(sends).collect()));
        sent.unwrap_or_else(|_| {
            self.is_broken = true;
            (0..count).map(|_| Err(io::ErrorKind::BrokenPipe.into())).collect()
        })
    }

    fn told(results: &mut Vec<Option<i32>>) -> impl Iterator<Item = io::Result<usize>> {
        results.drain(..).map(|result| match result {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(result) => {
                usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
            }
        })
    }

    /// Submits what was pushed and waits until it is done, which it is at once: no send may wait.
    fn submit(&mut self) {
        let mut left = self.results.iter().filter(|result| result.is_none()).count();
        while left > 0 {
            let entered = self.ring.submit_and_wait(left);
            for completion in self.ring.completion() {
                left -= 1;
                if let Some(result) = self.results.get_mut(completion.user_data() as usize) {
                    *result = Some(completion.result());
                }
            }
            match entered {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(event = "ring_given_up", %error, "io_uring is given up");
                    self.is_broken = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn a_full_socket_holds_up_nobody() {
        let Some(mut ring) = Ring::open() else { return };
        let ((full, _silent), (free, mut reader)) = (pair(), pair());
        let much = vec![b'.'; 64 << 20];
        let taken = ring.send([(full.as_raw_fd(), &much[..])].into_iter()).next().unwrap().unwrap();
        assert!(taken < much.len(), "the kernel took all {taken} bytes");
        // Blocking sockets would let an ordinary write wait here.
        let mut last = Ok(taken);
        while last.is_ok() {
            last = ring.send([(full.as_raw_fd(), &much[..])].into_iter()).next().unwrap();
        }
        assert_eq!(last.unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let sends = [(full.as_raw_fd(), &b"no"[..]), (free.as_raw_fd(), &b"yes"[..]), (-1, &b"lost"[..])];
        let results: Vec<_> = ring.send(sends.into_iter()).collect();
        assert_eq!(results[0].as_ref().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(*results[1].as_ref().unwrap(), 3);
        assert_eq!(results[2].as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF));
        let mut read = [0; 3];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"yes");
    }
}
