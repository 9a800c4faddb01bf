//! Whether the time in which a server key is looked for tells something about the keys that are known. After dudect (Reparaz, Balasch,
//! Verbauwhede, "Dude, is my code constant time?", 2017): two classes of keys in a random order, the time of each call, and Welch's t of
//! the two. A comparison that ends early is measured in the same way, for a method that sees nothing proves nothing.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use efir_access::{Actions, KeyMark, Pattern, ServerKey, ServerKeys};

use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;

/// From here on the times of two classes are taken to differ.
const T_MAX: f64 = 10.0;
/// As many as there may be, so that ending early would be seen.
const KEYS: usize = 100;
/// The slowest samples are what else the machine did: t is told for all of them, and without so many of a thousand.
const CROPPED: [usize; 3] = [0, 50, 200];

/// Two classes of texts of one length, and what is done with each of them.
struct Pair<'a> {
    name: &'static str,
    classes: [String; 2],
    work: &'a dyn Fn(&str) -> bool,
    /// It has to be seen.
    is_control: bool,
}

pub(super) fn attempt(size: Size, _binary: &Path) -> Result<Outcome> {
    let samples = if size == Size::Full { 2_000_000 } else { 20_000 };
    let keys = keys()?;
    let identify = |key: &str| keys.identify(key).is_some();
    let known = key(0);
    let early = |shown: &str| shown.bytes().zip(known.bytes()).all(|(one, other)| black_box(one) == other);
    let (stranger, other) = (key(KEYS), key(KEYS + 1));
    let near = format!("{}x", &known[..known.len() - 1]);
    let pairs = [
        Pair {
            name: "the first of 100 known keys / the last",
            classes: [key(0), key(KEYS - 1)],
            work: &identify,
            is_control: false,
        },
        Pair {
            name: "a known key but for its last letter / a key of a stranger",
            classes: [near, stranger.clone()],
            work: &identify,
            is_control: false,
        },
        Pair {
            name: "one stranger / another",
            classes: [stranger.clone(), other],
            work: &identify,
            is_control: false,
        },
        Pair {
            name: "*control: bytes compared until two differ*, the known key / a key of a stranger",
            classes: [known.clone(), stranger],
            work: &early,
            is_control: true,
        },
    ];
    let mut rows = String::new();
    let mut broken = Vec::new();
    for pair in &pairs {
        let ts = measured(pair, samples);
        let most = ts.iter().fold(0.0, |most: f64, t| most.max(t.abs()));
        let differs = most >= T_MAX;
        if differs != pair.is_control {
            broken.push(format!("{}: |t| {most:.1}", pair.name));
        }
        let told: Vec<String> = ts.iter().map(|t| format!("{t:+.1}")).collect();
        rows.push_str(&format!(
            "| {} | {} | {} |\n",
            pair.name,
            told.join(" | "),
            if differs { "differ" } else { "alike" }
        ));
    }
    Ok(Outcome { text: text(samples, &rows, &broken), broken })
}

fn text(samples: usize, rows: &str, broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    format!(
        "`cargo xtask evidence constant-time`, {}, {}: {verdict}.\n\n\
         | what is shown | t of all samples | without the slowest 5 % | without the slowest 20 % | |\n|---|--:|--:|--:|---|\n{rows}\n\
         {} calls a row, half of each class; |t| below {T_MAX:.0} are times that do not differ.\n",
        machine::date(),
        machine::line(),
        grouped(samples as u64),
    )
}

/// Key `n`: all have the same length, and differ from each other in few places.
fn key(n: usize) -> String {
    format!("{n:04}-{}", "k".repeat(43))
}

fn keys() -> Result<ServerKeys> {
    let mut keys = ServerKeys::default();
    for n in 0..KEYS {
        let channels = vec![Pattern::everything()];
        let (may, mark) = (Actions::ALL, KeyMark::default());
        let server = ServerKey { name: n.to_string().into(), may, channels, is_admin: false, mark };
        keys.add(&key(n), server).context("a key was not taken")?;
    }
    Ok(keys)
}

/// t of the two classes, for each part that is left out.
fn measured(pair: &Pair<'_>, samples: usize) -> Vec<f64> {
    let mut random = RandomState::new().build_hasher();
    let mut times: Vec<(u32, bool)> = Vec::with_capacity(samples);
    // Both classes are read from one place, so that no cache knows them apart.
    let mut shown = pair.classes[0].clone();
    for n in 0..samples {
        random.write_usize(n);
        let is_second = random.finish() & 1 == 1;
        shown.clone_from(&pair.classes[usize::from(is_second)]);
        let shown = black_box(shown.as_str());
        let began = Instant::now();
        black_box((pair.work)(shown));
        times.push((began.elapsed().as_nanos().min(u128::from(u32::MAX)) as u32, is_second));
    }
    times.sort_unstable();
    CROPPED.iter().map(|cropped| welch(quickest(&times, *cropped))).collect()
}

/// Those of the sorted times that are left without so many of a thousand. Of times that are alike all stay or none, whatever their class.
fn quickest(times: &[(u32, bool)], cropped: usize) -> &[(u32, bool)] {
    let Some((limit, _)) = times.get(times.len() - times.len() * cropped / 1000) else { return times };
    &times[..times.partition_point(|(ns, _)| ns < limit)]
}

/// Welch's t of the times of two classes.
fn welch(times: &[(u32, bool)]) -> f64 {
    let of = |class: bool| {
        let each = || times.iter().filter(|(_, second)| *second == class).map(|(ns, _)| f64::from(*ns));
        let count = each().count() as f64;
        let mean = each().sum::<f64>() / count;
        let variance = each().map(|ns| (ns - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((one, one_error), (other, other_error)) = (of(false), of(true));
    let t = (one - other) / (one_error + other_error).sqrt();
    // Times that are all the same differ in nothing.
    if t.is_nan() { 0.0 } else { t }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_differ_are_told_from_those_that_do_not() {
        let times = |shift: u32| -> Vec<(u32, bool)> {
            (0..1_000).map(|n| (100 + n % 7 + if n % 2 == 1 { shift } else { 0 }, n % 2 == 1)).collect()
        };
        assert!(welch(&times(0)).abs() < 1.0);
        assert!(welch(&times(2)) < -T_MAX);
    }

    #[test]
    fn what_is_left_out_is_no_matter_of_class() {
        let times: Vec<(u32, bool)> = (0..1_000).map(|n| (u32::from(n >= 700), n % 2 == 1)).collect();
        assert_eq!((quickest(&times, 0).len(), quickest(&times, 200).len()), (1_000, 700));
    }

    #[test]
    fn keys_have_one_length_and_those_of_the_table_are_known() {
        let keys = keys().unwrap();
        assert!(keys.identify(&key(0)).is_some() && keys.identify(&key(KEYS - 1)).is_some());
        assert!(keys.identify(&key(KEYS)).is_none());
        assert_eq!(key(0).len(), key(KEYS + 1).len());
    }
}
