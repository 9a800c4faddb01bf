//! What the tests need beside Rust and Node: on Debian it is installed where it is missing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::child;
use crate::root::target;

struct Need {
    /// A program on PATH, or a file, or a command that succeeds.
    present: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
    /// Without it the run says what is not tested and goes on.
    optional: bool,
}

const NEEDS: &[Need] = &[
    Need { present: "chromium", package: "chromium", optional: false },
    Need { present: "firefox-esr", package: "firefox-esr", optional: false },
    Need { present: "/usr/share/fonts/truetype/dejavu", package: "fonts-dejavu-core", optional: true },
    Need {
        present: "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
        package: "fonts-noto-color-emoji",
        optional: true,
    },
    Need { present: "curl", package: "curl", optional: false },
    Need { present: "python3", package: "python3", optional: false },
    Need { present: "python3 -m ensurepip --version", package: "python3-venv", optional: true },
    Need { present: "valgrind", package: "valgrind", optional: true },
    Need { present: "ip", package: "iproute2", optional: true },
    Need { present: "nft", package: "nftables", optional: true },
    Need { present: "php", package: "php-cli", optional: true },
    Need { present: "nginx", package: "nginx", optional: true },
    Need { present: "haproxy", package: "haproxy", optional: true },
    Need { present: "caddy", package: "caddy", optional: true },
    Need { present: "pebble", package: "pebble", optional: true },
    Need { present: "systemd-analyze", package: "systemd", optional: true },
    Need { present: "strace", package: "strace", optional: true },
    Need { present: "faketime", package: "faketime", optional: true },
];

/// Installs what is missing, if this is Debian and we may.
///
/// # Errors
/// When something that the tests cannot do without is missing and could not be installed.
pub(crate) fn run() -> Result<()> {
    for program in ["node", "npm"] {
        if !is_present(program) {
            bail!("`{program}` is missing; the page and its tests need Node 20.19 or newer");
        }
    }
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !is_present(need.present)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if is_present("apt-get") {
        install(&missing)?;
    }
    let still: Vec<&str> =
        missing.iter().filter(|need| !is_present(need.present)).map(|need| need.package).collect();
    let needed: Vec<&str> = missing
        .iter()
        .filter(|need| !need.optional && !is_present(need.present))
        .map(|need| need.package)
        .collect();
    if !needed.is_empty() {
        bail!("please install {} and run again (as root it is done by itself)", needed.join(" "));
    }
    if !still.is_empty() {
        println!("not installed, so some tests will be skipped: {}", still.join(" "));
    }
    Ok(())
}

/// What Debian asks before a package starts its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Keeps packages from starting services while it lives: a test has no use for a web server on port 80.
struct NoServices {
    /// Whether the file is ours to take away.
    is_ours: bool,
}

impl NoServices {
    fn new() -> Self {
        let is_ours = !Path::new(POLICY).exists() && std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok();
        if is_ours {
            drop(std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755)));
        }
        Self { is_ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            drop(std::fs::remove_file(POLICY));
        }
    }
}

fn install(missing: &[&Need]) -> Result<()> {
    let _quiet = NoServices::new();
    let mut commands = vec![vec!["apt-get", "-q", "update"]];
    // One by one where it is optional, so that one unknown name does not keep the others away.
    let needed = missing.iter().filter(|need| !need.optional).map(|need| need.package);
    let mut together = vec!["apt-get", "-q", "install", "-y", "--no-install-recommends"];
    let words = together.len();
    together.extend(needed);
    if together.len() > words {
        commands.push(together);
    }
    for need in missing.iter().filter(|need| need.optional) {
        commands.push(vec!["apt-get", "-q", "install", "-y", "--no-install-recommends", need.package]);
    }
    for words in commands {
        let outcome =
            child::run(Command::new(words[0]).args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive"))?;
        if !outcome.success {
            println!("`{}` did not succeed", words.join(" "));
        }
    }
    Ok(())
}

/// A program of a package of PyPI, in an environment of its own below the target folder: the folder of its programs.
///
/// # Errors
/// Why it cannot be had here: no network, no Python that makes environments, or one that is too old for the package.
pub(crate) fn from_pypi(package: &str, version: &str) -> Result<PathBuf> {
    let folder = target().join("python").join(format!("{package}-{version}"));
    let programs = folder.join("bin");
    if programs.join(package).exists() {
        return Ok(programs);
    }
    let mut make = Command::new("python3");
    let mut fill = Command::new(programs.join("pip"));
    fill.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    for command in
        [make.args(["-m", "venv", "--clear"]).arg(&folder), fill.arg(format!("{package}=={version}"))]
    {
        if !child::run(command)?.success {
            bail!("{package} {version} could not be installed from PyPI");
        }
    }
    Ok(programs)
}

/// Whether a program is on PATH; with a slash, whether a file is there; with a space, whether a command succeeds.
pub(crate) fn is_present(program: &str) -> bool {
    if let Some((command, arguments)) = program.split_once(' ') {
        let mut command = Command::new(command);
        let output = command.args(arguments.split(' ')).stdin(Stdio::null()).output();
        return output.is_ok_and(|output| output.status.success());
    }
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps nft and ip where a user's PATH may not look.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_looked_up_on_the_path_and_on_disk() {
        assert!(is_present("sh"));
        assert!(!is_present("a-program-that-nobody-has"));
        assert!(is_present("/bin"));
        assert!(!is_present("/bin/a-program-that-nobody-has"));
        assert!(is_present("test -d /") && !is_present("test -f /"));
    }
}
