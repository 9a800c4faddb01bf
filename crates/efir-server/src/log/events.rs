//! The one table of what the log tells. Codes stay; the words beside them may change.

/// One line of [`EVENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventRow {
    /// What programs look for.
    pub(crate) code: &'static str,
    /// How bad it is: `error`, `warn`, `info` or `debug`.
    pub(crate) level: &'static str,
    /// When it happens, and what to do.
    pub(crate) meaning: &'static str,
}

macro_rules! events {
    ($($code:literal $level:ident $meaning:literal;)*) => {
        /// Every event, in the order of the docs.
        pub(crate) const EVENTS: &[EventRow] = &[
            $(EventRow { code: $code, level: stringify!($level), meaning: $meaning },)*
        ];
    };
}

events! {
    "config_read" info "The configuration file that was read.";
    "config_doubt" warn "Something in the configuration looks like a mistake and is none for sure.";
    "process_limits" info "How many files the process may open, and how many connections that allows.";
    "memory_limits" info "How much memory the server takes at most, and how much of it logs may be.";
    "proxy_header_bad" warn "A trusted proxy began a connection without a header of the PROXY protocol, version 2, although `proxy_protocol` is on. The connection was closed.";
    "started" info "The server listens. `addresses`, `workers` and `version` say as what.";
    "open_to_strangers" warn "Others than the programs of this machine can reach the server, and `open` is on: they may read and publish everything. `why` says how they reach it.";
    "listen_failed" error "A listening socket cannot be used; that worker accepts nothing on it.";
    "accept_paused" warn "No connection can be accepted, because no file or memory is left for one. Told once until it works again; raise the limit of open files.";
    "accept_failed" debug "A client gave up before its connection was accepted.";
    "ring_given_up" warn "The kernel no longer serves io_uring; the worker goes on with ordinary calls.";
    "refused" debug "A client was told a problem: its `code` and, where one was passed, `limit`; never what the client sent.";
    "socket_broke" debug "A WebSocket of an embedding application ended with an error.";
    "member_change_untold" debug "A change of members could not be put into the channel's log of members.";
    "sockets_taken" info "Listening sockets for an address were handed over, by a service manager (`LISTEN_FDS`) or by the server that was there before; `descriptors` says which.";
    "socket_let_go" info "A listening socket of the server that was there before is for an address that is configured no longer, and was closed.";
    "upgrade_begun" info "SIGUSR2 came, and a successor is started: this program again, with the listening sockets.";
    "upgraded" info "The successor with this `process` accepts connections; this server drains and ends.";
    "upgrade_failed" error "There is no successor; `why` says what it said or lacks. Everything goes on as before.";
    "notify_failed" debug "The service manager (`NOTIFY_SOCKET`) could not be told.";
    "draining" info "The process was asked to end; clients are told to go elsewhere. Once more ends it at once.";
    "drain_cut" warn "Some connections did not end within `drain_max` and were cut.";
    "stopped" info "Everything has ended.";
    "worker_panicked" error "A worker ended by a bug in efir. Its connections are gone; restart, and please report it.";
    "panic_contained" error "A bug in efir came up and has ended what `what` names, and nothing else. `panicked` beside it says where.";
    "panicked" error "A bug in efir, and where it stands in the source. What the panic says is not written, because it may repeat what a client sent.";
    "certificates_changed" info "The certificate files have changed, and new connections get the new certificates.";
    "certificates_bad" warn "The certificate files have changed and are no good; the old certificates stay. Put the files right.";
    "certificate_cached" info "A certificate that was ordered before is in force, taken from `cache_dir`; it is good `until` then.";
    "certificate_cache_bad" warn "The certificate in `cache_dir` cannot be read, has expired or does not fit; another one is ordered.";
    "certificate_ordered" info "A certificate was ordered (ACME), came, and is in force for new connections; it is good `until` then. The next one is ordered with a third of that time left.";
    "certificate_not_ordered" warn "No certificate came; `why` says what the authority or the way to it lacks. What is in force stays; it is tried again after `retry_s`, and at once on a reload.";
    "certificate_not_cached" error "A certificate came and cannot be written into `cache_dir`. It is in force, but the next start orders another one; authorities limit how often.";
    "certificate_missing" warn "A client's handshake failed because the certificate that is ordered has not come. Told once until it has; `certificate_not_ordered` says why it takes so long.";
    "handshake_failed" debug "A client's TLS handshake failed or took too long.";
    "http2_flood" debug "An HTTP/2 connection sent too many frames of a `kind` that cost us and not its client, and was ended.";
    "admin_started" info "The admin listener answers.";
    "admin_refused" warn "Somebody asked the admin listener without the right key, or from a web page. Told at most once a second; `times` says for how many.";
    "admin_failed" warn "A connection to the admin listener could not be accepted.";
    "revoked" info "A user or token was revoked at the admin listener; `what` says which of the two, and for how long.";
    "keys_fetched" info "A set of keys for tokens was fetched from its URL and is in force; `skipped` says which of them are of no use, and why.";
    "keys_not_fetched" warn "A set of keys for tokens could not be fetched, or is none; `why` says it. Those that are known stay in force, and it is asked for again.";
    "reloaded" info "The configuration was read again. `taken_over` is in force now, `needs_restart` is not.";
    "reload_refused" error "The configuration that was read again is not valid, and nothing of it was taken over.";
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Rooms whose events reach the log of a server; the client's own are for whoever embeds it.
    const ROOMS: [&str; 5] = ["efir-access", "efir-core", "efir-engine", "efir-server", "efir-transports"];

    #[test]
    fn the_table_is_consistent() {
        let codes: BTreeSet<_> = EVENTS.iter().map(|row| row.code).collect();
        assert_eq!(codes.len(), EVENTS.len(), "a code twice");
        for row in EVENTS {
            assert!(
                row.code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{}",
                row.code
            );
            assert!(["error", "warn", "info", "debug"].contains(&row.level), "{}", row.code);
            assert!(row.meaning.ends_with('.'), "{}", row.code);
        }
    }

    #[test]
    fn every_event_in_the_sources_stands_in_the_table() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut told = BTreeSet::new();
        for room in ROOMS {
            let folder = crates.join(room).join("src");
            if folder.is_dir() {
                read_folder(&folder, &mut told);
            }
        }
        for row in EVENTS {
            assert!(told.contains(row.code), "{} is told nowhere", row.code);
        }
    }

    fn read_folder(folder: &Path, told: &mut BTreeSet<&'static str>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_folder(&path, told);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                read_source(&path, told);
            }
        }
    }

    /// What stands between `tracing::LEVEL!(` and the end of the statement.
    fn read_source(path: &Path, told: &mut BTreeSet<&'static str>) {
        let text = fs::read_to_string(path).unwrap();
        let calls = text.split(concat!("tracing", "::")).skip(1);
        for call in calls {
            let Some((level, rest)) = call.split_once("!(") else { continue };
            if !["error", "warn", "info", "debug", "trace"].contains(&level) {
                continue;
            }
            let call = rest.split(';').next().unwrap_or_default();
            let place = path.display();
            let code = call.trim_start().strip_prefix("event = \"").and_then(|rest| rest.split('"').next());
            let Some(code) = code else {
                panic!("{place}: tracing::{level}!({call}: no event = \"code\" first")
            };
            let row = EVENTS.iter().find(|row| row.code == code);
            let Some(row) = row else { panic!("{place}: {code} is not in the table") };
            assert_eq!(row.level, level, "{place}: the level of {code}");
            told.insert(row.code);
        }
    }
}
