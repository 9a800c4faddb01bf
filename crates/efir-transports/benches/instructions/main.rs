//! The hot path, row by row, for `cargo xtask count`: a profiler that simulates the processor (valgrind's callgrind and dhat) runs
//! this program and reads off how many instructions a row executes and how many bytes a connection at rest keeps.
//!
//! Nothing here is timed, so a busy machine changes nothing. `meter.rs` says what is counted; each other file has the rows of
//! one part. Run by itself the program checks that every row does its work, and prints the rows' names.

mod access;
mod audience;
mod fan_out;
mod held;
mod meter;
#[path = "../../../efir-server/src/plain/parse.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the server's own file; what it does beside parsing, and for whom, is not needed here"
)]
mod plain;
mod publishing;
mod requests;
mod wire;

use std::process::ExitCode;

use meter::Meter;

/// The parts, in the order of the table.
const PARTS: [fn(&mut Meter); 5] =
    [publishing::rows, wire::rows, requests::rows, fan_out::rows, access::rows];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let mut meter = Meter;
            for rows in PARTS {
                rows(&mut meter);
            }
            ExitCode::SUCCESS
        }
        ["held"] => {
            held::samples().for_each(|(name, count)| println!("{name}\t{count}"));
            ExitCode::SUCCESS
        }
        // Ends with everything still held, which is what the profiler is to see.
        ["held", name, count] => held::hold(name, count),
        _ => {
            eprintln!("instructions [held [NAME COUNT]]");
            ExitCode::FAILURE
        }
    }
}
