//! What is counted: the profiler collects inside of [`counted_section`] only, and writes down a row at [`row_ends`]. Both are found by
//! name, so they keep theirs and are never inlined.

use std::hint::black_box;

/// Calls before anything is counted: pools are filled, logs at their limit, caches of frames made.
const WARM_UP: usize = 40;
/// Calls that are counted; rare work (a table that grows) is spread over them.
pub(crate) const CALLS: usize = 64;

/// Runs rows and prints one line for each: its name, a tab, and how many units were counted.
#[derive(Debug)]
pub(crate) struct Meter;

impl Meter {
    /// Counts the instructions of `work`, which does `units` units a call. `prepare` makes what a call needs; neither that nor the
    /// dropping of what `work` returns is counted. Both get `state`.
    pub(crate) fn count<S, I, O>(
        &mut self,
        (name, units): (&str, usize),
        state: &mut S,
        mut prepare: impl FnMut(&mut S) -> I,
        mut work: impl FnMut(&mut S, I) -> O,
    ) {
        for _ in 0..WARM_UP {
            let input = prepare(state);
            black_box(work(state, black_box(input)));
        }
        for _ in 0..CALLS {
            let mut input = Some(prepare(state));
            let mut output = None;
            counted_section(&mut || output = input.take().map(|input| work(state, black_box(input))));
            black_box(output);
        }
        println!("{name}\t{}", units * CALLS);
        row_ends();
    }

    /// The same for work that needs nothing but its input, one unit a call.
    pub(crate) fn count_pure<O>(&mut self, name: &str, mut work: impl FnMut() -> O) {
        self.count((name, 1), &mut (), |()| (), |(), ()| work());
    }
}

#[inline(never)]
fn counted_section(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

#[inline(never)]
fn row_ends() {
    black_box(());
}
