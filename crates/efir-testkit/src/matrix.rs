//! The matrix: scenario × transport × carrier, one named trial each, and the list of its deliberate holes.

use std::time::Duration;

use anyhow::Result;

use crate::{
    carrier::Carrier,
    front::{self, Program, holes},
    harness::Trial,
    readers::{Kind, ROWS, Row},
    room::Cell,
    scenarios::{self, Grid, Scenario},
};

/// How long a cell may take on a busy machine; most take less than 0.2 s.
const LIMIT: Duration = Duration::from_secs(40);

/// Cells that are left out on purpose.
pub struct Hole {
    /// The scenario, or the beginning of its name.
    pub scenario: &'static str,
    /// Which transports; for scenarios without a transport it is not asked.
    pub rows: fn(Row) -> bool,
    /// Which carriers.
    pub carriers: &'static [Carrier],
    /// Why these cells make no sense.
    pub reason: &'static str,
}

const ANY: fn(Row) -> bool = |_| true;
const POLLS: fn(Row) -> bool = |row| row.kind.is_poll();
const SHORT: fn(Row) -> bool = |row| row.kind == Kind::ShortPoll;
const NOT_SSE: fn(Row) -> bool = |row| row.kind != Kind::Sse;
const NOT_LONG: fn(Row) -> bool = |row| row.kind != Kind::LongPoll;
const NOT_POLLS: fn(Row) -> bool = |row| !row.kind.is_poll();
const SINGLE: fn(Row) -> bool = |row| !row.is_several && row.kind != Kind::Socket;
const NO_TOKEN: fn(Row) -> bool = |row| !row.is_several;
const SEVERAL: fn(Row) -> bool = |row| row.is_several;
const SOCKETS: fn(Row) -> bool = |row| row.kind.is_websocket();
const DEFLATED: fn(Row) -> bool = |row| row.is_deflated;
const DEFLATED_SOCKET: fn(Row) -> bool = |row| row.is_deflated && row.kind == Kind::Socket;

/// Every deliberate hole. A test refuses one that fits no cell.
pub const HOLES: &[Hole] = &[
    Hole {
        scenario: "live::hello_and_heartbeat",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll has neither: its answer carries the cursor and comes after the hold at the latest",
    },
    Hole {
        scenario: "poll::half_closed_after_the_request",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "inside somebody's server it is their HTTP stack that judges a FIN; hyper takes it for the end",
    },
    Hole {
        scenario: "live::bad_channel_among_several",
        rows: SINGLE,
        carriers: Carrier::ALL,
        reason: "one channel per response; a bad one is errors::bad_channel_name",
    },
    Hole {
        scenario: "live::messages_of_several_channels",
        rows: SINGLE,
        carriers: Carrier::ALL,
        reason: "one channel per response",
    },
    Hole {
        scenario: "catch_up::with_the_token_that_was_told",
        rows: NO_TOKEN,
        carriers: Carrier::ALL,
        reason: "one channel has a position; /socket has one cursor a channel",
    },
    Hole {
        scenario: "seam::",
        rows: SHORT,
        carriers: Carrier::ALL,
        reason: "a short poll joins nothing: there is no seam between replay and live",
    },
    Hole {
        scenario: "gap::malformed_cursor_is_refused",
        rows: |row| row.kind == Kind::Socket,
        carriers: Carrier::ALL,
        reason: "the refusal of a command is socket::refusals",
    },
    Hole {
        scenario: "gap::last_event_id",
        rows: NOT_SSE,
        carriers: Carrier::ALL,
        reason: "Last-Event-ID is a header of EventSource",
    },
    Hole { scenario: "floods::", rows: ANY, carriers: Carrier::HTTP1, reason: "frames are HTTP/2" },
    Hole {
        scenario: "tls::",
        rows: ANY,
        carriers: &[Carrier::H1, Carrier::H2c, Carrier::TlsH2, Carrier::Axum],
        reason: "handshakes are the same whatever follows them",
    },
    Hole {
        scenario: "restart::killed",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the facade has no binary; restart::in_process covers it",
    },
    Hole {
        scenario: "restart::killed",
        rows: ANY,
        carriers: Carrier::TLS,
        reason: "a process is killed below TLS as it is without; restart::in_process covers coming back",
    },
    Hole {
        scenario: "slow::",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll's answer is bounded, and its reader reads or has gone",
    },
    Hole {
        scenario: "slow::",
        rows: SEVERAL,
        carriers: Carrier::POLLED,
        reason: "the cell takes 10,000 messages; several channels on the slab suffice for the fan-out, and one channel for the polled carriers",
    },
    Hole {
        scenario: "slow::",
        rows: DEFLATED,
        carriers: Carrier::POLLED,
        reason: "the cell compresses 10,000 messages; the slab shows what compressed frames change, which are shared on polled carriers as there",
    },
    Hole {
        scenario: "slow::",
        rows: DEFLATED_SOCKET,
        carriers: Carrier::SLAB,
        reason: "a slow reader is served by its exchange on every WebSocket; one compressed row suffices",
    },
    Hole {
        scenario: "switch::",
        rows: DEFLATED,
        carriers: Carrier::POLLED,
        reason: "switching to a compressed socket is there on every carrier; switching away from it on one",
    },
    Hole {
        scenario: "slow::is_cut_without_progress",
        rows: NOT_POLLS,
        carriers: Carrier::POLLED,
        reason: "how long a stuck body may stay is decided by the HTTP stack that polls it",
    },
    Hole {
        scenario: "life::rotation",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll's response ends by itself",
    },
    Hole {
        scenario: "life::rotation",
        rows: SOCKETS,
        carriers: Carrier::ALL,
        reason: "WebSockets do not rotate: only responses that proxies may buffer do",
    },
    Hole {
        scenario: "life::drain_tells",
        rows: SHORT,
        carriers: Carrier::ALL,
        reason: "nothing is open between two short polls",
    },
    Hole {
        scenario: "poll::held",
        rows: NOT_LONG,
        carriers: Carrier::ALL,
        reason: "only a long poll is held",
    },
    Hole {
        scenario: "poll::large_batches",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "only a poll's answer is a batch",
    },
    Hole {
        scenario: "poll::pages",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "only a poll's answer has `more`",
    },
    Hole {
        scenario: "poll::link_leads_on",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "a stream goes on by itself",
    },
    Hole {
        scenario: "poll::connection_is_reused",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has streams; its connection outlives every response",
    },
    Hole {
        scenario: "poll::abort",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "a TCP connection is cut; over HTTP/2 the reset of a stream is poll::held_then_dropped",
    },
    Hole {
        scenario: "publish::pipelined_over_http",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has no pipelining; streams have no order",
    },
    Hole {
        scenario: "http::version_1_0",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/1.0 is not HTTP/2",
    },
    Hole {
        scenario: "http::streams_byte_for_byte",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; the same bytes come through efir-client in live::",
    },
    Hole {
        scenario: "http::upgrade_contradictions",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "Upgrade is a header of HTTP/1.1 (RFC 9113 §8.2.2)",
    },
    Hole {
        scenario: "http::lasting_answers_behind_short_ones",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has no pipelining",
    },
    Hole {
        scenario: "errors::too_many_connections",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the application's own server accepts the connections",
    },
    Hole {
        scenario: "limits::",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the application's own server accepts the connections, reads their heads and knows where they come from",
    },
    Hole {
        scenario: "limits::proxy_protocol",
        rows: ANY,
        carriers: &[Carrier::TlsH1, Carrier::TlsH2],
        reason: "the raw client begins with its handshake; the header stands before that",
    },
    Hole {
        scenario: "limits::memory_in_all",
        rows: ANY,
        carriers: &[Carrier::H2c, Carrier::TlsH1, Carrier::TlsH2],
        reason: "the same for a process as a whole; it says so once",
    },
    Hole {
        scenario: "limits::idle_http2",
        rows: ANY,
        carriers: &[Carrier::H1, Carrier::TlsH1, Carrier::TlsH2],
        reason: "HTTP/2 alone; over TLS the same code serves it",
    },
    Hole {
        scenario: "limits::slow_",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; bodies and messages of both are read by the same code",
    },
    Hole {
        scenario: "limits::publishes_o",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client keeps a connection over HTTP/1.1; a stream's guest is that of its connection",
    },
    Hole {
        scenario: "http::half_a_request",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1",
    },
    Hole {
        scenario: "websocket::",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; over HTTP/2 the same codec runs behind efir-client in the other topics",
    },
    Hole {
        scenario: "deflate::",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; over HTTP/2 the rows with -deflate compress in the other topics",
    },
    Hole {
        scenario: "errors::bad_channel_name_on_a_websocket",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1",
    },
];

/// All trials, or those behind the proxy that the environment asks for.
///
/// # Errors
/// When the environment asks for one that nobody knows.
pub fn trials() -> Result<Vec<Trial>> {
    Ok(match front::chosen()? {
        None => scenarios::all()
            .flat_map(|scenario| {
                cells(scenario)
                    .map(move |cell| trial(scenario, cell, name(scenario, &cell, cell.carrier.name())))
            })
            .collect(),
        Some(program) => {
            let all = scenarios::all().chain(scenarios::behind_a_proxy());
            all.flat_map(|scenario| behind(program, scenario)).collect()
        }
    })
}

/// The trials of a scenario behind a proxy.
fn behind(program: Program, scenario: &'static Scenario) -> impl Iterator<Item = Trial> {
    let cells = cells(scenario).filter(move |cell| {
        program.carriers().contains(&cell.carrier) && holes::hole(program, scenario.name, cell).is_none()
    });
    cells.map(move |cell| trial(scenario, cell, name(scenario, &cell, &program.column(cell.carrier))))
}

fn cells(scenario: &'static Scenario) -> impl Iterator<Item = Cell> {
    candidates(scenario.grid).filter(|cell| hole(scenario, cell).is_none())
}

fn candidates(grid: Grid) -> Box<dyn Iterator<Item = Cell>> {
    let cell = |row, other, carrier| Cell { row, other, carrier, seed: 0 };
    let carriers = Carrier::ALL.iter().copied();
    match grid {
        Grid::Carriers => Box::new(carriers.map(move |carrier| cell(None, None, carrier))),
        Grid::Rows => {
            Box::new(ROWS.iter().flat_map(move |row| {
                Carrier::ALL.iter().map(move |carrier| cell(Some(*row), None, *carrier))
            }))
        }
        Grid::Pairs => Box::new(ROWS.iter().flat_map(move |row| {
            let others = ROWS.iter().filter(move |other| *other != row);
            others.flat_map(move |other| {
                Carrier::ALL.iter().map(move |carrier| cell(Some(*row), Some(*other), *carrier))
            })
        })),
    }
}

fn hole(scenario: &Scenario, cell: &Cell) -> Option<&'static Hole> {
    HOLES.iter().find(|hole| {
        scenario.name.starts_with(hole.scenario)
            && hole.carriers.contains(&cell.carrier)
            && cell.row.is_none_or(hole.rows)
    })
}

fn name(scenario: &Scenario, cell: &Cell, carrier: &str) -> String {
    match (cell.row, cell.other) {
        (Some(row), Some(other)) => format!("{}/{row}-to-{other}/{carrier}", scenario.name),
        (Some(row), None) => format!("{}/{row}/{carrier}", scenario.name),
        _ => format!("{}/{carrier}", scenario.name),
    }
}

fn trial(scenario: &'static Scenario, cell: Cell, name: String) -> Trial {
    Trial { name, limit: LIMIT, run: Box::new(move |seed| (scenario.run)(Cell { seed, ..cell })) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_hole_fits_a_cell() {
        for hole in HOLES {
            let fits = scenarios::all().filter(|scenario| scenario.name.starts_with(hole.scenario)).any(
                |scenario| {
                    candidates(scenario.grid)
                        .any(|cell| hole.carriers.contains(&cell.carrier) && cell.row.is_none_or(hole.rows))
                },
            );
            assert!(fits, "{}: {}", hole.scenario, hole.reason);
        }
    }

    #[test]
    fn names_are_unique_and_every_scenario_runs() {
        let mut names = HashSet::new();
        assert!(trials().unwrap().into_iter().all(|trial| names.insert(trial.name)));
        for scenario in scenarios::all() {
            assert!(cells(scenario).next().is_some(), "{} has no cell left", scenario.name);
        }
    }

    #[test]
    fn scenarios_name_clauses() {
        let is_clause = |clause: &&str| {
            **clause == *"wire" || clause.strip_prefix('D').is_some_and(|n| n.parse::<u8>().is_ok())
        };
        for scenario in scenarios::all() {
            assert!(scenario.proves.iter().all(is_clause), "{}", scenario.name);
        }
    }
}
