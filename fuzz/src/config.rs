//! The configuration: what is wrong is refused in words of one piece, what holds is understood twice alike, and what a key's value is
//! shown as is read again as the same.

use std::path::PathBuf;

use efir_server::config::{ConfigError, Flags, Resolved, Settings, Sources, file, keys};

/// Stands between the lines of the environment and the file.
const BETWEEN: &str = "\n---\n";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A file of the system may be a device without an end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    let (env, file) = text.split_once(BETWEEN).unwrap_or(("", text));
    let env: Vec<(String, String)> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("EFIR_{name}"), value.to_owned()))
        .collect();
    let sources = Sources { file: Some((path(), file.to_owned())), env, flags: Flags::default() };
    let resolved = Settings::load(&sources).and_then(|settings| Resolved::from_settings(&settings));
    let again = Settings::load(&sources).and_then(|settings| Resolved::from_settings(&settings));
    match (&resolved, again) {
        (Ok(one), Ok(other)) => {
            assert_eq!((&one.limits, &one.times), (&other.limits, &other.times));
            assert!(one.workers >= 1 && !(one.listen.is_empty() && one.listen_tls.is_empty()));
        }
        (Err(one), Err(other)) => check_refusal(one, &other),
        _ => panic!("read twice it is not the same"),
    }
    check_values(file);
}

fn path() -> PathBuf {
    PathBuf::from("nowhere/efir.toml")
}

fn check_refusal(errors: &[ConfigError], again: &[ConfigError]) {
    assert!(!errors.is_empty());
    assert_eq!(errors, again);
    for error in errors {
        assert!(error.to_string().len() > 10, "{error:?}");
    }
}

/// The first line names a key by its number; the second is a value.
fn check_values(text: &str) {
    let Some((number, value)) = text.split_once('\n') else { return };
    let keys = keys::all();
    let Some(key) = number.trim().parse::<usize>().ok().and_then(|number| keys.get(number % keys.len()))
    else {
        return;
    };
    let read = match key.kind.is_list() {
        true => key.kind.read_list(value.split(',')),
        false => key.kind.read_text(value),
    };
    let Ok(read) = read else { return };
    let line = format!("{} = {}\n", key.path(), key.toml(&read));
    let found = file::read(&PathBuf::from("efir.toml"), &line, &keys, &[]);
    let found = found.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(found.errors, [], "{line}");
    let (_, setting) = &found.settings[0];
    assert_eq!(key.toml(&setting.value), key.toml(&read), "{line}");
}
