//! Which crate may know which, and where foreign libraries may be seen.

use super::rust_text;
use super::tree::{Dependency, Package, Workspace};

/// The workspace's own edges: a crate, and what it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("efir-core", &["efir-ws"]),
    ("efir-ws", &[]),
    ("efir-engine", &["efir-core"]),
    ("efir-access", &["efir-core"]),
    ("efir-schedules", &["efir-core"]),
    ("efir-transports", &["efir-access", "efir-core", "efir-engine", "efir-ws"]),
    ("efir", &["efir-access", "efir-core", "efir-engine", "efir-transports"]),
    (
        "efir-server",
        &[
            "efir",
            "efir-access",
            "efir-bench",
            "efir-client",
            "efir-core",
            "efir-engine",
            "efir-transports",
            "efir-ws",
        ],
    ),
    ("efir-client", &["efir-core", "efir-ws"]),
    // A load tool that shared code with what it measures would share its mistakes.
    ("efir-bench", &[]),
    ("efir-testkit", &["efir", "efir-access", "efir-client", "efir-core", "efir-engine", "efir-server"]),
    ("efir-fuzz", &["efir-core", "efir-engine", "efir-server", "efir-transports", "efir-ws"]),
    ("embed", &["efir"]),
    // It writes docs/reference from the core's tables, and makes tokens for those who are measured.
    // To a suite that wants an echo server it speaks WebSocket in the place of one.
    ("xtask", &["efir-access", "efir-bench", "efir-core", "efir-ws"]),
];

const HTTP_CRATES: &[&str] =
    &["http", "http-body", "http-body-util", "hyper", "hyper-util", "axum", "tower", "tower-http"];
/// The example mounts efir in somebody's axum app, which is its point.
const HTTP_ROOMS: &[&str] =
    &["efir-transports", "efir", "efir-server", "efir-client", "efir-testkit", "efir-fuzz", "embed"];

const BROKER_DRIVERS: &[&str] = &["redis", "fred", "async-nats", "nats", "fjall", "rusqlite", "redb", "sled"];

/// Libraries that would bring IO, tasks or randomness into the rules.
const IMPURE: &[&str] =
    &["tokio", "mio", "socket2", "fastrand", "rand", "getrandom", "tracing", "parking_lot"];

pub(super) fn crates(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    let is_ours = |name: &str| workspace.packages.iter().any(|package| package.name == name);
    for package in &workspace.packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            findings.push(format!("{} has no line in the table of crate edges", package.name));
            continue;
        };
        let edges = package.dependencies.iter().filter(|edge| is_ours(&edge.name));
        let refused = edges.filter(|edge| !allowed.contains(&edge.name.as_str()));
        findings.extend(refused.map(|edge| format!("{} must not depend on {}", package.name, edge.name)));
    }
    findings
}

pub(super) fn http(workspace: &Workspace) -> Vec<String> {
    let is_http = |edge: &&Dependency| !edge.is_dev && HTTP_CRATES.contains(&edge.name.as_str());
    outside(workspace, HTTP_ROOMS, is_http)
}

pub(super) fn brokers(workspace: &Workspace) -> Vec<String> {
    outside(workspace, &["efir-brokers"], |edge| BROKER_DRIVERS.contains(&edge.name.as_str()))
}

/// Who may do what is decided without IO, so that no token can make the server fetch anything.
pub(super) fn access_is_pure(workspace: &Workspace) -> Vec<String> {
    let access = workspace.packages.iter().filter(|package| package.name == "efir-access");
    let impure = |edge: &&Dependency| {
        let name = edge.name.as_str();
        !edge.is_dev && (IMPURE.contains(&name) || HTTP_CRATES.contains(&name))
    };
    access.flat_map(|access| refused(access, impure)).collect()
}

pub(super) fn core_is_pure(workspace: &Workspace) -> Vec<String> {
    let core = workspace.packages.iter().filter(|package| package.name == "efir-core");
    let impure = |edge: &&Dependency| !edge.is_dev && IMPURE.contains(&edge.name.as_str());
    let mut findings: Vec<String> = core.flat_map(|core| refused(core, impure)).collect();
    for file in workspace.sources("efir-core") {
        let is_wire = file.path.contains("/src/wire");
        let code = rust_text::without_tests(&rust_text::code_only(&file.text));
        if !is_wire && rust_text::words(&code).any(|word| word == "serde" || word == "serde_json") {
            findings.push(format!("{}: serde outside wire/", file.path));
        }
    }
    findings
}

fn outside(
    workspace: &Workspace,
    rooms: &[&str],
    is_refused: impl Fn(&&Dependency) -> bool + Copy,
) -> Vec<String> {
    let others = workspace.packages.iter().filter(|package| !rooms.contains(&package.name.as_str()));
    others.flat_map(|package| refused(package, is_refused)).collect()
}

fn refused(package: &Package, is_refused: impl Fn(&&Dependency) -> bool) -> Vec<String> {
    let edges = package.dependencies.iter().filter(is_refused);
    edges.map(|edge| format!("{} must not depend on {}", package.name, edge.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(packages: &[(&str, &[(&str, bool)])]) -> Workspace {
        let edge = |(name, is_dev): &(&str, bool)| Dependency { name: (*name).into(), is_dev: *is_dev };
        let package = |(name, edges): &(&str, &[(&str, bool)])| Package {
            name: (*name).into(),
            dependencies: edges.iter().map(edge).collect(),
        };
        Workspace { packages: packages.iter().map(package).collect(), ..Workspace::default() }
    }

    #[test]
    fn an_edge_upwards_is_found_even_for_tests() {
        let bad =
            workspace(&[("efir-core", &[("efir-engine", true)]), ("efir-engine", &[("efir-core", false)])]);
        assert_eq!(crates(&bad), ["efir-core must not depend on efir-engine"]);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        assert_eq!(
            crates(&workspace(&[("efir-attic", &[])])),
            ["efir-attic has no line in the table of crate edges"]
        );
    }

    #[test]
    fn http_in_the_engine_is_found_but_may_help_its_tests() {
        let bad =
            workspace(&[("efir-engine", &[("hyper", false), ("axum", true)]), ("efir", &[("axum", false)])]);
        assert_eq!(http(&bad), ["efir-engine must not depend on hyper"]);
    }

    #[test]
    fn a_broker_driver_in_the_engine_is_found() {
        let bad = workspace(&[("efir-engine", &[("redis", false)]), ("efir-brokers", &[("redis", false)])]);
        assert_eq!(brokers(&bad), ["efir-engine must not depend on redis"]);
    }

    #[test]
    fn io_and_http_in_access_are_found() {
        let bad = workspace(&[(
            "efir-access",
            &[("tokio", false), ("hyper", false), ("serde", false), ("fastrand", true)],
        )]);
        let expected = ["efir-access must not depend on tokio", "efir-access must not depend on hyper"];
        assert_eq!(access_is_pure(&bad), expected);
    }

    #[test]
    fn tokio_and_serde_in_the_core_are_found() {
        let mut bad = workspace(&[("efir-core", &[("tokio", false), ("bytes", false)])]);
        bad.files = Workspace::of(&[
            ("crates/efir-core/src/log.rs", "use serde::Deserialize;"),
            (
                "crates/efir-core/src/gap.rs",
                "// serde is not for us\n#[cfg(test)]\nmod tests { use serde_json::Value; }",
            ),
            ("crates/efir-core/src/wire/batch.rs", "use serde::Serialize;"),
        ])
        .files;
        assert_eq!(
            core_is_pure(&bad),
            ["efir-core must not depend on tokio", "crates/efir-core/src/log.rs: serde outside wire/"]
        );
    }
}
