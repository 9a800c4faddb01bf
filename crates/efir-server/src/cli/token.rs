//! `efir token`: makes tokens for trying things out, and explains why one was refused. Keys and tokens come from files,
//! variables or stdin, never from the command line, which every user of the machine can read.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use efir_access::{
    Action, Actions, Algorithm, Claims, Gate, GateParts, KeyError, KeySet, KeyTerms, Pattern, Rules,
    SigningKey, Step, Verdict,
};
use efir_core::ChannelName;

use super::{Failure, for_terminal, say};
use crate::config::unit::parse_time;
use crate::config::{Flags, Resolved, Settings, Sources};

/// The most that is read of a key or a token, in bytes: a set of keys may be large.
const TEXT_BYTES_MAX: u64 = 512 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token, and print it.
    Make(Make),
    /// Say what is right and wrong about a token, step by step.
    Explain(Explain),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  openssl rand -hex 32 > secret\n  \
                  efir token make --secret-file secret --user anna --allow 'subscribe,history=chat:*'")]
pub(super) struct Make {
    #[command(flatten)]
    key: SigningSource,
    /// The algorithm [default: HS256 for a secret, otherwise what goes with the key: RS256, ES256, ES384, ES512, EdDSA].
    #[arg(long, value_name = "NAME", value_parser = algorithm)]
    algorithm: Option<Algorithm>,
    /// The id of the key, `kid` of the token.
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Whose token it is: `sub`.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// How long it is good for.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    lasts_ms: u64,
    /// What it allows, as ACTIONS=PATTERN: 'publish,history=chat:*', 'all=**'; several are allowed.
    #[arg(long, value_name = "GRANT", value_parser = grant)]
    allow: Vec<(Actions, String)>,
    /// Who makes it: `iss`.
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// Whom it is for: `aud`; several are allowed.
    #[arg(long, value_name = "TEXT")]
    audience: Vec<String>,
    /// Its own name, by which it can be revoked: `jti`.
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SigningSource {
    /// A file with the secret of HS256, HS384 or HS512 ('-' is stdin); a line break at the end is dropped.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The environment variable that holds the secret.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// A file with a private key in PEM ('-' is stdin).
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without a key, keys and rules are those of the configuration. The token is read from stdin unless a \
                  file or variable is named. The exit code is 1 where it is refused.\n\
                  Example:\n  efir token explain --channel chat:1 --action publish < token"
)]
pub(super) struct Explain {
    #[command(flatten)]
    key: CheckingSource,
    /// The configuration file [default: ./efir.toml, if it exists].
    #[arg(long, value_name = "FILE", conflicts_with = "given")]
    config: Option<PathBuf>,
    /// An algorithm of the key; several are allowed [default: all that fit it].
    #[arg(long, value_name = "NAME", value_parser = algorithm, requires = "given")]
    algorithm: Vec<Algorithm>,
    /// The id of the key, `kid` of its tokens.
    #[arg(long, value_name = "ID", requires = "given")]
    key_id: Option<String>,
    /// What `iss` must be.
    #[arg(long, value_name = "TEXT", requires = "given")]
    issuer: Option<String>,
    /// What `aud` must name; several are allowed.
    #[arg(long, value_name = "TEXT", requires = "given")]
    audience: Vec<String>,
    /// A file with the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// The environment variable that holds the token.
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// Also say whether it allows an action on this channel; without a configuration, by its grants alone.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The action.
    #[arg(long, value_name = "NAME", default_value = "subscribe", value_parser = action, requires = "channel")]
    action: Action,
}

#[derive(Debug, Args)]
#[group(id = "given", multiple = false)]
struct CheckingSource {
    /// A file with the secret of HS256, HS384 or HS512; a line break at the end is dropped.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The environment variable that holds the secret.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// A file with a public key in PEM.
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<PathBuf>,
    /// A file with a set of keys (JWKS).
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,
}

pub(super) fn run(token: &Token) -> Result<(), Failure> {
    match token {
        Token::Make(make) => {
            let token = make.token(now())?;
            Ok(writeln!(io::stdout(), "{token}")?)
        }
        Token::Explain(explain) => explain.run(now()),
    }
}

impl Make {
    fn token(&self, now: Duration) -> Result<String, Failure> {
        let key = self.key.read(self.algorithm)?;
        let claims = Claims {
            user: self.user.clone(),
            expires_s: (now + Duration::from_millis(self.lasts_ms)).as_secs(),
            not_before_s: None,
            issued_s: Some(now.as_secs()),
            issuer: self.issuer.clone(),
            audiences: self.audience.clone(),
            token_id: self.token_id.clone(),
            grants: self.allow.iter().map(|(may, pattern)| (vec![pattern.clone()], *may)).collect(),
        };
        key.token(self.key_id.as_deref(), &claims).map_err(|error| Failure::failed(error.to_string()))
    }
}

impl SigningSource {
    fn read(&self, algorithm: Option<Algorithm>) -> Result<SigningKey, Failure> {
        let key = match (
            &self.private_key_file,
            secret(self.secret_file.as_deref(), self.secret_env.as_deref())?,
        ) {
            (Some(path), _) => SigningKey::from_private_pem(algorithm, &read(path)?),
            (None, secret) => {
                let secret = secret.unwrap_or_default();
                SigningKey::from_secret(algorithm.unwrap_or(Algorithm::Hs256), secret.as_bytes())
            }
        };
        key.map_err(|error| Failure::usage(error.to_string()))
    }
}

impl CheckingSource {
    fn is_given(&self) -> bool {
        let files = [&self.secret_file, &self.public_key_file, &self.jwks_file];
        self.secret_env.is_some() || files.into_iter().any(Option::is_some)
    }
}

impl Explain {
    fn run(&self, now: Duration) -> Result<(), Failure> {
        let gate = self.gate()?;
        let token = self.token()?;
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let steps = match &self.channel {
            None => gate.explain(&token, now_ms),
            Some(name) => {
                let channel = ChannelName::parse_readable(name);
                let channel = channel.map_err(|error| Failure::usage(error.to_string()))?;
                gate.explain_access(&token, self.action, &channel, now_ms)
            }
        };
        let mut out = io::stdout().lock();
        for step in &steps {
            writeln!(out, "{}", line(step))?;
        }
        if steps.iter().all(|step| step.verdict == Verdict::Held) {
            return Ok(());
        }
        let is_proven = steps.iter().any(|step| step.name == "signature");
        let proven = if is_proven { "signed" } else { "as anybody could have written it" };
        for (what, json) in ["header", "claims"].into_iter().zip(token.split('.')) {
            writeln!(out, "         {what}, {proven}: {}", unverified(json))?;
        }
        let is_good = steps.iter().any(|step| step.name == "user");
        let text =
            if is_good { "the token is good, and does not allow this" } else { "the token is refused" };
        Err(Failure::failed(text))
    }

    fn gate(&self) -> Result<Gate, Failure> {
        if !self.key.is_given() {
            return self.gate_of_config();
        }
        let parts = GateParts {
            rules: Arc::new(Rules::grants_only()),
            token_keys: Arc::new(self.keys()?),
            ..GateParts::default()
        };
        Ok(Gate::new(parts))
    }

    /// The gate that a server of this configuration has, without the keys that it would fetch.
    fn gate_of_config(&self) -> Result<Gate, Failure> {
        let flags = Flags { config: self.config.clone(), ..Flags::default() };
        let config = Resolved::from_settings(&Settings::load(&Sources::of_process(flags)?)?)?;
        let parts = crate::access::parts(&config, &Arc::default())?;
        for keys in &config.access.remote_keys {
            say(&format!(
                "the keys of {} are not fetched; save them and name the file by --jwks-file",
                keys.url
            ));
        }
        if parts.token_keys.is_empty() {
            return Err(Failure::usage(
                "no key: name one, as by --secret-file, or a configuration with [[token_keys]] by --config",
            ));
        }
        Ok(Gate::new(parts))
    }

    fn keys(&self) -> Result<KeySet, Failure> {
        let source = &self.key;
        if let Some(secret) = secret(source.secret_file.as_deref(), source.secret_env.as_deref())? {
            return self.each(|terms| KeySet::from_secret(terms, secret.as_bytes()));
        }
        if let Some(path) = &source.public_key_file {
            let text = read(path)?;
            return self.each(|terms| KeySet::from_public_pem(terms, &text));
        }
        let text = read(source.jwks_file.as_deref().unwrap_or(Path::new("-")))?;
        let terms = self.terms(if self.algorithm.is_empty() { &Algorithm::ALL } else { &self.algorithm });
        KeySet::from_jwks(&terms, &text).map_err(Failure::from)
    }

    /// The key with the algorithms that were named, or with all that fit it.
    fn each(&self, read: impl Fn(&KeyTerms) -> Result<KeySet, KeyError>) -> Result<KeySet, Failure> {
        if !self.algorithm.is_empty() {
            return read(&self.terms(&self.algorithm)).map_err(Failure::from);
        }
        let read: Vec<_> = Algorithm::ALL.iter().map(|algorithm| read(&self.terms(&[*algorithm]))).collect();
        let (fitting, others): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        match others.into_iter().find_map(Result::err) {
            Some(error) if fitting.is_empty() => Err(Failure::from(error)),
            _ => KeySet::join(fitting.into_iter().flatten()).map_err(Failure::from),
        }
    }

    fn terms(&self, algorithms: &[Algorithm]) -> KeyTerms {
        KeyTerms {
            name: "given".to_owned(),
            algorithms: algorithms.to_vec(),
            id: self.key_id.clone(),
            issuer: self.issuer.clone(),
            audiences: self.audience.clone(),
            user_prefix: None,
        }
    }

    fn token(&self) -> Result<String, Failure> {
        let text = match (&self.token_file, &self.token_env) {
            (Some(path), _) => read(path)?,
            (None, Some(name)) => variable(name)?,
            (None, None) => read(Path::new("-"))?,
        };
        let text = text.trim();
        Ok(text.strip_prefix("Bearer ").unwrap_or(text).to_owned())
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::usage(error.to_string())
    }
}

fn line(step: &Step) -> String {
    let verdict = match step.verdict {
        Verdict::Held => "held",
        Verdict::Refused => "refused",
    };
    for_terminal(&format!("{verdict:<8} {}: {}", step.name, step.text))
}

/// A part of a token for people, on one line; nothing of it is proven.
fn unverified(part: &str) -> String {
    let text = URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    for_terminal(&text.unwrap_or_else(|| "not to be read".to_owned())).replace('\n', " ")
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A secret from one of two places, without the line break that editors put at the end.
fn secret(file: Option<&Path>, env: Option<&str>) -> Result<Option<String>, Failure> {
    let text = match (file, env) {
        (Some(path), _) => read(path)?,
        (None, Some(name)) => variable(name)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| Failure::usage(format!("the environment variable {name} is not set")))
}

/// A file, or stdin for `-`.
fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|file| file.take(TEXT_BYTES_MAX).read_to_string(&mut text)),
    };
    let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    read.map(|_| text).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| format!("expected one of {}", Algorithm::names()))
}

fn action(name: &str) -> Result<Action, String> {
    Action::from_name(name).ok_or_else(|| "expected subscribe, publish, history or presence".to_owned())
}

fn time(text: &str) -> Result<u64, String> {
    parse_time(text).filter(|ms| *ms >= 1_000).ok_or_else(|| "expected a time such as 10m or 1h".to_owned())
}

fn grant(text: &str) -> Result<(Actions, String), String> {
    let (actions, pattern) =
        text.split_once('=').ok_or("expected ACTIONS=PATTERN, as publish,history=chat:*")?;
    Pattern::parse(pattern).map_err(|error| error.to_string())?;
    if actions == "all" {
        return Ok((Actions::ALL, pattern.to_owned()));
    }
    let actions: Result<Actions, String> = actions.split(',').map(|name| action(name.trim())).collect();
    Ok((actions?, pattern.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_actions_and_a_pattern() {
        let read = Actions::READ;
        assert_eq!(grant("subscribe, history=chat:*"), Ok((read, "chat:*".to_owned())));
        assert_eq!(grant("all=a=b"), Ok((Actions::ALL, "a=b".to_owned())));
        for bad in ["chat", "admin=a", "=a", "publish=", "publish=a/b", "publish,=a"] {
            assert!(grant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_strangers_wrote_does_not_move_the_cursor() {
        let part = URL_SAFE_NO_PAD.encode("{\"kid\":\"\u{1b}[2J\n\"}");
        assert_eq!(unverified(&part), "{\"kid\":\"\u{fffd}[2J \"}");
        assert_eq!(unverified("%"), "not to be read");
    }
}
