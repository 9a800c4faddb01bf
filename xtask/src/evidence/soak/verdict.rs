//! What a long run came to: whether it holds, and how the paper says it.

use super::crowd::Told;
use super::samples::{Sample, Slope};
use super::visitors::Visits;
use super::{FILES_SLACK, FULL, Plan};
use crate::evidence::audience::{mib, ms};
use crate::machine;
use crate::paper::grouped;

/// What the allocator's live bytes may grow by in an hour, as the upper end of the interval says it.
const GROWTH_MAX: f64 = 512.0 * 1024.0;
const MEMORY_MAX: u64 = 8 << 20;
/// Open files that come and go within a moment: churn, visits, and sockets that are being closed.
const FILES_SWING: u64 = 200;

/// What the run showed.
pub(super) struct Seen {
    pub(super) samples: Vec<Sample>,
    pub(super) told: Told,
    pub(super) visits: Visits,
    pub(super) published: u64,
    /// Open files before anybody came, and after all had gone.
    pub(super) files: (usize, usize),
    pub(super) allocated_empty: f64,
}

/// One minute, for whoever watches.
pub(super) fn line(sample: &Sample) -> String {
    format!(
        "{:5.1} min: allocated {:.2} MiB, RssAnon {:.2} MiB, files {}, threads {}, connections {}, responses {}, channels {}, log {:.2} MiB, keys {}, p99 / longest {}",
        sample.minutes,
        sample.allocated / 1_048_576.0,
        mib(sample.memory),
        sample.files,
        sample.threads,
        sample.connections,
        sample.responses,
        sample.channels,
        mib(sample.log_bytes),
        sample.keys,
        ms(sample.latency),
    )
}

impl Seen {
    fn second_half(&self) -> &[Sample] {
        &self.samples[self.samples.len() / 2..]
    }

    /// Bytes an hour, over the second half.
    fn growth(&self) -> Option<Slope> {
        let points: Vec<(f64, f64)> =
            self.second_half().iter().map(|sample| (sample.minutes / 60.0, sample.allocated)).collect();
        Slope::of(&points)
    }

    /// The least and the most of a figure in the second half.
    fn span(&self, pick: fn(&Sample) -> u64) -> (u64, u64) {
        let all = self.second_half().iter().map(pick);
        (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
    }

    /// More memory than at the first look.
    fn grown(&self) -> u64 {
        let memory = |sample: Option<&Sample>| sample.map_or(0, |sample| sample.memory);
        memory(self.samples.last()).saturating_sub(memory(self.samples.first()))
    }
}

/// What did not hold, if anything. A short run says nothing of small growth.
pub(super) fn broken(plan: Plan, seen: &Seen) -> Vec<String> {
    let mut broken = Vec::new();
    if plan.is_long {
        match seen.growth().map(Slope::interval) {
            Some((low, high)) if low <= 0.0 || high <= GROWTH_MAX => {}
            Some((low, high)) => broken.push(format!(
                "live bytes grow by {:.0} to {:.0} KiB an hour",
                low / 1024.0,
                high / 1024.0
            )),
            None => broken.push("too short to say whether live bytes grow".to_owned()),
        }
        let (least, most) = seen.span(|sample| sample.files);
        if most - least > FILES_SWING {
            broken.push(format!("between {least} and {most} open files"));
        }
        let (least, most) = seen.span(|sample| sample.threads);
        if most != least {
            broken.push(format!("between {least} and {most} threads"));
        }
    }
    if seen.grown() > MEMORY_MAX {
        broken.push(format!("{:.1} MiB more memory", mib(seen.grown())));
    }
    if seen.files.1 > seen.files.0 + FILES_SLACK {
        broken.push(format!("{} open files when all have gone, {} before", seen.files.1, seen.files.0));
    }
    if seen.told.ended > 0 {
        let why = seen.told.why.as_deref().unwrap_or_default();
        broken.push(format!("{} connections were ended: {why}", seen.told.ended));
    }
    if !seen.told.faults.is_none() {
        broken.push(format!("lost / got twice / out of order: {}", seen.told.faults));
    }
    if seen.visits.wrong > 0 {
        broken.push(format!("{} visits went wrong: {}", seen.visits.wrong, seen.visits.words.join("; ")));
    }
    broken
}

/// At most so many lines of figures in the paper.
const LINES: usize = 12;

pub(super) fn text(plan: Plan, seen: &Seen) -> String {
    let broken = broken(plan, seen);
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let kib = |bytes: f64| format!("{:+.0}", bytes / 1024.0);
    let growth = seen.growth().map_or("not known".to_owned(), |slope| {
        let (low, high) = slope.interval();
        format!("{} KiB an hour, 95 % between {} and {}", kib(slope.each), kib(low), kib(high))
    });
    let (files, threads) = (seen.span(|sample| sample.files), seen.span(|sample| sample.threads));
    let told = &seen.told;
    format!(
        "`cargo xtask evidence soak{}`, {:.0} minutes, {}, {}: {verdict}.\n\n{}\n| what | seen |\n|---|---|\n\
         | allocator's live bytes over the second half, by least squares | {growth} |\n\
         | memory of the server (RssAnon), the last look against the first | {:+.2} MiB |\n\
         | open files over the second half | {} to {}; {} before anybody came, {} when all had gone |\n\
         | threads over the second half | {} to {} |\n\
         | connections that left and were replaced; that went on from a cursor; streams whose life was over | {}; {}; {} |\n\
         | ended by the server otherwise | {} |\n\
         | messages published; deliveries | {}; {} |\n\
         | lost / duplicated / reordered | {} |\n\
         | visits with a channel, keys, members and a stream of their own; with a wrong answer | {}; {} |\n",
        if plan.time == FULL.time {
            String::new()
        } else {
            format!(" --minutes {}", plan.time.as_secs() / 60)
        },
        plan.time.as_secs_f64() / 60.0,
        machine::date(),
        machine::line(),
        figures(seen),
        (seen.samples.last().map_or(0, |sample| sample.memory) as f64
            - seen.samples.first().map_or(0, |sample| sample.memory) as f64)
            / 1_048_576.0,
        grouped(files.0),
        grouped(files.1),
        seen.files.0,
        seen.files.1,
        threads.0,
        threads.1,
        grouped(told.churned),
        grouped(told.resumed),
        grouped(told.rotated),
        told.ended,
        grouped(seen.published),
        grouped(told.delivered),
        told.faults,
        grouped(seen.visits.done),
        seen.visits.wrong,
    )
}

/// Some of the samples, evenly.
fn figures(seen: &Seen) -> String {
    let mut table = "| minute | allocated | RssAnon | open files | responses | channels | logs | keys | p99 / longest time from due to read |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    table.push_str(&format!(
        "| empty | {:.2} MiB | | {} | | | | | |\n",
        seen.allocated_empty / 1_048_576.0,
        seen.files.0
    ));
    let step = seen.samples.len().div_ceil(LINES).max(1);
    let picked = seen.samples.iter().enumerate().filter(|(n, _)| *n == 0 || (n + 1) % step == 0);
    for (_, sample) in picked {
        table.push_str(&format!(
            "| {:.0} | {:.2} MiB | {:.2} MiB | {} | {} | {} | {:.2} MiB | {} | {} |\n",
            sample.minutes,
            sample.allocated / 1_048_576.0,
            mib(sample.memory),
            grouped(sample.files),
            grouped(sample.responses),
            grouped(sample.channels),
            mib(sample.log_bytes),
            grouped(sample.keys),
            ms(sample.latency),
        ));
    }
    table
}
