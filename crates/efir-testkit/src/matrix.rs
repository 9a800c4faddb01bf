//! The matrix: scenario × transport × carrier, one named trial each.

use std::time::Duration;

use anyhow::Result;

use crate::{
    carrier::Carrier,
    front::{self, Program, holes},
    harness::Trial,
    readers::ROWS,
    room::Cell,
    scenarios::{self, Grid, Scenario},
};

pub mod left_out;

use left_out::{HOLES, Hole};

/// How long a cell may take on a busy machine; most take less than 0.2 s.
const LIMIT: Duration = Duration::from_secs(40);

/// Scenarios that keep a core busy: 10,000 messages each.
const BUSY: &str = "slow::";

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
    let is_busy = scenario.name.starts_with(BUSY);
    Trial { name, limit: LIMIT, is_busy, run: Box::new(move |seed| (scenario.run)(Cell { seed, ..cell })) }
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
