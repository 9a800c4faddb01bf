//! Who is let in: fresh connections by their address, with what a proxy says of it, and requests by whoever is behind them.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use efir_core::{Code, Limits, Problem};
use efir_engine::{Guest, Socket};
use efir_transports::Scheme;
use http::{HeaderMap, Request, Response, header, request::Parts};
use tokio::net::TcpStream;

use crate::{
    addresses::Room,
    heads::{Heads, Shared},
    parting, proxied,
    tls::Tls,
};

/// When somebody who was one too many comes back, in ms: at random between the two, so that not all come at once.
const RETRY_MS: std::ops::RangeInclusive<u64> = 3_000..=8_000;

/// Of what there is one connection too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    OfServer,
    OfAddress,
}

/// How a request has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Whose connection it is; `None`: nothing limits it.
    pub(crate) guest: Option<&'a Arc<Guest>>,
    /// Whether that connection is encrypted.
    pub(crate) is_tls: bool,
}

impl Heads {
    /// Serves a fresh connection from `peer`, after what a trusted proxy says in front of it.
    pub(crate) fn arrive(self: &Rc<Self>, mut stream: TcpStream, peer: IpAddr, tls: Option<&Arc<Tls>>) {
        if !self.shared.has_proxy_protocol || !self.shared.addresses.is_proxy(peer) {
            return self.greet(stream, peer, tls);
        }
        let (heads, tls) = (Rc::clone(self), tls.cloned());
        let head_max = Duration::from_millis(self.shared.site().hub().times().head_ms_max);
        self.spawn(async move {
            match tokio::time::timeout(head_max, proxied::read(&mut stream)).await {
                Ok(Ok(client)) => heads.greet(stream, client.unwrap_or(peer), tls.as_ref()),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    tracing::warn!(event = "proxy_header_bad", %peer, %error, "a trusted proxy does not say whose connection it is");
                }
                // It left, or has not said it in time.
                Ok(Err(_)) | Err(_) => heads.shared.site().hub().counters().close_for("head_ms_max"),
            }
            None
        });
    }

    fn greet(self: &Rc<Self>, stream: TcpStream, address: IpAddr, tls: Option<&Arc<Tls>>) {
        let guest = self.shared.addresses.arrive(address);
        if self.shared.addresses.room(guest.as_ref()) == Room::Overfull {
            return self.shared.site().hub().counters().close_for("address_connections_max");
        }
        match tls {
            None => self.welcome(Socket::Tcp(stream), guest),
            Some(tls) => self.welcome_tls(stream, guest, tls),
        }
    }
}

impl Shared {
    /// Tells whoever answers a request who asks, and by which scheme: the guest of its connection, or the one for whom a trusted proxy
    /// asks. Tells if that guest is one too many.
    pub(crate) fn introduce<B>(&self, request: &mut Request<B>, arrival: Arrival<'_>) -> Option<Surplus> {
        // Nobody asks for it but whoever judges an origin.
        if request.headers().contains_key(header::ORIGIN)
            && let Some(scheme) = self.scheme(request.headers(), arrival)
        {
            request.extensions_mut().insert(scheme);
        }
        let guest = arrival.guest?;
        let guest = match guest.is_proxy() {
            true => self.addresses.arrive_behind(guest, request.headers())?,
            false => Arc::clone(guest),
        };
        let is_surplus = self.addresses.room(Some(&guest)) != Room::Free;
        request.extensions_mut().insert(guest);
        is_surplus.then_some(Surplus::OfAddress)
    }

    /// By which scheme the client asked, as far as anybody knows: in cleartext a proxy that nobody trusts may stand in front.
    fn scheme(&self, headers: &HeaderMap, arrival: Arrival<'_>) -> Option<Scheme> {
        let is_told = arrival.guest.is_some_and(|guest| guest.is_proxy());
        let told = is_told.then(|| self.addresses.scheme_behind(headers)).flatten();
        told.or(arrival.is_tls.then_some(Scheme::Https))
    }

    /// The answer when there are too many connections; closes its own.
    pub(crate) fn refusal(&self, parts: &Parts, surplus: Surplus) -> Response<Bytes> {
        let (whose, name, max) = match surplus {
            Surplus::OfServer => ("the server holds", "connections_max", self.connections.max),
            Surplus::OfAddress => {
                ("your address has", "address_connections_max", self.addresses.connections_max())
            }
        };
        let detail = format!("{whose} {max} connections, the limit; close some, or come back later");
        let problem = Problem::new(Code::TooManyConnections, detail)
            .with_limit(name, max as u64)
            .with_retry_after_ms(fastrand::u64(RETRY_MS));
        let mut response = efir_transports::refusal(&self.site(), parts, problem);
        response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        response
    }

    /// The answer to a request whose head is larger than it may be.
    pub(crate) fn check_head(&self, parts: &Parts) -> Option<Response<Bytes>> {
        let site = self.site();
        let problem = head_problem(parts, site.hub().limits())?;
        Some(efir_transports::refusal(&site, parts, problem))
    }
}

fn head_problem(parts: &Parts, limits: &Limits) -> Option<Problem> {
    let (headers, headers_max) = (parts.headers.len(), limits.headers_max);
    if headers > headers_max {
        let detail = format!("the request has {headers} headers; at most {headers_max} are allowed");
        return Some(Problem::new(Code::HeadTooLarge, detail).with_limit("headers_max", headers_max as u64));
    }
    // As HTTP/1 writes it: `name: value` and a line's end.
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    (target + lines.sum::<usize>() > limits.head_bytes_max)
        .then(|| parting::head_problem(limits.head_bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_are_too_large() {
        let limits = Limits { headers_max: 3, head_bytes_max: 100, ..Limits::default() };
        let limit = |headers: usize, bytes: usize| {
            let request = Request::get("/info");
            let request = (0..headers).fold(request, |request, _| request.header("x", "y".repeat(bytes)));
            head_problem(&request.body(()).unwrap().into_parts().0, &limits)?.limit
        };
        assert_eq!(limit(3, 1), None);
        assert_eq!(limit(4, 1), Some(("headers_max", 3)));
        assert_eq!(limit(1, 90), None);
        assert_eq!(limit(1, 91), Some(("head_bytes_max", 100)));
    }
}
