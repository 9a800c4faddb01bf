//! What is thrown at every parser of efir, and what has to hold whatever comes: not only that nothing panics, but that the answer
//! is right, by a naive second reader, by the way back, or by a model.
//!
//! A target is one file and one line of [`TARGETS`]; it knows nothing of the engine that invents bytes (`main.rs`, libFuzzer). What was
//! worth keeping stands in `corpus/NAME.txt` and is thrown again by an ordinary test.

mod commands;
mod config;
#[cfg(test)]
mod corpus;
mod cursor;
mod deflate;
mod frames;
mod handshake;
mod heads;
mod payload;
mod request;
mod sequences;
mod socket;

/// One thing that is thrown at.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line, and that of its corpus.
    pub name: &'static str,
    /// What is read, and what has to hold.
    pub about: &'static str,
    /// Reads these bytes; panics where something does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "frames",
        about: "WebSocket frames: in pieces as in one, and as a naive reader reads them",
        run: frames::run,
    },
    Target {
        name: "handshake",
        about: "the headers of a WebSocket handshake: what is agreed can be answered and is understood",
        run: handshake::run,
    },
    Target {
        name: "deflate",
        about: "compressed messages: there and back, and never more than the limit",
        run: deflate::run,
    },
    Target {
        name: "heads",
        about: "plain HTTP/1 requests: the same wherever they are cut, and one end for all readers",
        run: heads::run,
    },
    Target {
        name: "request",
        about: "requests with query, headers and body: an answer without a 5xx, whose `next` can be asked for",
        run: request::run,
    },
    Target {
        name: "cursor",
        about: "cursors, tokens, positions and channel names: what is taken comes back byte for byte",
        run: cursor::run,
    },
    Target {
        name: "commands",
        about: "JSON commands on /socket: one answer each, under their own id",
        run: commands::run,
    },
    Target {
        name: "payload",
        about: "payloads: one object of one line in every form, which says what was published",
        run: payload::run,
    },
    Target {
        name: "config",
        about: "efir.toml and the environment: refused in words, and what is shown is read again",
        run: config::run,
    },
    Target {
        name: "sequences",
        about: "subscribe, publish, close and read in any order: what a naive model says",
        run: sequences::run,
    },
];

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
    }

    #[test]
    fn every_saved_input_holds() {
        let mut broken = 0;
        for target in TARGETS {
            let inputs = corpus::read(&folder().join(format!("{}.txt", target.name))).unwrap();
            assert!(inputs.len() >= 10, "{} has {} inputs", target.name, inputs.len());
            for input in inputs {
                // Whoever reads the failure has to know which one it was.
                let run = std::panic::catch_unwind(|| (target.run)(&input));
                if run.is_err() {
                    broken += 1;
                    eprintln!("{}: {}", target.name, input.escape_ascii());
                }
            }
        }
        assert_eq!(broken, 0);
    }

    #[test]
    fn every_corpus_has_its_target() {
        for entry in std::fs::read_dir(folder()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let target = name.strip_suffix(".txt");
            assert!(TARGETS.iter().any(|known| Some(known.name) == target), "{name}");
        }
    }
}
