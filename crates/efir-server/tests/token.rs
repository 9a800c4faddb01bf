//! `efir token` as people use it: tokens made, explained, and refused with a reason.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A new folder with the secret in a file of its own, as editors leave it.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("token-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), format!("{SECRET}\n")).unwrap();
    folder
}

/// Runs `efir token …` in the folder with this on stdin.
fn efir(folder: &PathBuf, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efir"));
    command.arg("token").args(args).env_clear().env("SECRET", SECRET).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that is refused at once reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn made(folder: &PathBuf, args: &[&str]) -> String {
    let args = [&["make", "--user", "anna"], args].concat();
    let output = efir(folder, &args, "");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[test]
fn a_token_that_was_made_is_explained_step_by_step() {
    let folder = folder();
    let with_secret = ["--secret-file", "secret"];
    let token = made(&folder, &[&with_secret[..], &["--allow", "subscribe,history=chat:*"]].concat());
    let args = [&["explain"], &with_secret[..], &["--channel", "chat:1"]].concat();
    for stdin in [token.clone(), format!("Bearer {token}\n")] {
        let output = efir(&folder, &args, &stdin);
        let text = stdout(&output);
        assert!(output.status.success(), "{text}{}", stderr(&output));
        assert!(text.lines().all(|line| line.starts_with("held ")), "{text}");
        assert!(text.contains("signature: made with key 'given' by HS256"), "{text}");
        assert!(text.contains("access: subscribe on 'chat:1' is allowed"), "{text}");
    }
    let output = efir(&folder, &[&args[..], &["--action", "publish"]].concat(), &token);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("refused  access: publish is refused (not_granted)"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("the token is good") && stdout(&output).contains("claims, signed: "));
    // The same from the environment.
    let other = made(&folder, &["--secret-env", "SECRET", "--algorithm", "HS512"]);
    let output = efir(&folder, &["explain", "--secret-env", "SECRET"], &other);
    assert!(stdout(&output).contains("by HS512"), "{}", stdout(&output));
}

#[test]
fn a_refused_token_names_its_reason_and_what_it_says() {
    let folder = folder();
    std::fs::write(folder.join("other"), SECRET.replace('0', "1")).unwrap();
    let token = made(&folder, &["--secret-file", "other", "--token-id", "t7", "--issuer", "shop"]);
    let output = efir(&folder, &["explain", "--secret-file", "secret"], &token);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("refused  bad_signature: "), "{text}");
    assert!(text.contains("\"jti\":\"t7\"") && text.contains("as anybody could have written it"), "{text}");
    let wrong_issuer = efir(&folder, &["explain", "--secret-file", "other", "--issuer", "bank"], &token);
    assert!(stdout(&wrong_issuer).contains("refused  wrong_issuer: "), "{}", stdout(&wrong_issuer));
    assert!(!text.contains(SECRET) && !stderr(&output).contains(SECRET));
    let nothing = efir(&folder, &["explain", "--secret-file", "secret"], "");
    assert!(stdout(&nothing).contains("refused  malformed: "), "{}", stdout(&nothing));
}

#[test]
fn keys_with_two_halves_make_and_explain() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    let folder = folder();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref());
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    std::fs::write(folder.join("public.pem"), pem("PUBLIC KEY", public.as_ref())).unwrap();
    let made =
        efir(&folder, &["make", "--user", "anna", "--private-key-file", "-", "--key-id", "k1"], &private);
    assert!(made.status.success(), "{}", stderr(&made));
    let explain = ["explain", "--public-key-file", "public.pem", "--key-id", "k1"];
    let output = efir(&folder, &explain, &stdout(&made));
    assert!(output.status.success() && stdout(&output).contains("by ES256"), "{}", stdout(&output));
    let other_id =
        efir(&folder, &["explain", "--public-key-file", "public.pem", "--key-id", "k2"], &stdout(&made));
    assert!(stdout(&other_id).contains("refused  unknown_key: "), "{}", stdout(&other_id));
    // A private key has no place where only the public one is needed.
    std::fs::write(folder.join("private.pem"), private).unwrap();
    let output = efir(&folder, &["explain", "--public-key-file", "private.pem"], &stdout(&made));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("it is a private key"), "{}", stderr(&output));
}

#[test]
fn the_configuration_says_who_may() {
    let folder = folder();
    let config = "[[token_keys]]\nname = \"main\"\nalgorithms = \"HS256\"\nsecret_file = \"secret\"\n\
                  [[rules]]\nchannels = \"chat:*\"\nsubscribe = \"authenticated\"\npublish = \"grant\"\n";
    std::fs::write(folder.join("efir.toml"), config).unwrap();
    let token = made(&folder, &["--secret-file", "secret"]);
    let asked = |args: &[&str]| stdout(&efir(&folder, &[&["explain"], args].concat(), &token));
    let text = asked(&["--channel", "chat:1"]);
    assert!(text.contains("signature: made with key 'main' by HS256"), "{text}");
    assert!(text.contains("rule: rule 1 [\"chat:*\"]: subscribe = \"authenticated\""), "{text}");
    assert!(text.contains("held     access: subscribe on 'chat:1' is allowed"), "{text}");
    let text = asked(&["--channel", "chat:1", "--action", "publish", "--config", "efir.toml"]);
    assert!(text.contains("refused  access: publish is refused (not_granted)"), "{text}");
    let text = asked(&["--channel", "news"]);
    assert!(text.contains("refused  rule: no rule has the channel"), "{text}");
    std::fs::write(folder.join("efir.toml"), "").unwrap();
    let output = efir(&folder, &["explain"], &token);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("[[token_keys]]"), "{}", stderr(&output));
}

#[test]
fn what_is_asked_wrongly_says_what_to_do() {
    let folder = folder();
    std::fs::write(folder.join("short"), "short").unwrap();
    for (args, expected) in [
        (&["make", "--user", "anna"][..], "required"),
        (&["make", "--user", "anna", "--secret-file", "none"], "cannot read none"),
        (&["make", "--user", "anna", "--secret-file", "short"], "5 bytes; at least 32"),
        (&["make", "--user", "anna", "--secret-env", "NONE"], "NONE is not set"),
        (&["make", "--user", "anna", "--secret-file", "secret", "--algorithm", "none"], "HS256"),
        (&["make", "--user", "anna", "--secret-file", "secret", "--algorithm", "RS256"], "does not fit"),
        (&["make", "--user", "anna", "--secret-file", "secret", "--allow", "chat"], "ACTIONS=PATTERN"),
        (&["make", "--user", "anna", "--secret-file", "secret", "--for", "5"], "a time such as"),
        (
            &["make", "--user", "anna", "--secret-file", "secret", "--private-key-file", "x"],
            "cannot be used with",
        ),
        (&["explain", "--config", "none.toml"], "cannot read none.toml"),
        (&["explain", "--algorithm", "HS256"], "required"),
        (&["explain", "--public-key-file", "secret"], "no public key"),
        (&["explain", "--jwks-file", "secret"], "of no use"),
    ] {
        let output = efir(&folder, args, "token");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains(SECRET), "{args:?}");
    }
}
