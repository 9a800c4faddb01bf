//! For whom a trusted proxy asks, and by which scheme that client did: `X-Forwarded-For` and `X-Forwarded-Proto`, or `Forwarded`
//! (RFC 7239), read from the right, where the nearest proxy wrote.
//!
//! Only the one of the two that the configuration names: a proxy that writes one hands the other on as a stranger invented it. Each
//! proxy appends whom it was asked by. What stands left of the first address that is no proxy of ours may be anybody's invention, so
//! that address is the client.

use std::net::{IpAddr, SocketAddr};

use efir_transports::Scheme;
use http::{HeaderMap, HeaderName, header};

use crate::config::networks::Written;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops that are looked at; who has more proxies in front has a loop.
const HOPS_MAX: usize = 32;

/// The client's address. `None` where the header names none that can be believed; then the proxy itself is the client.
pub(crate) fn client(
    headers: &HeaderMap,
    written: Written,
    is_proxy: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    walk(headers, written, is_proxy).0
}

/// By which scheme the client asked, in the words of the proxy that it asked: `X-Forwarded-Proto`, or `proto` of `Forwarded`.
///
/// Most proxies replace `X-Forwarded-Proto` or hand it on, so that it has one word for all of them. Where each has appended one, that of the
/// client's hop counts.
pub(crate) fn scheme(
    headers: &HeaderMap,
    written: Written,
    is_proxy: impl Fn(IpAddr) -> bool,
) -> Option<Scheme> {
    let name = match written {
        Written::XForwardedFor => X_FORWARDED_PROTO,
        Written::Forwarded => header::FORWARDED,
    };
    let lines = lines(headers, name);
    if written == Written::XForwardedFor && hops(&lines).count() == 1 {
        return hops(&lines).next().and_then(|word| Scheme::named(word.trim()));
    }
    let hop = hops(&lines).nth(walk(headers, written, is_proxy).1)?;
    Scheme::named(if written == Written::Forwarded { forwarded(hop, "proto=")? } else { hop.trim() })
}

/// The client's address, and how many hops stand right of it.
fn walk(headers: &HeaderMap, written: Written, is_proxy: impl Fn(IpAddr) -> bool) -> (Option<IpAddr>, usize) {
    let name = match written {
        Written::XForwardedFor => X_FORWARDED_FOR,
        Written::Forwarded => header::FORWARDED,
    };
    let lines = lines(headers, name);
    let mut client = (None, 0);
    for (behind, hop) in hops(&lines).enumerate() {
        let address = match written {
            Written::Forwarded => forwarded(hop, "for=").and_then(node),
            Written::XForwardedFor => node(hop.trim()),
        };
        // Whoever a proxy of ours does not name as an address, nobody knows; further left anything may stand.
        let Some(address) = address else { break };
        client = (Some(address), behind);
        if !is_proxy(address) {
            break;
        }
    }
    client
}

fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect()
}

/// From the right, where the nearest proxy wrote.
fn hops<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX)
}

/// The value of `for=` or `proto=` in one element of `Forwarded`. A quoted value with a comma in it is not understood.
fn forwarded<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pair = element
        .split(';')
        .map(str::trim)
        .find(|pair| pair.get(..name.len()).is_some_and(|known| known.eq_ignore_ascii_case(name)))?;
    let value = pair.get(name.len()..)?.trim();
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let is_standard = lines.first().is_some_and(|(name, _)| *name == "forwarded");
        let written = if is_standard { Written::Forwarded } else { Written::XForwardedFor };
        let is_proxy = |address: IpAddr| address.to_string().starts_with("10.");
        client(&headers, written, is_proxy).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_proxy() {
        for (lines, expected) in [
            (&[][..], None),
            (&[("x-forwarded-for", "192.0.2.1")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "203.0.113.9, 192.0.2.1")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "203.0.113.9, 192.0.2.1, 10.0.0.2,10.0.0.1")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], Some("10.0.0.3")),
            (&[("x-forwarded-for", "203.0.113.9, unknown, 10.0.0.2")], Some("10.0.0.2")),
            (&[("x-forwarded-for", "203.0.113.9, <script>")], None),
            (&[("x-forwarded-for", "")], None),
            (&[("x-forwarded-for", "192.0.2.1:5000")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "[2001:db8::1]:80")], Some("2001:db8::1")),
            (&[("x-forwarded-for", "::ffff:192.0.2.1")], Some("192.0.2.1")),
            (&[("forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1")], Some("192.0.2.1")),
            (&[("forwarded", "by=10.0.0.1; FOR=\"[2001:db8::7]:443\"")], Some("2001:db8::7")),
            (&[("forwarded", "for=203.0.113.9, for=192.0.2.1, for=10.0.0.2")], Some("192.0.2.1")),
            (&[("forwarded", "for=203.0.113.9, for=_hidden")], None),
            (&[("forwarded", "for=\"203.0.113.9, for=1\"")], None),
            // The one that the proxy does not write is the stranger's.
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.9")], Some("192.0.2.1")),
            (&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=203.0.113.9")], Some("192.0.2.1")),
            (&[("x-real-ip", "203.0.113.9")], None),
        ] {
            assert_eq!(found(lines).as_deref(), expected, "{lines:?}");
        }
        let long = "10.0.0.1,".repeat(1_000);
        assert_eq!(
            found(&[("x-forwarded-for", &format!("203.0.113.9,{long}10.0.0.1"))]).as_deref(),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn the_scheme_is_that_of_the_client() {
        let (x, standard) = (Written::XForwardedFor, Written::Forwarded);
        let (for_x, proto_x) = ("x-forwarded-for", "x-forwarded-proto");
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        for (written, lines, expected) in [
            (x, &[][..], None),
            (x, &[(proto_x, "https")], https),
            (x, &[(proto_x, " HTTP ")], http),
            (x, &[(proto_x, "wss")], https),
            (x, &[(proto_x, "gopher")], None),
            (x, &[(proto_x, "")], None),
            (x, &[(for_x, "192.0.2.1, 10.0.0.1"), (proto_x, "https")], https),
            // Each has appended: what a stranger wrote stands left of the client's own.
            (x, &[(for_x, "192.0.2.1, 10.0.0.1"), (proto_x, "https, http")], https),
            (x, &[(for_x, "192.0.2.9, 192.0.2.1, 10.0.0.1"), (proto_x, "https, http, https")], http),
            (x, &[(for_x, "192.0.2.1"), (proto_x, "https"), (proto_x, "http")], http),
            (x, &[(for_x, "192.0.2.1, 10.0.0.2, 10.0.0.1"), (proto_x, "https, http")], None),
            (x, &[("forwarded", "for=192.0.2.1;proto=https")], None),
            (standard, &[("forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1")], https),
            (standard, &[("forwarded", "for=192.0.2.1; Proto=\"http\"")], http),
            (standard, &[("forwarded", "for=192.0.2.1;proto=https, for=10.0.0.1;proto=http")], https),
            (standard, &[("forwarded", "proto=https")], https),
            (standard, &[("forwarded", "for=192.0.2.1")], None),
            (standard, &[(proto_x, "https")], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            let is_proxy = |address: IpAddr| address.to_string().starts_with("10.");
            assert_eq!(scheme(&headers, written, is_proxy), expected, "{lines:?}");
        }
    }
}
