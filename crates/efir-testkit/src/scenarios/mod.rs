//! Every scenario, once. A scenario knows its cell only as far as it must: most are the same code for every transport and
//! carrier. Each names the clauses of docs/guarantees.md that it proves, or `wire` where it holds docs/protocol.md.

use std::pin::Pin;

use anyhow::Result;

use crate::room::Cell;

mod access;
mod bugs;
mod catch_up;
mod corner;
mod counts;
mod deflate;
mod errors;
mod floods;
mod front;
mod gap;
mod http;
mod life;
mod limits;
mod live;
mod origin;
mod patience;
mod payload;
mod poll;
mod presence;
mod publish;
mod restart;
mod seam;
mod slow;
mod socket;
mod switch;
mod tls;
mod websocket;

/// What a scenario is, run for one cell.
pub type Run = fn(Cell) -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// Which cells a scenario would have without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Every transport by every carrier.
    Rows,
    /// Every ordered pair of two transports by every carrier.
    Pairs,
    /// Every carrier; the scenario speaks HTTP or frames itself.
    Carriers,
}

/// One scenario.
pub struct Scenario {
    /// `topic::name`.
    pub name: &'static str,
    /// Clauses that it proves.
    pub proves: &'static [&'static str],
    /// Its cells.
    pub grid: Grid,
    /// Its code.
    pub run: Run,
}

/// Lists the scenarios of a topic: `scenarios!("topic", Grid::Rows => name: "D1", "D2"; …)`.
macro_rules! scenarios {
    ($topic:literal; $($grid:ident $name:ident: $($clause:literal),+;)*) => {
        /// The scenarios of this topic.
        pub(super) const SCENARIOS: &[$crate::scenarios::Scenario] = &[
            $($crate::scenarios::Scenario {
                name: concat!($topic, "::", stringify!($name)),
                proves: &[$($clause),+],
                grid: $crate::scenarios::Grid::$grid,
                run: |cell| Box::pin($name(cell)),
            },)*
        ];
    };
}
use scenarios;

/// All scenarios, topic by topic.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        live::SCENARIOS,
        catch_up::SCENARIOS,
        seam::SCENARIOS,
        corner::SCENARIOS,
        payload::SCENARIOS,
        gap::SCENARIOS,
        restart::SCENARIOS,
        switch::SCENARIOS,
        slow::SCENARIOS,
        patience::SCENARIOS,
        life::SCENARIOS,
        limits::SCENARIOS,
        counts::SCENARIOS,
        publish::SCENARIOS,
        poll::SCENARIOS,
        presence::SCENARIOS,
        http::SCENARIOS,
        origin::SCENARIOS,
        errors::SCENARIOS,
        socket::SCENARIOS,
        websocket::SCENARIOS,
        deflate::SCENARIOS,
        access::SCENARIOS,
        tls::SCENARIOS,
        floods::SCENARIOS,
        bugs::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// Scenarios that make sense behind a proxy only; see [`crate::front`].
pub fn behind_a_proxy() -> impl Iterator<Item = &'static Scenario> {
    front::SCENARIOS.iter()
}
