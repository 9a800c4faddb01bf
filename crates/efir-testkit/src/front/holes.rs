//! The matrix behind a proxy: which cells there are, and which make no sense there.
//!
//! A proxy speaks HTTP/1.1 to efir, so that the cells are those of that carrier.

use super::Program;
use crate::{carrier::Carrier, readers::Row, room::Cell};

/// Cells that are left out behind a proxy on purpose.
pub struct Hole {
    /// The scenario, or the beginning of its name.
    pub scenario: &'static str,
    /// Which transports; for scenarios without a transport it is not asked.
    pub rows: fn(Row) -> bool,
    /// Behind which proxies.
    pub programs: &'static [Program],
    /// Spoken how.
    pub carriers: &'static [Carrier],
    /// Why.
    pub reason: &'static str,
}

const ANY: fn(Row) -> bool = |_| true;
const POLLS: fn(Row) -> bool = |row| row.kind.is_poll();
const SOCKETS: fn(Row) -> bool = |row| row.kind.is_websocket();
const NGINX: &[Program] = &[Program::Nginx, Program::NginxTls];
const CADDY: &[Program] = &[Program::Caddy];

/// Every deliberate hole behind a proxy, besides those of the matrix.
pub const HOLES: &[Hole] = &[
    Hole {
        scenario: "restart::killed",
        rows: ANY,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "the scenario starts a binary of its own, with nothing in front",
    },
    Hole {
        scenario: "",
        rows: SOCKETS,
        programs: NGINX,
        carriers: &[Carrier::TlsH2],
        reason: "it does not speak RFC 8441; browsers open a connection over HTTP/1.1 for a WebSocket",
    },
    Hole {
        scenario: "publish::subscribers_are_counted",
        rows: SOCKETS,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "on /socket the reply may be a moment ahead of the count, and a publish behind a proxy meets that moment",
    },
    Hole {
        scenario: "slow::",
        rows: ANY,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "the proxy's own buffers take what a slow reader does not, so that efir sees none; its limits are the proxy's",
    },
    Hole {
        scenario: "life::evicted_stub_gets_a_new_epoch",
        rows: ANY,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "channels live for 40 ms there, and nothing of it concerns a proxy",
    },
    Hole {
        scenario: "front::outlives_the_patience_of_the_proxy",
        rows: POLLS,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "a poll ends by itself; front::the_longest_hold is theirs",
    },
    Hole {
        scenario: "front::silence_is_cut",
        rows: POLLS,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "a poll ends by itself",
    },
    Hole {
        scenario: "front::silence_is_cut",
        rows: ANY,
        programs: CADDY,
        carriers: Carrier::ALL,
        reason: "it waits for ever unless it is told otherwise",
    },
    Hole {
        scenario: "front::nobody_forges_an_address",
        rows: ANY,
        programs: &[Program::HaproxyV2],
        carriers: Carrier::ALL,
        reason: "what stands for efir there reads HTTP only; front::each_client_has_an_address_of_its_own asks efir itself",
    },
    Hole {
        scenario: "origin::schemes",
        rows: ANY,
        programs: Program::ALL,
        carriers: Carrier::ALL,
        reason: "it is the proxy that knows the scheme there and says it; front::host_and_origin is theirs",
    },
    Hole {
        scenario: "poll::half_closed_after_the_request",
        rows: ANY,
        programs: &[Program::Nginx, Program::NginxTls, Program::Caddy],
        carriers: Carrier::ALL,
        reason: "they take the end of what a client sends for its leave; nginx unless proxy_ignore_client_abort is on",
    },
    Hole {
        scenario: "http::version_1_0",
        rows: ANY,
        programs: NGINX,
        carriers: Carrier::ALL,
        reason: "it speaks HTTP/1.1 to efir, where a request without Host is none",
    },
    Hole {
        scenario: "http::stream_headers",
        rows: ANY,
        programs: NGINX,
        carriers: Carrier::ALL,
        reason: "X-Accel-Buffering is for it, and ends there",
    },
    Hole {
        scenario: "errors::bad_channel_name",
        rows: |row| !row.is_several,
        programs: NGINX,
        carriers: Carrier::ALL,
        reason: "it refuses %00 in a path itself",
    },
    Hole {
        scenario: "errors::body_too_large",
        rows: ANY,
        programs: NGINX,
        carriers: Carrier::ALL,
        reason: "it refuses bodies of more than client_max_body_size, 1 MiB, itself; front::the_largest_message is far below",
    },
    Hole {
        scenario: "errors::body_too_large",
        rows: ANY,
        programs: CADDY,
        carriers: Carrier::ALL,
        reason: "it waits for the body that was declared before it hands an answer on",
    },
    Hole {
        scenario: "http::contradictions",
        rows: ANY,
        programs: CADDY,
        carriers: Carrier::ALL,
        reason: "it takes `Upgrade` out of an answer with 426",
    },
    Hole {
        scenario: "http::half_a_request",
        rows: ANY,
        programs: CADDY,
        carriers: Carrier::ALL,
        reason: "it answers a client that left in mid-body with an empty 200 of its own; efir appends nothing",
    },
    Hole {
        scenario: "websocket::frames_behind_the_handshake",
        rows: ANY,
        programs: CADDY,
        carriers: Carrier::ALL,
        reason: "it loses frames that are sent before the answer to the handshake, as no client may (RFC 6455 §4.1)",
    },
];

/// Why a cell is left out behind a proxy, if it is.
pub fn hole(program: Program, scenario: &str, cell: &Cell) -> Option<&'static Hole> {
    HOLES.iter().find(|hole| {
        scenario.starts_with(hole.scenario)
            && hole.programs.contains(&program)
            && hole.carriers.contains(&cell.carrier)
            && cell.row.is_none_or(hole.rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{readers::ROWS, scenarios};

    #[test]
    fn every_hole_fits_a_cell() {
        for hole in HOLES {
            let mut all = scenarios::all().chain(scenarios::behind_a_proxy());
            assert!(all.any(|scenario| scenario.name.starts_with(hole.scenario)), "{}", hole.scenario);
            assert!(ROWS.iter().any(|row| (hole.rows)(*row)), "{}: {}", hole.scenario, hole.reason);
        }
    }
}
