//! How the tables are printed: those of a file without its secrets, and an example of each.

use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::TABLES;
use super::fields::SECRETS;

/// What `efir config keys` prints about the tables; without the `# ` before its lines it is part of a configuration.
pub(crate) const EXAMPLE: &str = r#"
# Who may do what (docs/operating/access.md). The first rule that has the channel decides; where there are rules or keys,
# what no rule has is closed. Without rules, keys mean: everything needs a grant of a token.
# [[rules]]
# channels = ["chat:*", "news"]       # * is all but ':', ** is everything, {user} is the user of the token
# subscribe = "authenticated"         # "anyone", "authenticated", "grant" or "nobody" (the default)
# publish = "grant"                   # "nobody" by default
# history = "authenticated"           # what was before; by default as subscribe
# presence = "off"                    # who is there; by default as subscribe
# from = "user"                       # what messages say about their sender: "user" (the default) or "none"
# message_bytes_max = "4KiB"          # at most, and by default, limits.message_bytes_max
# retention_messages = 100            # how many messages a channel keeps; at most, and by default, retention.messages
# retention_bytes = "1MiB"            # how many bytes of them; as retention.bytes
# retention_age = "10m"               # how old they may become; as retention.age

# Who signs tokens (JWT). The key: one of secret, secret_file, secret_env, public_key_file, jwks_file and jwks_url.
# [[token_keys]]
# name = "app"                        # what the log and problems call it
# algorithms = ["HS256"]              # nothing else is accepted with this key
# secret_env = "APP_TOKEN_SECRET"     # at least 32 bytes
# id = "2026-11"                      # `kid` that its tokens must name; none: any
# issuer = "https://app.example.org"  # `iss` that its tokens must have; none: any
# audience = ["efir"]                 # `aud` must name one of these; none: tokens must have no `aud`
# user_prefix = "app."                # what its users' names begin with; needed where keys have different issuers

# Backends, which show a key instead of a token. The key: one of key, key_file, key_env and key_sha256.
# [[server_keys]]
# name = "backend"
# key_env = "APP_SERVER_KEY"          # at least 32 bytes, as `openssl rand -hex 32` makes them
# may = ["publish"]                   # "subscribe", "publish", "history", "presence", "admin" (the admin listener)
# channels = ["news", "chat:**"]      # none: all

# What tickets are signed with: the first of secrets, secret_files and secret_envs signs, all are accepted. None: a secret
# of this process, so that tickets end with it.
# [tickets]
# secret_envs = ["APP_TICKET_SECRET"]
"#;

/// The tables of a file as they are written, with no secret and no comment.
pub(crate) fn show(root: &DeTable<'_>) -> String {
    let mut text = String::new();
    for name in TABLES {
        match root.get(name).map(Spanned::get_ref) {
            Some(DeValue::Array(tables)) => {
                for table in tables.iter().filter_map(|table| table.get_ref().as_table()) {
                    show_table(&mut text, &format!("[[{name}]]"), table);
                }
            }
            Some(DeValue::Table(table)) => show_table(&mut text, &format!("[{name}]"), table),
            _ => {}
        }
    }
    text
}

fn show_table(text: &mut String, head: &str, table: &DeTable<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{head}");
    for (key, value) in table {
        let key = key.get_ref();
        let line = match SECRETS.contains(&key.as_ref()) {
            true => format!("# {key} is set, not shown"),
            false => format!("{key} = {}", shown(value.get_ref())),
        };
        let _ = writeln!(text, "{line}");
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()).to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        // No key of these tables has such a value.
        _ => "\"\"".to_owned(),
    }
}
