//! Who may use the lab. Where nobody has said so, only those who reach the server directly: on loopback that is its own machine, but a
//! proxy there brings everybody else along.

use crate::config::Resolved;

/// Lines of a head that are looked at, as many as the networks read.
const LINES_MAX: usize = 100;

/// Whom the lab is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Nobody,
    /// Whose request did not come through a proxy, as far as it tells.
    Neighbours,
    Everybody,
}

impl Access {
    pub(crate) fn of(config: &Resolved) -> Self {
        match config.lab {
            _ if !config.has_lab() => Self::Nobody,
            None => Self::Neighbours,
            Some(_) => Self::Everybody,
        }
    }

    /// Whether a request of this version with headers of these names may use the lab.
    ///
    /// Proxies say whose requests they hand on, in one of several ways (RFC 7239 §4, RFC 9110 §7.6.3), or speak HTTP/1.0, which
    /// browsers have not done for long.
    pub(super) fn admits<'a>(self, version: http::Version, mut names: impl Iterator<Item = &'a str>) -> bool {
        match self {
            Self::Nobody => false,
            Self::Neighbours => version != http::Version::HTTP_10 && !names.any(tells_of_proxy),
            Self::Everybody => true,
        }
    }

    /// The same for a head that has been read.
    pub(super) fn admits_head(self, head: &httparse::Request<'_, '_>) -> bool {
        let version = if head.version == Some(0) { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
        self.admits(version, head.headers.iter().map(|line| line.name))
    }

    /// The same for bytes that begin with a head. What has not come whole, or is none, is judged by who reads on.
    pub(super) fn admits_bytes(self, bytes: &[u8]) -> bool {
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut head = httparse::Request::new(&mut lines);
        !matches!(head.parse(bytes), Ok(httparse::Status::Complete(_))) || self.admits_head(&head)
    }
}

fn tells_of_proxy(name: &str) -> bool {
    let begins = name.get(.."x-forwarded-".len());
    begins.is_some_and(|begin| begin.eq_ignore_ascii_case("x-forwarded-"))
        || ["forwarded", "via", "x-real-ip"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_without_a_proxy() {
        for name in ["Forwarded", "x-forwarded-for", "X-Forwarded-Proto", "X-Real-IP", "Via"] {
            assert!(tells_of_proxy(name), "{name}");
        }
        for name in ["Host", "X-Forwarded", "Vial", "Origin", "X-Requested-With", "é"] {
            assert!(!tells_of_proxy(name), "{name}");
        }
        let admits =
            |access: Access, version: http::Version, name| access.admits(version, [name].into_iter());
        let (new, old) = (http::Version::HTTP_11, http::Version::HTTP_10);
        assert!(
            admits(Access::Neighbours, new, "host")
                && admits(Access::Neighbours, http::Version::HTTP_2, "host")
        );
        assert!(!admits(Access::Neighbours, old, "host") && !admits(Access::Neighbours, new, "via"));
        assert!(admits(Access::Everybody, old, "via") && !admits(Access::Nobody, new, "host"));
    }

    #[test]
    fn bytes_are_judged_when_the_head_is_whole() {
        let admits = |text: &str| Access::Neighbours.admits_bytes(text.as_bytes());
        assert!(
            admits("GET / HTTP/1.1\r\nVia: 1.1 a\r\n") && admits("GET / HTTP/1.1\r\n\r\nVia: 1.1 a\r\n\r\n")
        );
        assert!(!admits("GET / HTTP/1.1\r\nvia: 1.1 a\r\n\r\n") && !admits("\r\nGET / HTTP/1.0\r\n\r\n"));
    }
}
