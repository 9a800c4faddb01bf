//! What a service manager is told (sd_notify(3)): datagrams to the socket that `NOTIFY_SOCKET` names. Without one nobody is told anything.

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager; nobody is there to hear of it where that fails.
pub(crate) fn notify(words: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(name.as_encoded_bytes(), words) {
        tracing::debug!(event = "notify_failed", %error, "the service manager could not be told");
    }
}

fn send(name: &[u8], words: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(words.as_bytes(), &address(name)?)?;
    Ok(())
}

/// A path, or with `@` before it a name that stands in no file system.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt;
    match name.strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_by_either_kind_of_name() {
        let folder = std::env::temp_dir().join(format!("efir-notify-{}", std::process::id()));
        let path = folder.as_os_str().as_encoded_bytes();
        let abstracted = [b"@".as_slice(), path].concat();
        for name in [path, &abstracted] {
            let socket = UnixDatagram::bind_addr(&address(name).unwrap()).unwrap();
            send(name, "READY=1").unwrap();
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"READY=1");
        }
        std::fs::remove_file(folder).unwrap();
    }
}
