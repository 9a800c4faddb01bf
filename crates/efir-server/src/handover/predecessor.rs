//! The server that was there before, as its successor sees it: it has started this process, waits until it is ready, stops
//! accepting, and says so. The other side is [`super::successor`].

use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

/// Whose successor a process is: the id of the one that started it.
pub(crate) const VARIABLE: &str = "EFIR_PREDECESSOR";
/// The successor could serve now.
pub(super) const READY: u8 = b'r';
/// The predecessor accepts no more.
pub(super) const GO: u8 = b'g';
/// The successor accepts.
pub(super) const ON: u8 = b'o';
/// The successor cannot; why follows as text, up to the end.
pub(super) const FAILED: u8 = b'f';
/// How long the predecessor may take to stop accepting.
const GO_MAX: Duration = Duration::from_secs(10);

/// The way to it, which is this process's standard input; `None` when everything is said.
#[derive(Debug)]
pub(crate) struct Predecessor(Option<UnixStream>);

impl Predecessor {
    /// The one that has started this process, if that was a server that wants to go.
    pub(crate) fn of_process() -> Option<Self> {
        let id: u32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
        if id != std::os::unix::process::parent_id() {
            return None;
        }
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let stream = UnixStream::from(descriptor);
        stream.set_read_timeout(Some(GO_MAX)).ok()?;
        Some(Self(Some(stream)))
    }

    /// Says that everything is ready, and waits until nobody accepts over there. One that is gone accepts nothing either.
    ///
    /// # Errors
    /// It is there and does not stop.
    pub(crate) fn until_it_stops(&mut self) -> std::io::Result<()> {
        let Some(way) = &mut self.0 else { return Ok(()) };
        if way.write_all(&[READY]).is_err() {
            return Ok(());
        }
        let mut said = [0];
        match way.read(&mut said) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Says that connections are accepted here.
    pub(crate) fn say_on(&mut self) {
        // Nobody is to be told where it is gone.
        let _ = self.0.take().map(|mut way| way.write_all(&[ON]));
    }

    /// Says why this process ends.
    pub(crate) fn say_failed(&mut self, why: &str) {
        let _ = self.0.take().map(|mut way| way.write_all(&[&[FAILED], why.as_bytes()].concat()));
    }
}
