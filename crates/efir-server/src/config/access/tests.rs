//! What the tables mean, and the words of every refusal.

mod rules;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use efir_access::{Action, Audience, FromPolicy, Gate, GateParts};
use efir_core::ChannelName;

use super::*;
use crate::config::{Flags, Resolved, Settings, Sources};

const SECRET: &str = "planted-secret-planted-secret-planted";
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3f0Kx5ImF1eQwz6tmWcFfCkhg3BQ
-----END PUBLIC KEY-----
";

/// A folder with keys, made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("efir-access-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("long.secret"), format!("{SECRET}\n")).unwrap();
        fs::write(folder.join("short.secret"), "planted\n").unwrap();
        fs::write(folder.join("bad.pem"), PUBLIC_PEM).unwrap();
        fs::write(folder.join("keys.json"), "{\"keys\":[{\"kty\":\"oct\",\"k\":\"cGxhbnRlZA\"}]}").unwrap();
        folder
    })
}

fn settings(file: &str, flags: &[(&'static str, &str, &str)]) -> Result<Settings, Vec<ConfigError>> {
    let flag = |(flag, key, value): &(&'static str, &str, &str)| {
        (*flag, (*key).to_owned(), vec![(*value).to_owned()])
    };
    Settings::load(&Sources {
        file: Some((folder().join("efir.toml"), file.to_owned())),
        env: vec![("EFIR_TEST_SECRET".to_owned(), SECRET.to_owned())],
        flags: Flags { config: None, values: flags.iter().map(flag).collect() },
    })
}

fn resolve(file: &str) -> Result<Resolved, Vec<ConfigError>> {
    Resolved::from_settings(&settings(file, &[])?)
}

/// The one error of a file, as people see it, without the folder.
fn refusal(file: &str) -> String {
    let errors = resolve(file).expect_err(file);
    assert_eq!(errors.len(), 1, "{file}: {errors:?}");
    let text = errors[0].to_string();
    assert!(!text.contains("planted"), "{file}: {text}");
    text.split_once("efir.toml:").map(|(_, text)| text.to_owned()).unwrap_or(text)
}

fn key(line: &str) -> String {
    format!("[[token_keys]]\nname = \"app\"\nalgorithms = \"HS256\"\n{line}")
}

fn server(line: &str) -> String {
    format!("[[server_keys]]\nname = \"backend\"\nmay = \"publish\"\n{line}")
}

#[test]
fn keys_come_from_the_file_itself_from_files_and_from_variables() {
    let sources = [
        format!("secret = '{SECRET}'"),
        "secret_file = 'long.secret'".into(),
        "secret_env = 'EFIR_TEST_SECRET'".into(),
    ];
    let signing =
        efir_access::SigningKey::from_secret(efir_access::Algorithm::Hs256, SECRET.as_bytes()).unwrap();
    let claims = efir_access::Claims { user: "anna".into(), expires_s: 100, ..Default::default() };
    let token = signing.token(None, &claims).unwrap();
    for line in sources {
        let access = resolve(&key(&line)).unwrap().access;
        let parts = GateParts { token_keys: Arc::new(access.token_keys), ..GateParts::default() };
        assert!(Gate::new(parts).identify(&token, 1_000).is_ok(), "{line}");
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for line in [
        format!("key = '{SECRET}'"),
        "key_file = 'long.secret'".into(),
        "key_env = 'EFIR_TEST_SECRET'".into(),
        format!("key_sha256 = '{hex}'"),
    ] {
        let access = resolve(&server(&line)).unwrap().access;
        let server = access.server_keys.identify(SECRET).unwrap();
        assert!(server.may(Action::Publish, "any") && !server.may(Action::Subscribe, "any"), "{line}");
    }
    for line in [
        format!("secrets = '{SECRET}'"),
        "secret_files = 'long.secret'".into(),
        "secret_envs = ['EFIR_TEST_SECRET']".into(),
    ] {
        assert!(resolve(&format!("[tickets]\n{line}")).unwrap().access.tickets.is_some(), "{line}");
    }
    let remote = resolve(&key("jwks_url = 'http://[::1]:81/keys?x'")).unwrap().access;
    assert_eq!(remote.remote_keys[0].url, "http://[::1]:81/keys?x");
    assert!(remote.token_keys.is_empty() && remote.has_keys());
}

#[test]
fn where_a_key_cannot_come_from_is_refused_without_showing_it() {
    for (file, words) in [
        (
            "[[token_keys]]\nalgorithms = 'HS256'".to_owned(),
            "1: 'token_keys.name' is missing; expected a text that is not empty",
        ),
        (
            key(""),
            "2: 'token_keys.name': it needs one of secret, secret_file, secret_env, public_key_file, jwks_file, jwks_url",
        ),
        (
            key("secret = 'planted'"),
            "4: 'token_keys.secret': the secret of key 'app' has 7 bytes; at least 32 are needed (`openssl rand -hex 32` makes one)",
        ),
        (
            key("secret_file = 'short.secret'"),
            "4: 'token_keys.secret_file': the secret of key 'app' has 7 bytes",
        ),
        (
            key("secret_env = 'EFIR_NO_SUCH'"),
            "4: 'token_keys.secret_env' is \"EFIR_NO_SUCH\"; expected the name of an environment variable that is set",
        ),
        (key("secret = 7"), "4: 'token_keys.secret' is something else; expected a text"),
        (key("secret = ['planted']"), "4: 'token_keys.secret' is something else; expected a text"),
        (
            key("secret = 'planted'\njwks_url = 'https://a.example'"),
            "5: 'token_keys.jwks_url': it stands beside secret; one of the two",
        ),
        (key("secret_file = 'nowhere'"), "4: 'token_keys.secret_file' is '"),
    ] {
        let text = refusal(&file);
        assert!(text.contains(words), "{file}: {text}");
    }
    for url in [
        "http://keys.example",
        "https://planted@keys.example",
        "ftp://127.0.0.1",
        "/keys",
        "https://",
        "planted",
    ] {
        let text = refusal(&key(&format!("jwks_url = '{url}'")));
        let words = "4: 'token_keys.jwks_url' is no such URL; expected an https:// URL without a user (http:// only to this machine)";
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_is_no_key_is_refused_without_showing_it() {
    for (file, words) in [
        (
            key("public_key_file = 'bad.pem'"),
            "4: 'token_keys.public_key_file': key 'app' cannot be used with HS256: ",
        ),
        (
            key("public_key_file = 'long.secret'"),
            "4: 'token_keys.public_key_file': key 'app' is no public key in PEM",
        ),
        (
            key("jwks_file = 'keys.json'"),
            "4: 'token_keys.jwks_file': the set of keys 'app' is of no use: key 1 of 'app': it fits none of the algorithms",
        ),
        (
            key("id = 'a'\njwks_file = 'keys.json'"),
            "4: 'token_keys.id': a set of keys brings its own ids; leave this out",
        ),
        (
            key(&format!("secret = '{SECRET}'\nissuers = 'a'")),
            "5: there is no key 'token_keys.issuers'; did you mean 'token_keys.issuer'?",
        ),
        (
            "[[token_keys]]\nname = 'a'\nalgorithms = 'none'\nsecret_file = 'long.secret'".into(),
            "3: 'token_keys.algorithms' is \"none\"; expected some of ",
        ),
        (
            "[[token_keys]]\nname = 'a'\nsecret_file = 'long.secret'".into(),
            "1: 'token_keys.algorithms': key 'a' has no algorithm; name those that its tokens are signed with",
        ),
        (
            format!("{0}\n{0}", key("secret_file = 'long.secret'")),
            "6: 'token_keys.name' is \"app\"; expected a name that no other key has",
        ),
    ] {
        let text = refusal(&file);
        assert!(text.contains(words), "{file}: {text}");
    }
}

#[test]
fn what_backends_and_tickets_cannot_have_is_refused_without_showing_it() {
    for (file, words) in [
        (server(""), "2: 'server_keys.name': it needs one of key, key_file, key_env, key_sha256"),
        (
            server("key = 'planted'"),
            "4: 'server_keys.key': the server key has 7 bytes; 32 to 1024 are allowed",
        ),
        (
            server("key_sha256 = 'abc'"),
            "4: 'server_keys.key_sha256': key_sha256 is 64 hexadecimal digits, as `sha256sum` prints them",
        ),
        (
            "[[server_keys]]\nname = 'b'\nkey_file = 'long.secret'".into(),
            "1: 'server_keys.may' is missing; expected a list of \"subscribe\"",
        ),
        (
            "[[server_keys]]\nname = 'b'\nmay = 'write'\nkey_file = 'long.secret'".into(),
            "3: 'server_keys.may' is \"write\"; expected \"subscribe\"",
        ),
        (
            format!(
                "{}\n[[server_keys]]\nname = 'c'\nmay = 'admin'\nkey_file = 'long.secret'",
                server("key_file = 'long.secret'")
            ),
            "8: 'server_keys.key_file': the server keys 'backend' and 'c' are the same key",
        ),
        (
            "[tickets]\nsecrets = 'planted'".into(),
            "2: 'tickets.secrets': the secret of key 'tickets' has 7 bytes",
        ),
        (
            "[tickets]\nsecret_files = ['long.secret', 'short.secret']".into(),
            "2: 'tickets.secret_files': the secret of key 'tickets' has 7 bytes",
        ),
        ("[tickets]".into(), "1: 'tickets.secrets': the secret of key 'tickets' has 0 bytes"),
        (
            "[[tickets]]\nsecrets = 'planted'".into(),
            "1: 'tickets' is something else; expected one table, begun by [tickets]",
        ),
    ] {
        let text = refusal(&file);
        assert!(text.contains(words), "{file}: {text}");
    }
}

#[test]
fn a_secret_in_a_broken_line_is_not_shown() {
    for line in [
        "secret = \"planted",
        "secret = planted",
        "secret = 'planted' planted",
        "secret = '''planted",
        "secret : 'planted'",
        "secret = \"planted\\q\"",
        "secret = planted = 5",
    ] {
        let text = refusal(&key(line));
        assert!(text.contains("efir.toml is not TOML") && text.contains("line "), "{line}: {text}");
    }
}

#[test]
fn what_others_can_reach_needs_rules_or_a_word() {
    for (file, flags, words) in [
        (
            "listen = ':81'",
            &[][..],
            ":1: 'listen': 0.0.0.0:81 can be reached from other machines, and nothing says who may do what",
        ),
        ("listen = ['127.0.0.1:1', '[::]:2']", &[], ":1: 'listen': [::]:2 can be reached"),
        (
            "listen = '127.0.0.1:1'",
            &[("--listen", "listen", ":2")],
            "--listen: 'listen': 0.0.0.0:2 can be reached",
        ),
        (
            "hosts = 'chat.example'",
            &[],
            ":1: 'hosts': \"chat.example\" is answered, so others reach this server through a proxy",
        ),
        (
            "trusted_proxies = '127.0.0.1'",
            &[],
            ":1: 'trusted_proxies': others reach this server through the proxy 127.0.0.1",
        ),
        ("listen = ':81'\n[tickets]\nsecret_files = 'long.secret'", &[], "nothing says who may do what"),
    ] {
        let errors = Resolved::from_settings(&settings(file, flags).unwrap()).unwrap_err();
        let text = errors[0].to_string();
        assert!(errors.len() == 1 && text.contains(words), "{file}: {text}");
        assert!(text.contains("efir.toml:\n") && text.contains("--open (`open = true`)"), "{text}");
    }
    for file in [
        "listen = ':81'\nopen = true".to_owned(),
        "listen = ':81'\n[[rules]]\nchannels = 'a'".into(),
        format!("listen = ':81'\n{}", key("secret_file = 'long.secret'")),
        format!("listen = ':81'\nopen = true\n{}", server("key_file = 'long.secret'")),
        "listen = ['127.0.0.1:81', '[::1]:81']".into(),
    ] {
        assert!(resolve(&file).is_ok(), "{file}");
    }
    let settings = settings("listen = ':81'", &[("--open", "open", "true")]).unwrap();
    assert!(Resolved::from_settings(&settings).unwrap().is_open);
}

#[test]
fn what_the_refusal_says_can_be_written() {
    let errors = resolve("listen = ':81'").unwrap_err();
    let text = errors[0].to_string();
    let block: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with("or "))
        .collect::<Vec<_>>()
        .join("\n");
    let block = block.replace("token.secret\"", "long.secret\"");
    let access = resolve(&format!("listen = ':81'\n{block}")).unwrap().access;
    assert!(access.rules.is_some() && !access.token_keys.is_empty());
}

#[test]
fn the_example_is_a_configuration_and_names_every_key() {
    let uncommented: String = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let file = uncommented
        .replace("APP_TICKET_SECRET", "EFIR_TEST_SECRET")
        .replace("APP_SERVER_KEY", "EFIR_TEST_SECRET")
        .replace("APP_TOKEN_SECRET", "EFIR_TEST_SECRET");
    let access = resolve(&file).unwrap().access;
    assert!(
        access.rules.is_some() && access.tickets.is_some() && access.server_keys.identify(SECRET).is_some()
    );
    for key in key_tables::all().into_iter().chain(rule_tables::KEYS) {
        assert!(EXAMPLE.contains(key), "{key}");
    }
}

#[test]
fn what_is_shown_is_what_was_written_without_secrets() {
    let file = format!(
        "{}[[rules]]\nchannels = ['a\"', 'b']\nmessage_bytes_max = 7\nretention_age = '5m'\n[[server_keys]]\nname = 'b'\nmay = 'admin'\nkey = 'planted-planted-planted-planted-'\n\
         [tickets]\nsecrets = ['{SECRET}']\n",
        key("secret = 'planted-planted-planted-planted!'\n")
    );
    let settings = settings(&file, &[]).unwrap();
    let shown = settings.access_shown();
    assert!(!shown.contains("planted"), "{shown}");
    for line in [
        "message_bytes_max = 7",
        "retention_age = \"5m\"",
        "# secret is set, not shown",
        "# key is set, not shown",
        "# secrets is set, not shown",
        "[tickets]",
        "algorithms = \"HS256\"",
        "[[server_keys]]",
    ] {
        assert!(shown.lines().any(|known| known == line), "{line}: {shown}");
    }
    let debug = format!("{:?}", Resolved::from_settings(&settings).unwrap());
    assert!(!debug.contains("planted"), "{debug}");
    // What was shown is TOML, and says the same.
    let again = toml::from_str::<toml::Table>(shown).unwrap();
    assert_eq!(again["rules"][0]["channels"][0].as_str(), Some("a\""));
}

#[test]
fn issuers_that_know_nothing_of_each_other_have_users_apart() {
    let keys = |rows: &[(&str, &str)]| {
        let rows = rows.iter().enumerate().map(|(number, (issuer, prefix))| {
            let line = |key: &str, value: &str| match value {
                "-" => String::new(),
                value => format!("{key} = '{value}'\n"),
            };
            let (issuer, prefix) = (line("issuer", issuer), line("user_prefix", prefix));
            let secret = format!("secret = '{SECRET}{number}'\n");
            format!("[[token_keys]]\nname = '{number}'\nalgorithms = 'HS256'\n{issuer}{prefix}{secret}")
        });
        resolve(&rows.collect::<String>()).map_err(|errors| errors[0].to_string())
    };
    for rows in [
        &[("https://a", "-"), ("https://a", "-")][..],
        &[("-", "-"), ("-", "-")],
        &[("https://a", "a.")],
        &[("https://a", "a."), ("https://b", "b."), ("-", "c.")],
        &[("https://a", ""), ("https://b", "")],
        &[("https://a", "x."), ("https://b", "x."), ("https://b", "x.")],
    ] {
        assert!(keys(rows).is_ok(), "{rows:?}");
    }
    for (rows, words) in [
        (&[("https://a", "-"), ("https://b", "-")][..], "may name users of '0' as its own"),
        (&[("https://a", "-"), ("-", "-")], "may name users of '0' as its own"),
        (&[("https://a", "a."), ("https://b", "-")], "may name users of '0' as its own"),
        (&[("https://a", ""), ("https://b", "b.")], "begins with that of '0'"),
        (&[("https://a", "ab"), ("https://b", "a")], "that of '0' begins with it"),
        (&[("https://a", "a."), ("https://a", "b.")], "the same issuer as '0' and another user_prefix"),
        (&[("https://a", "a:")], "is 0 to 32 of the characters A-Z a-z 0-9 . _ ~ -"),
        (&[("https://a", "a234567890123456789012345678901234")], "is 0 to 32 of the characters"),
    ] {
        let text = keys(rows).unwrap_err();
        assert!(text.contains("'token_keys.user_prefix'") && text.contains(words), "{rows:?}: {text}");
    }
}

#[test]
fn a_change_shows_although_nothing_of_a_key_is_kept() {
    let access = |file: &str| resolve(file).unwrap().access;
    let before = access(&key("secret_file = 'long.secret'"));
    assert!(access(&format!("\n\n{}", key("secret_file = 'long.secret'"))).changes(&before).is_empty());
    let after = access(&format!("{}\n[[rules]]\nchannels = 'a'", key(&format!("secret = '{SECRET}!'"))));
    assert_eq!(after.changes(&before), ["rules", "token_keys"]);
    let after =
        access(&format!("{}\n[tickets]\nsecret_files = 'long.secret'", server("key_file = 'long.secret'")));
    assert_eq!(after.changes(&before), ["token_keys", "server_keys", "tickets"]);
}
