//! `efir bench` against a server of its own.

use super::*;

#[test]
fn bench_counts_what_a_server_delivers() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    let short = ["--duration", "300ms", "--warm-up", "100ms", "--quiet", "--json"];
    for args in [
        &["--subscribers", "20", "--transport", "websocket"][..],
        &["--subscribers", "20", "--transport", "sse", "--publish", "websocket"],
        &["--subscribers", "5", "--transport", "http-stream", "--bytes", "20KiB", "--publishers", "3"],
        &["--subscribers", "5", "--transport", "long-poll", "--channels", "3", "--publish", "socket"],
        &["--subscribers", "5", "--transport", "short-poll", "--poll-interval", "50ms"],
        &["--transport", "socket", "--channels", "6", "--subscribers", "4", "--channels-a-connection", "3"],
        &["--subscribers", "10", "--rate", "max", "--threads", "2"],
    ] {
        let output = run(&[&["bench", &server.url], args, &short].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{args:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |name: &str| told[name].as_u64().unwrap();
        assert!(number("published") >= 30, "{args:?}: {told}");
        assert_eq!(number("delivered"), number("expected"), "{args:?}: {told}");
        let each = told["load"]["subscribers_a_channel"].as_u64().unwrap();
        assert_eq!(number("expected"), number("published") * each, "{args:?}: {told}");
        for fault in ["lost", "duplicated", "reordered"] {
            assert_eq!(told["faults"][fault], 0, "{args:?}: {told}");
        }
        // The server is on this machine, so its process is found by its port.
        assert_eq!(told["server"]["processes"], serde_json::json!([server.pid()]));
        assert!(told["latency_us"]["p50"].as_u64() <= told["latency_us"]["max"].as_u64());
        assert!(told["wire"]["bytes_down_a_delivery"].as_f64() > Some(100.0));
    }
    let table = run(&["bench", &server.url, "--subscribers", "0", "--duration", "200ms", "--warm-up", "0s"]);
    assert!(table.status.success());
    assert!(text(&table.stdout).contains("published") && !text(&table.stdout).contains("delivered"));
    assert!(text(&table.stderr).contains("1 channel, nobody subscribes"), "{}", text(&table.stderr));
}

#[test]
fn bench_says_what_is_wrong_before_it_begins() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--set", "limits.connections_max=50"]);
    for (args, code, words) in [
        (&["http://127.0.0.1:1"][..], 1, "Is the server running?"),
        (&["ftp://127.0.0.1"], 2, "expected http:// or https://"),
        (&["https://127.0.0.1:1", "--insecure"], 1, "Is the server running?"),
        (&["https://127.0.0.1:1", "--cacert", "absent.pem"], 2, "reading absent.pem"),
        (&[&server.url, "--insecure"], 2, "is not encrypted"),
        (&[&server.url, "--token-file", "absent"], 2, "cannot read absent"),
        (&[&server.url, "--token-env", "ABSENT"], 2, "ABSENT is not set"),
        (&["http://no-such-host.invalid"], 2, "no such host"),
        (&[&server.url, "--subscribers", "60"], 2, "connections_max is 50"),
        (&[&server.url, "--bytes", "1MiB"], 2, "message_bytes_max is 65,536"),
        (&[&server.url, "--bytes", "15"], 2, "expected 16 bytes"),
        (&[&server.url, "--rate", "0"], 2, "messages a second"),
        (&[&server.url, "--channels-a-connection", "2"], 2, "only 1 channel"),
        (&[&server.url, "--subscribers", "1", "--pid", "4194305"], 2, "no such process"),
    ] {
        let output = run(&[&["bench"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(text(&output.stderr).contains(words), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key, as files.
fn certificate() -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = folder();
    [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn bench_goes_through_tls() {
    let [cert, key] = certificate();
    let files = ["certificate", "key"].map(|what| format!("tls.{what}_file="));
    let set = [format!("{}{cert}", files[0]), format!("{}{key}", files[1])];
    let server = Server::start(&["--listen", "https://127.0.0.1:0", "--set", &set[0], "--set", &set[1]]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let short = ["--duration", "300ms", "--warm-up", "100ms", "--quiet", "--json"];
    let [other, _] = certificate();
    for (args, transport, publish) in [
        (&["--cacert", &cert][..], "websocket", "http"),
        (&["--insecure"], "long-poll", "socket"),
        (&["-k", "--bytes", "60KiB"], "sse", "websocket"),
    ] {
        let load = ["--subscribers", "10", "--transport", transport, "--publish", publish];
        let output = run(&[&["bench", &server.url], args, &load, &short].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["published"].as_u64() >= Some(30), "{args:?}: {told}");
        assert_eq!(told["delivered"], told["expected"], "{args:?}: {told}");
        assert_eq!(told["server"]["processes"], serde_json::json!([server.pid()]));
    }
    for args in [&["--cacert", &other][..], &[]] {
        let output = run(&[&["bench", &server.url], args, &short].concat());
        assert!(!output.status.success() && text(&output.stdout).is_empty(), "{args:?}");
        assert!(text(&output.stderr).contains("certificate"), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn bench_shows_tokens() {
    let folder = folder();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let secret = file("secret", "0123456789abcdef0123456789abcdef");
    let config = format!(
        "[[rules]]\nchannels = \"bench-*\"\nsubscribe = \"grant\"\npublish = \"grant\"\n\
         [[token_keys]]\nname = \"app\"\nalgorithms = \"HS256\"\nsecret_file = {secret:?}\n"
    );
    let server = Server::start(&["--listen", "127.0.0.1:0", "--config", &file("efir.toml", &config)]);
    let make = |user: &str, grant: &str| {
        let args = ["token", "make", "--secret-file", &secret, "--user", user, "--allow", grant];
        let output = run(&args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let good =
        ["anna", "boris", "clara"].map(|user| make(user, "subscribe,history,publish=bench-*")).concat();
    let tokens = file("tokens", &good);
    let short = ["--duration", "300ms", "--warm-up", "100ms", "--quiet", "--json", "-s", "6"];
    for (transport, publish) in
        [("websocket", "http"), ("socket", "socket"), ("sse", "websocket"), ("long-poll", "http")]
    {
        let way = ["--transport", transport, "--publish", publish, "--token-file", &tokens];
        let output = run(&[&["bench", &server.url], &way[..], &short].concat());
        assert!(output.status.success(), "{transport}: {}", text(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["delivered"], told["expected"], "{transport}: {told}");
        assert!(!text(&output.stdout).contains(good.lines().next().unwrap()));
    }
    let few = make("anna", "subscribe=bench-*");
    let mut child = efir(&[&["bench", &server.url, "--token-env", "TOKENS"], &short[..]].concat());
    let output = finish(child.env("TOKENS", few.trim()).spawn().unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("403"), "{}", text(&output.stderr));
    let output = run(&[&["bench", &server.url], &short[..]].concat());
    assert!(text(&output.stderr).contains("unauthorized"), "{}", text(&output.stderr));
}

#[test]
fn an_interrupted_bench_shows_what_it_has_measured() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    let mut child = efir(&["bench", &server.url, "--duration", "10m", "--warm-up", "0s"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("measuring")));
    signal(child.id(), "INT");
    let output = finish(child);
    assert!(output.status.success());
    assert!(
        text(&output.stdout).contains("nothing lost, double or out of order"),
        "{}",
        text(&output.stdout)
    );
}
