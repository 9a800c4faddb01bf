//! The layers, the refusals and their words.

use super::*;

fn load(
    file: &str,
    env: &[(&str, &str)],
    flags: &[(&'static str, &str, &[&str])],
) -> Result<Settings, Vec<ConfigError>> {
    Settings::load(&Sources {
        file: Some((PathBuf::from("conf/efir.toml"), file.to_owned())),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: Flags {
            config: None,
            values: flags
                .iter()
                .map(|(flag, path, values)| {
                    (*flag, (*path).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
                })
                .collect(),
        },
    })
}

fn resolve(file: &str) -> Result<Resolved, Vec<ConfigError>> {
    Resolved::from_settings(&load(file, &[], &[])?)
}

/// The one error of a file, as people see it.
fn refusal(file: &str) -> String {
    let errors = resolve(file).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

#[test]
fn without_configuration_the_defaults_hold() {
    let resolved = resolve("").unwrap();
    let default = Resolved::default();
    assert_eq!((&resolved.limits, &resolved.times), (&default.limits, &default.times));
    assert_eq!((&resolved.listen, resolved.workers), (&default.listen, default.workers));
    assert!(resolved.is_loopback_only() && resolved.workers >= 1);
}

#[test]
fn later_layers_win_and_are_named() {
    let file = "workers = 3\nlisten = [\"127.0.0.1:1\"]\n[times]\nheartbeat = \"1s\"\nhold = \"2s\"\n";
    let env = [
        ("EFIR_TIMES__HEARTBEAT", "200ms"),
        ("EFIR_LISTEN", "127.0.0.1:2,[::1]:2"),
        ("EFIR_URL", "x"),
        ("PATH", "y"),
    ];
    let settings =
        load(file, &env, &[("--listen", "listen", &["9", ":10"]), ("--open", "open", &["true"])]).unwrap();
    let setting = |path: &str| settings.setting(path).unwrap().clone();
    assert_eq!(setting("workers").origin.to_string(), "conf/efir.toml:1");
    assert_eq!(setting("times.heartbeat").value, Value::Number(200));
    assert_eq!(setting("times.heartbeat").origin.to_string(), "EFIR_TIMES__HEARTBEAT (environment)");
    assert_eq!(setting("times.hold").origin, Origin::File("conf/efir.toml".into(), 5));
    assert_eq!(setting("times.ping").origin, Origin::Default);
    assert_eq!(setting("listen").origin, Origin::Flag("--listen"));
    let resolved = Resolved::from_settings(&settings).unwrap();
    assert!(resolved.is_open);
    assert_eq!(resolved.listen, ["127.0.0.1:9".parse().unwrap(), "0.0.0.0:10".parse().unwrap()]);
    assert!(!resolved.is_loopback_only());
    assert_eq!((resolved.times.heartbeat_ms, resolved.times.hold_ms), (200, 2000));
}

#[test]
fn a_switch_is_true_or_false() {
    assert!(resolve("").unwrap().has_websocket_deflate);
    assert!(!resolve("websocket_deflate = false").unwrap().has_websocket_deflate);
    let settings = load("", &[("EFIR_WEBSOCKET_DEFLATE", "false")], &[]).unwrap();
    assert!(!Resolved::from_settings(&settings).unwrap().has_websocket_deflate);
    let settings =
        load("websocket_deflate = false", &[], &[("--set", "websocket_deflate", &["true"])]).unwrap();
    assert!(Resolved::from_settings(&settings).unwrap().has_websocket_deflate);
    for bad in ["\"on\"", "1", "[true]"] {
        assert!(refusal(&format!("websocket_deflate = {bad}")).ends_with("expected true or false"), "{bad}");
    }
}

#[test]
fn every_line_of_the_tables_is_a_key() {
    let keys = keys::all();
    let rows: Vec<_> = keys.iter().filter_map(|key| key.row).map(|(_, row)| row.name).collect();
    let all = efir_core::LIMITS.iter().chain(efir_core::TIMES);
    assert!(all.clone().all(|row| rows.contains(&row.name)));
    assert_eq!(rows.len(), all.count());
    for path in [
        "retention.messages",
        "retention.bytes",
        "retention.age",
        "times.hold_max",
        "limits.message_bytes_max",
    ] {
        assert!(keys.iter().any(|key| key.path() == path), "{path}");
    }
    let mut paths: Vec<_> = keys.iter().map(Key::path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), keys.len(), "no path twice");
}

#[test]
fn each_default_is_a_value_of_its_key() {
    let text: String = keys::all()
        .iter()
        .filter(|key| key.section.is_empty())
        .map(|key| format!("{} = {}\n", key.name, key.toml(&key.default)))
        .collect();
    let named: std::collections::BTreeSet<_> = keys::all().iter().map(|key| key.section).collect();
    let sections: String = named
        .iter()
        .filter(|section| !section.is_empty())
        .map(|section| {
            let lines: String = keys::all()
                .iter()
                .filter(|key| key.section == *section)
                .map(|key| format!("{} = {}\n", key.name, key.toml(&key.default)))
                .collect();
            format!("[{section}]\n{lines}")
        })
        .collect();
    let settings = load(&format!("{text}{sections}"), &[], &[]).unwrap();
    for key in keys::all() {
        let setting = settings.setting(&key.path()).unwrap();
        // `static_dir` becomes relative to the file, unless it is empty as by default.
        assert_eq!(setting.value, key.default, "{}", key.path());
        assert_ne!(setting.origin, Origin::Default, "{}", key.path());
    }
}

#[test]
fn unknown_keys_are_refused_with_a_hint() {
    assert_eq!(
        refusal("\n\n[times]\nheartbeet = \"1s\""),
        "conf/efir.toml:4: there is no key 'times.heartbeet'; did you mean 'times.heartbeat'?"
    );
    for (file, words) in [
        ("[times]\nheartbeat_ms = 5", "did you mean 'times.heartbeat'?"),
        ("heartbeat = \"5s\"", "did you mean 'times.heartbeat'?"),
        ("worker = 5", "did you mean 'workers'?"),
        ("[time]\nheartbeat = \"5s\"", "no key 'time'; did you mean '[times]'?"),
        ("[limits]\nmessages = 5", "did you mean 'retention.messages'?"),
        ("[times]\nheart = \"5s\"", "did you mean 'times.heartbeat'?"),
        ("zzz = 5", "`efir config keys` lists all of them"),
        ("[workers]\na = 1", "expected a whole number"),
        ("times = 5", "no key 'times'"),
    ] {
        let text = refusal(file);
        assert!(text.contains(words), "{file:?}: {text}");
    }
}

#[test]
fn unknown_variables_and_flags_are_refused() {
    let error = |env: &[(&str, &str)]| load("", env, &[]).unwrap_err()[0].to_string();
    assert_eq!(
        error(&[("EFIR_TIMES__HEARTBEET", "1s")]),
        "EFIR_TIMES__HEARTBEET (environment): there is no key 'EFIR_TIMES__HEARTBEET'; did you mean 'EFIR_TIMES__HEARTBEAT'?"
    );
    assert!(error(&[("EFIR_LISTN", "1")]).contains("EFIR_LISTEN"));
    for strange in ["EFIR_SERVICE_HOST", "EFIR_PORT", "EFIR_PORT_8080_TCP_ADDR", "EFIR_PAGE", "EFIR_SEED"] {
        load("", &[(strange, "10.0.0.1")], &[]).unwrap();
    }
    let doubts = load("", &[("EFIR_HEARTBEAT", "1s"), ("EFIR_SEED", "1")], &[]).unwrap().doubts().to_vec();
    assert_eq!(doubts, ["the variable EFIR_HEARTBEAT is ignored; did you mean EFIR_TIMES__HEARTBEAT?"]);
    let errors = load("", &[], &[("--set", "times.hart", &["1s"])]).unwrap_err();
    assert!(errors[0].to_string().starts_with("--set: there is no key 'times.hart'"), "{}", errors[0]);
}

#[test]
fn bad_values_say_what_is_expected() {
    assert_eq!(
        refusal("[times]\nheartbeat = 15"),
        "conf/efir.toml:2: 'times.heartbeat' is 15; expected a time with its unit such as 250ms, 15s or 1h, at least 1ms"
    );
    for (file, words) in [
        ("[times]\nheartbeat = \"0\"", "is \"0\"; expected a time"),
        ("[retention]\nbytes = \"8 apples\"", "is \"8 apples\"; expected a size such as"),
        ("[retention]\nmessages = 0", "a whole number, at least 1"),
        ("[retention]\nmessages = -1", "a whole number"),
        ("[retention]\nmessages = 1.5", "a whole number"),
        ("listen = \"here\"", "an address and port such as"),
        ("listen = []", "an address and port such as"),
        ("listen = [8080]", "an address and port such as"),
        ("allow_origins = [\"https://a.example/path\"]", "(no path)"),
        ("allow_origins = \"*\"", "an origin such as"),
        ("hosts = \"http://a\"", "a host name"),
        ("log = \"loud,=\"", "a level"),
        ("trusted_proxies = \"proxy\"", "a network such as 10.0.0.0/8"),
        ("trusted_proxies = [\"10.0.0.1/8\"]", "a network such as 10.0.0.0/8"),
        ("forwarded_header = \"x-real-ip\"", "\"x-forwarded-for\" or \"forwarded\""),
        ("proxy_protocol = true", "the networks of the proxies in trusted_proxies"),
        ("workers = true", "is true; expected a whole number"),
        ("static_dir = \"nowhere\"", "is 'conf/nowhere'; expected a folder that exists"),
        ("[limits]\nmessage_bytes_max = \"17MiB\"", "at most \"16MiB\""),
        ("[limits]\nmessage_bytes_max = \"9MiB\"", "at most \"8MiB\" (retention.bytes)"),
        ("[times]\nhold = \"2m\"", "at most \"1m 50s\" (times.hold_max)"),
        ("[times]\nhold = \"10ms\"", "at least \"1s\" (times.hold_min)"),
        ("[times]\nretry_min = \"6s\"", "at most \"5s\" (times.retry_max)"),
        ("[limits]\nbatch_messages_default = 2000", "at most 1000 (limits.batch_messages_max)"),
    ] {
        let text = refusal(file);
        assert!(text.contains(words), "{file:?}: {text}");
    }
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = load("worker = 1\n[times]\nhold = 5\nx = 1", &[("EFIR_LISTEN", "here")], &[]).unwrap_err();
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn what_is_not_toml_is_shown_with_its_line() {
    let text = refusal("workers = \n");
    assert!(text.starts_with("conf/efir.toml is not TOML:\nline 1: "), "{text}");
}

#[test]
fn origins_and_hosts_become_what_browsers_send() {
    let resolved = resolve(
        "open = true\nallow_origins = [\"HTTPS://Example.org/\", \"http://a:81\"]\nhosts = [\"Chat.example:8080\"]",
    )
    .unwrap();
    assert_eq!(resolved.allow_origins, ["https://example.org", "http://a:81"]);
    assert_eq!(resolved.hosts, ["chat.example:8080"]);
}

#[test]
fn folders_are_relative_to_their_file() {
    let here = env!("CARGO_MANIFEST_DIR");
    let sources = Sources {
        file: Some((PathBuf::from(here).join("efir.toml"), "static_dir = \"src\"".into())),
        ..Sources::default()
    };
    let resolved = Resolved::from_settings(&Settings::load(&sources).unwrap()).unwrap();
    assert_eq!(resolved.static_dir, Some(PathBuf::from(here).join("src")));
}

#[test]
fn the_lab_follows_the_addresses_unless_it_is_set() {
    let has_lab = |file: &str| resolve(&format!("open = true\n{file}")).unwrap().has_lab();
    assert!(has_lab("") && !resolve("[[rules]]\nchannels = \"a\"").unwrap().has_lab());
    assert!(has_lab("lab = \"auto\""));
    assert!(!has_lab("lab = false") && !has_lab("listen = \":0\"") && !has_lab("hosts = \"chat.example\""));
    assert!(!has_lab("allow_origins = \"https://app.example\""));
    assert!(has_lab("allow_origins = \"https://app.example\"\nlab = true"));
    assert!(has_lab("listen = \":0\"\nlab = true") && has_lab("listen = [\"[::1]:0\", \"127.0.0.1:0\"]"));
    assert!(!has_lab("listen = [\"127.0.0.1:0\", \":0\"]"));
    let settings = load("lab = false", &[], &[("--lab", "lab", &["true"])]).unwrap();
    assert!(Resolved::from_settings(&settings).unwrap().has_lab());
    assert!(refusal("lab = \"on\"").ends_with("expected \"auto\", true or false"));
}

#[test]
fn who_is_in_front_and_who_is_not_limited() {
    let resolved = |file: &str| Resolved::from_settings(&load(file, &[], &[]).unwrap()).unwrap();
    let default = resolved("");
    assert_eq!(default.trust, Resolved::default().trust);
    assert!(!default.has_proxy_protocol && default.trust.proxies.is_empty());
    let loopback = default.trust.unlimited.iter();
    assert!(loopback.clone().any(|cidr| cidr.contains("127.0.0.1".parse().unwrap())));
    assert!(loopback.clone().any(|cidr| cidr.contains("::1".parse().unwrap())));
    let behind = resolved(
        "open = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nproxy_protocol = true\nunlimited = []",
    );
    assert!(behind.has_proxy_protocol && behind.trust.unlimited.is_empty());
    assert_eq!(
        behind.trust.proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert_eq!(
        resolved("forwarded_header = \"forwarded\"").trust.written,
        super::networks::Written::Forwarded
    );
}
