//! Which published vulnerability is tried by which test: the one list from which the tests derive, so that none can vanish.
//!
//! V-numbers are those of the list of vulnerabilities that efir is held to (V24 concerns HTTP/3, which efir does not speak). A case
//! that another room's test covers stands in [`ELSEWHERE`].

use std::{pin::Pin, time::Duration};

use anyhow::{Result, ensure};
use efir_testkit::harness::Trial;

type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One test.
pub(crate) struct Case {
    row: &'static str,
    cve: &'static str,
    name: &'static str,
    run: fn() -> Running,
}

/// A test in another room.
pub(crate) struct Elsewhere {
    row: &'static str,
    cve: &'static str,
    /// From the root of the checkout.
    file: &'static str,
    test: &'static str,
}

/// How long one test may take on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

macro_rules! cases {
    ($($row:literal $cve:literal: $($group:ident :: $test:ident),+;)*) => {
        /// All of them, in the order of the list.
        pub(crate) const CASES: &[Case] = &[$($(Case {
            row: $row,
            cve: $cve,
            name: concat!(stringify!($group), "::", stringify!($test)),
            run: || Box::pin(crate::$group::$test()),
        },)+)*];
    };
}

cases! {
    "V1" "CVE-2026-27571,CVE-2026-33219":
        bombs::flood_before_anything_is_known, bombs::flood_after_authentication, bombs::headers,
        bombs::headers_after_authentication;
    "V2" "CVE-2026-27889": frames::lengths;
    "V3" "CVE-2026-29785": bombs::first_frame_compressed;
    "V4" "CVE-2026-62963":
        bombs::limits_count_what_is_inflated, bombs::limits_count_what_is_inflated_after_authentication;
    "V6" "CVE-2026-39972": names::injective, names::keys_belong_to_their_channel;
    "V7" "CVE-2026-32689": bombs::dense_bodies, bombs::dense_bodies_after_authentication;
    "V8" "CVE-2022-42975": origins::sixty_at_every_endpoint;
    "V9" "CVE-2026-48779,CVE-2026-62389": frames::a_million_fragments, frames::a_million_fragments_after_authentication;
    "V10" "CVE-2024-37890,CVE-2021-32640": handshakes::hostile_lists;
    "V11" "CVE-2020-7662,CVE-2020-7663,CVE-2026-54466": handshakes::endless_lists;
    "V13" "CVE-2022-21676,CVE-2022-41940,CVE-2024-38355,CVE-2023-32695,CVE-2022-2421": commands::confused_types;
    "V14" "CVE-2026-33151,CVE-2026-69185": commands::declared_counts;
    "V15" "CVE-2026-59725,CVE-2020-36048": endings::bad_posts;
    "V16" "CVE-2020-7693": handshakes::upgrades_everywhere;
    "V17" "CVE-2026-45591,CVE-2026-56170,CVE-2026-114147":
        bombs::nesting, bombs::nesting_after_authentication, commands::cases_and_normal_forms, commands::readers_leave_nothing_behind;
    "V18" "CVE-2026-19204": frames::unknown_opcodes;
    "V19" "CVE-2026-44545": defaults::everything_is_finite;
    "V20" "CVE-2023-43669,CVE-2022-35922,CVE-2020-35896": handshakes::a_byte_at_a_time;
    "V22" "CVE-2021-32714,CVE-2021-32715,CVE-2025-55315":
        smuggling::direct, smuggling::behind_nginx, smuggling::behind_haproxy;
    "V23" "CVE-2020-36406,OSV-2020-1695,OSV-2021-1387": commands::sequences;
    "V25" "nchan-436,nchan-713": endings::at_every_byte;
}

macro_rules! elsewhere {
    ($($row:literal $cve:literal $file:literal $test:literal;)*) => {
        /// What is proved by tests of other rooms.
        pub(crate) const ELSEWHERE: &[Elsewhere] = &[$(Elsewhere { row: $row, cve: $cve, file: $file, test: $test },)*];
    };
}

elsewhere! {
    "V2" "CVE-2026-27889" "crates/efir-ws/tests/hostile_peers.rs" "v2_frame_lengths_at_the_edges_of_their_forms";
    "V5" "CVE-2026-32301,CVE-2026-49998" "crates/efir-access/tests/it/corpus.rs" "no_token_of_the_corpus_is_wrongly_accepted";
    "V5" "CVE-2026-49998" "crates/efir-access/tests/it/keysets.rs" "two_issuers_may_share_a_secret_and_are_told_apart";
    "V9" "CVE-2026-48779" "crates/efir-ws/tests/hostile_peers.rs" "v9_a_million_tiny_fragments";
    "V11" "CVE-2020-7662" "crates/efir-ws/tests/hostile_peers.rs" "v11_extension_values_of_a_mebibyte_are_read_in_one_pass";
    "V12" "CVE-2026-2229" "crates/efir-ws/tests/hostile_peers.rs" "v12_answers_that_our_client_refuses";
    "V12" "CVE-2026-2229,CVE-2026-9675,CVE-2026-12151" "crates/efir-client/tests/it/hostile.rs" "v12_sockets_that_mean_ill";
    "V12" "CVE-2026-12151" "crates/efir-client/tests/it/hostile.rs" "v12_bodies_that_mean_ill";
    "V18" "CVE-2026-19204" "crates/efir-ws/tests/hostile_peers.rs" "v18_an_unknown_opcode_with_a_huge_length";
    "V20" "CVE-2023-43669" "crates/efir-ws/tests/hostile_peers.rs" "v20_a_mebibyte_in_segments_of_one_byte";
    "V21" "CVE-2023-44487" "crates/efir-testkit/src/scenarios/floods.rs" "rapid_reset_cve_2023_44487";
    "V21" "CVE-2025-8671" "crates/efir-testkit/src/scenarios/floods.rs" "made_you_reset_cve_2025_8671";
    "V21" "RUSTSEC-2024-0332" "crates/efir-testkit/src/scenarios/floods.rs" "continuation_rustsec_2024_0332";
    "V21" "RUSTSEC-2026-0258" "crates/efir-testkit/src/scenarios/floods.rs" "empty_data_rustsec_2026_0258";
}

/// The tests, and one that looks at this table.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|case| Trial {
            name: format!("{}/{}/{}", case.row, case.cve, case.name),
            limit: LIMIT,
            is_busy: false,
            run: Box::new(|_| (case.run)()),
        })
        .collect();
    trials.push(Trial {
        name: "table::every_row_is_tried".into(),
        limit: LIMIT,
        is_busy: false,
        run: Box::new(|_| Box::pin(async { is_whole() })),
    });
    trials
}

fn is_whole() -> Result<()> {
    for number in (1..=23).chain([25]) {
        let row = format!("V{number}");
        let is_tried =
            CASES.iter().any(|case| case.row == row) || ELSEWHERE.iter().any(|test| test.row == row);
        ensure!(is_tried, "{row} is tried by no test");
    }
    for test in ELSEWHERE {
        let path = format!("{}/../../{}", env!("CARGO_MANIFEST_DIR"), test.file);
        let text = std::fs::read_to_string(&path)?;
        ensure!(
            text.contains(&format!("fn {}(", test.test)),
            "{} ({}): {} has no test {}",
            test.row,
            test.cve,
            test.file,
            test.test
        );
    }
    Ok(())
}
