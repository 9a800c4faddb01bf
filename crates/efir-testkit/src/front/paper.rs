//! What the papers of docs/operating print, and how it becomes a configuration that runs beside others on loopback.
//!
//! Whatever is replaced must be there: a paper that changes its words changes the test, or fails it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use super::Program;
use crate::tls;

/// Where efir listens in the papers.
const SERVER: &str = "127.0.0.1:8080";
/// The name of the site in the papers.
pub const SITE: &str = "chat.example.org";

/// What Debian's nginx.conf has around what the paper adds, as far as it concerns requests.
const NGINX_HTTP: &str = "sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream; gzip on; \
                          access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
                          uwsgi_temp_path uwsgi; scgi_temp_path scgi;";

/// The configuration in a program's paper: the blocks whose first line is a comment with a path, joined as the program would read
/// them.
///
/// # Errors
/// When the paper is missing, has no such block, or its Russian twin prints another one.
pub fn printed(program: Program) -> Result<String> {
    let name = program.paper();
    let blocks = blocks(&read(&format!("{name}.md"))?, name);
    ensure!(!blocks.is_empty(), "docs/operating/{name}.md prints no configuration");
    ensure!(
        blocks == self::blocks(&read(&format!("{name}.ru.md"))?, name),
        "docs/operating/{name}.md and {name}.ru.md print different configurations"
    );
    match program {
        Program::Nginx | Program::NginxTls => {}
        Program::HaproxyV2 => {
            // The paper prints this line by itself.
            let line = format!("server efir {SERVER}");
            let text = read(&format!("{name}.md"))?;
            ensure!(
                text.contains(&format!("    {line} send-proxy-v2\n")),
                "haproxy.md does not print send-proxy-v2"
            );
            return replaced(&blocks.concat(), &line, &format!("{line} send-proxy-v2"));
        }
        Program::Haproxy | Program::HaproxyTls | Program::Caddy => return Ok(blocks.concat()),
    }
    let [main, site] = blocks.as_slice() else {
        anyhow::bail!("nginx.md prints {} files instead of 2", blocks.len())
    };
    Ok(format!("pid nginx.pid;\nerror_log stderr warn;\n{main}\nhttp {{\n{NGINX_HTTP}\n{site}\n}}\n"))
}

/// What the paper says has to stand in `efir.toml`.
///
/// # Errors
/// When the paper is missing or prints none.
pub fn settings(program: Program) -> Result<String> {
    let name = program.paper();
    let block = blocks(&read(&format!("{name}.md"))?, "toml").into_iter().next();
    block.with_context(|| format!("docs/operating/{name}.md prints no efir.toml"))
}

fn read(name: &str) -> Result<String> {
    let path = format!("{}/../../docs/operating/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).with_context(|| format!("reading docs/operating/{name}"))
}

/// The fenced blocks of a language that begin with the path of their file.
fn blocks(paper: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for part in paper.split("\n```").skip(1).step_by(2) {
        if let Some(block) = part.strip_prefix(&format!("{language}\n"))
            && block.starts_with("# /etc/")
        {
            blocks.push(format!("{block}\n"));
        }
    }
    blocks
}

/// The same at other addresses: in front of `server`, listening on `address`.
///
/// # Errors
/// When the paper names other addresses than it should.
pub fn placed(program: Program, text: &str, address: SocketAddr, server: SocketAddr) -> Result<String> {
    let text = replaced(text, SERVER, &server.to_string())?;
    match program {
        Program::Nginx => replaced(&text, "listen 80;", &format!("listen {address};")),
        Program::NginxTls => {
            let files = tls::certificate()?;
            let lines = replaced(&encrypted(program)?, "listen 443 ", &format!("listen {address} "))?;
            let lines = replaced(&lines, &live("fullchain.pem"), &files.certificate.to_string_lossy())?;
            let lines = replaced(&lines, &live("privkey.pem"), &files.key.to_string_lossy())?;
            replaced(&text, "    listen 80;\n", &lines)
        }
        Program::HaproxyTls => {
            let files = tls::certificate()?;
            let both = files.certificate.with_file_name(format!("both-{}.pem", address.port()));
            let pem = [std::fs::read(&files.certificate)?, std::fs::read(&files.key)?].concat();
            std::fs::write(&both, pem)?;
            let lines = replaced(&encrypted(program)?, "bind :443 ", &format!("bind {address} "))?;
            let lines = replaced(&lines, &format!("/etc/haproxy/{SITE}.pem"), &both.to_string_lossy())?;
            replaced(&text, "    bind :80\n", &lines)
        }
        Program::Haproxy | Program::HaproxyV2 => replaced(&text, "bind :80\n", &format!("bind {address}\n")),
        Program::Caddy => {
            // Without the name, and so without certificates; that of the host is looked at by nobody then.
            let site = replaced(&text, &format!("{SITE} {{"), &format!("http://:{} {{", address.port()))?;
            let options = format!("admin off\n auto_https off\n default_bind {}", address.ip());
            Ok(format!("{{\n {options}\n}}\n{site}"))
        }
    }
}

/// Where the paper of nginx has its certificate.
fn live(file: &str) -> String {
    format!("/etc/letsencrypt/live/{SITE}/{file}")
}

/// The lines that a paper prints for TLS.
fn encrypted(program: Program) -> Result<String> {
    let name = program.paper();
    let text = read(&format!("{name}.md"))?;
    let lines =
        text.split_once("\n## TLS\n").and_then(|(_, rest)| rest.split_once(&format!("\n```{name}\n")));
    let lines = lines.and_then(|(_, rest)| Some(rest.split_once("```")?.0.to_owned()));
    lines.with_context(|| format!("docs/operating/{name}.md prints no lines for TLS"))
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the paper does not say {from:?}:\n{text}");
    Ok(text.replace(from, to))
}

/// The same with every time (`120s`, as nginx, HAProxy and Caddy write it) divided.
#[must_use]
pub fn shortened(text: &str, shorter: u32) -> String {
    if shorter == 1 {
        return text.to_owned();
    }
    let mut out = String::new();
    for word in text.split_inclusive(|letter: char| letter.is_whitespace() || letter == ';') {
        let (time, end) = word
            .split_at(word.trim_end_matches(|letter: char| letter.is_whitespace() || letter == ';').len());
        match time.strip_suffix('s').and_then(|number| number.parse::<u32>().ok()) {
            Some(seconds) => out.push_str(&format!("{}ms{end}", seconds * 1000 / shorter)),
            None => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use efir_server::config::{Resolved, Settings, Sources};

    use super::*;

    #[test]
    fn blocks_are_those_with_a_path() {
        let paper = "# T\n\n```nginx\n# /etc/a\none\n```\n\n```sh\nls\n```\ntext\n```nginx\nno path\n```\n```nginx\n# /etc/b\ntwo\n```\n";
        assert_eq!(blocks(paper, "nginx"), ["# /etc/a\none\n", "# /etc/b\ntwo\n"]);
        assert!(blocks(paper, "caddy").is_empty());
    }

    #[test]
    fn times_are_divided_and_nothing_else() {
        let text = "proxy_read_timeout 120s;\n  timeout tunnel 30s\nkeepalive 64; # 10 seats 5s";
        assert_eq!(
            shortened(text, 60),
            "proxy_read_timeout 2000ms;\n  timeout tunnel 500ms\nkeepalive 64; # 10 seats 83ms"
        );
        assert_eq!(shortened(text, 1), text);
    }

    #[test]
    fn settings_that_papers_print_start_a_server() {
        for program in Program::ALL {
            let file = Some(("efir.toml".into(), settings(*program).unwrap()));
            let read = Settings::load(&Sources { file, ..Sources::default() });
            let resolved = Resolved::from_settings(&read.unwrap()).unwrap();
            assert_eq!((resolved.hosts.len(), resolved.trust.proxies.len()), (1, 1), "{program:?}");
        }
    }

    #[test]
    fn papers_print_what_can_be_placed() {
        let (here, there) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        for program in Program::ALL {
            let text = placed(*program, &printed(*program).unwrap(), here, there).unwrap();
            assert!(text.contains("127.0.0.1:2"), "{text}");
            assert!(settings(*program).unwrap().contains(SITE));
        }
        assert!(replaced("a", "b", "c").is_err());
    }
}
