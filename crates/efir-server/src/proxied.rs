//! The PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt): a proxy that only passes bytes on says in front of them whose
//! they are. Only trusted proxies are asked; from anybody else it is not understood, and is no HTTP either.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a header begins with: no text in any protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before the addresses.
const BEGIN_BYTES: usize = 16;
/// Bytes of addresses and what proxies add; ours need 36, certificates and names of theirs a few hundred.
const REST_BYTES_MAX: usize = 4 * 1024;

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("no PROXY header of version 2")]
    NoHeader,
    #[error("a PROXY header with a command that is not known")]
    UnknownCommand,
    #[error("a PROXY header of more than {REST_BYTES_MAX} bytes")]
    TooLong,
    #[error("a PROXY header that is too short for its addresses")]
    TooShort,
}

/// The first part of a header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin {
    /// The proxy asks for itself: it looks whether we are there.
    is_local: bool,
    family: u8,
    rest_bytes: usize,
}

/// Reads the header and nothing behind it. `None`: the proxy speaks for itself, or of somebody who has no IP address.
///
/// # Errors
/// The connection's, or `InvalidData` with a [`ProxyError`].
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let invalid = |error: ProxyError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut begin = [0; BEGIN_BYTES];
    stream.read_exact(&mut begin).await?;
    let begin = parse_begin(begin).map_err(invalid)?;
    let mut rest = vec![0; begin.rest_bytes];
    stream.read_exact(&mut rest).await?;
    source(begin, &rest).map_err(invalid)
}

fn parse_begin(bytes: [u8; BEGIN_BYTES]) -> Result<Begin, ProxyError> {
    let [signature @ .., command, family, high, low] = bytes;
    if signature != SIGNATURE || command >> 4 != 2 {
        return Err(ProxyError::NoHeader);
    }
    let is_local = match command & 0x0f {
        0 => true,
        1 => false,
        _ => return Err(ProxyError::UnknownCommand),
    };
    let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
    if rest_bytes > REST_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    Ok(Begin { is_local, family, rest_bytes })
}

/// Of the addresses the first: of whoever connected to the proxy. What follows them (types, lengths, values) is not looked at.
fn source(begin: Begin, rest: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    if begin.is_local {
        return Ok(None);
    }
    let source = match begin.family >> 4 {
        1 => rest.get(..12).and_then(|all| all.first_chunk::<4>()).map(|bytes| Ipv4Addr::from(*bytes).into()),
        2 => {
            rest.get(..36).and_then(|all| all.first_chunk::<16>()).map(|bytes| Ipv6Addr::from(*bytes).into())
        }
        _ => return Ok(None),
    };
    source.map(|address: IpAddr| Some(address.to_canonical())).ok_or(ProxyError::TooShort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    async fn read_all(bytes: &[u8]) -> (io::Result<Option<IpAddr>>, usize) {
        let mut left = bytes;
        let result = read(&mut left).await;
        (result, left.len())
    }

    #[tokio::test]
    async fn the_client_is_read_and_nothing_behind_the_header() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut v6 = Ipv6Addr::from(0x2001_0db8_u128 << 96 | 7).octets().to_vec();
        v6.extend([0; 20]);
        let mut mapped = "192.0.2.9".parse::<Ipv4Addr>().unwrap().to_ipv6_mapped().octets().to_vec();
        mapped.extend([0; 20]);
        let with_more: Vec<u8> = v4.iter().copied().chain([0x04, 0, 3, 1, 2, 3]).collect();
        for (command, family, rest, expected) in [
            (0x21, 0x11, &v4[..], Some("192.0.2.1")),
            (0x21, 0x12, &v4, Some("192.0.2.1")),
            (0x21, 0x11, &with_more, Some("192.0.2.1")),
            (0x21, 0x21, &v6, Some("2001:db8::7")),
            (0x21, 0x21, &mapped, Some("192.0.2.9")),
            (0x21, 0x31, &[0; 216], None),
            (0x21, 0x00, &[], None),
            (0x20, 0x00, &[], None),
            (0x20, 0x11, &v4, None),
        ] {
            let mut bytes = header(command, family, rest);
            bytes.extend(b"GET / HTTP/1.1\r\n");
            let (result, left) = read_all(&bytes).await;
            assert_eq!(result.unwrap(), expected.map(|text| text.parse().unwrap()), "{command:x} {family:x}");
            assert_eq!(left, 16, "the request is left");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let refused = async |bytes: Vec<u8>| {
            let error = read_all(&bytes).await.0.unwrap_err();
            error.into_inner().and_then(|inner| inner.downcast::<ProxyError>().ok()).map(|error| *error)
        };
        for (bytes, expected) in [
            (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), ProxyError::NoHeader),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(), ProxyError::NoHeader),
            (header(0x11, 0x11, &[0; 12]), ProxyError::NoHeader),
            (header(0x22, 0x11, &[0; 12]), ProxyError::UnknownCommand),
            (header(0x21, 0x11, &[0; 11]), ProxyError::TooShort),
            (header(0x21, 0x21, &[0; 35]), ProxyError::TooShort),
            (header(0x21, 0x11, &[0; REST_BYTES_MAX + 1]), ProxyError::TooLong),
        ] {
            assert_eq!(refused(bytes).await, Some(expected));
        }
        let whole = header(0x21, 0x11, &[0; 12]);
        for cut in 0..whole.len() {
            let error = read_all(&whole[..cut]).await.0.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
    }
}
