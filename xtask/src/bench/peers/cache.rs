//! Where peers come from: package registries, by name and version, into `target/peers/`. Nothing of them is committed,
//! and nothing is installed into the system.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::running;
use crate::{child, install, root};

/// The folder of everything that is installed.
pub(super) fn folder() -> PathBuf {
    root::target().join("peers")
}

/// Our own servers and configurations.
pub(super) fn ours(path: &str) -> PathBuf {
    root::root().join("benches/peers").join(path)
}

/// Installs the packages that `benches/peers/npm` locks; returns the folder in which Node finds them.
///
/// # Errors
/// When there is no npm, or it fails.
pub(super) fn npm() -> Result<PathBuf> {
    let (folder, from) = (folder().join("npm"), ours("npm"));
    std::fs::create_dir_all(&folder)?;
    let wanted = std::fs::read(from.join("package-lock.json"))?;
    let installed = folder.join("node_modules/.package-lock.json");
    let is_there = installed.exists() && std::fs::read(folder.join("package-lock.json")).ok() == Some(wanted);
    if !is_there {
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            std::fs::copy(from.join(file), folder.join(file))?;
        }
        done(Command::new("npm").arg("ci").current_dir(&folder))?;
    }
    Ok(folder.join("node_modules"))
}

/// The version that `benches/peers/npm` names.
///
/// # Errors
/// When it names none.
pub(super) fn npm_version(package: &str) -> Result<String> {
    let wanted: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(ours("npm/package.json"))?)?;
    Ok(wanted["dependencies"][package].as_str().context("no version")?.to_owned())
}

/// Unpacks packages of Debian, as this system's sources have them; returns the folder that stands for `/`.
///
/// # Errors
/// When this is not Debian, or a package cannot be had.
pub(super) fn debian(packages: &[&str]) -> Result<PathBuf> {
    let folder = folder().join("debian");
    let unpacked = folder.join("root");
    std::fs::create_dir_all(&unpacked)?;
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| archive(&folder, package).is_none()).collect();
    if !missing.is_empty() {
        if !install::is_present("apt-get") {
            bail!("this is not Debian");
        }
        let mut download = Command::new("apt-get");
        download.args(["-q", "download"]).args(&missing).current_dir(&folder);
        if done(&mut download).is_err() {
            // Its lists may be old or missing; only root may renew them.
            done(Command::new("apt-get").args(["-q", "update"]))?;
            done(&mut download)?;
        }
        for package in missing {
            let file = archive(&folder, package).with_context(|| format!("{package} was not downloaded"))?;
            done(Command::new("dpkg-deb").arg("-x").arg(file).arg(&unpacked))?;
        }
    }
    Ok(unpacked)
}

/// The version of an unpacked package.
///
/// # Errors
/// When it was not downloaded.
pub(super) fn debian_version(package: &str) -> Result<String> {
    let file = archive(&folder().join("debian"), package).context("no version")?;
    let version = child::read(Command::new("dpkg-deb").arg("-f").arg(file).arg("Version"))?;
    let version = version.trim();
    // Without the epoch and what Debian counts for itself.
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    Ok(version.split(['-', '+']).next().unwrap_or(version).to_owned())
}

/// `PACKAGE_VERSION_ARCHITECTURE.deb`
fn archive(folder: &Path, package: &str) -> Option<PathBuf> {
    let begin = format!("{package}_");
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_it = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&begin) && name.ends_with(".deb")
    };
    files.into_iter().find(is_it)
}

/// Builds one of our own small servers, which are no members of the workspace; returns the program.
///
/// # Errors
/// When it does not build.
pub(super) fn cargo(folder_name: &str, program: &str) -> Result<PathBuf> {
    let target = folder().join("cargo");
    let mut build = child::cargo(&["build", "--release", "--locked", "--quiet"]);
    build.current_dir(ours(folder_name)).env("CARGO_TARGET_DIR", &target);
    done(&mut build)?;
    Ok(target.join("release").join(program))
}

/// The version of a crate that such a server locks.
///
/// # Errors
/// When it locks none.
pub(super) fn cargo_version(folder_name: &str, package: &str) -> Result<String> {
    let lock = std::fs::read_to_string(ours(folder_name).join("Cargo.lock"))?;
    locked(&lock, package).context("no version")
}

fn locked(lock: &str, package: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\n"))?;
    let version = rest.lines().next()?.strip_prefix("version = ")?;
    Some(version.trim_matches('"').to_owned())
}

/// Builds a Go module's program; returns it.
///
/// # Errors
/// When there is no Go, or the module cannot be had.
pub(super) fn go(module: &str, version: &str) -> Result<PathBuf> {
    if !install::is_present("go") {
        bail!("Go is not installed");
    }
    let folder = folder().join("go");
    let mut command = Command::new("go");
    command.args(["install", &format!("{module}@{version}")]).env("GOBIN", &folder);
    done(&mut command).with_context(|| format!("{module} {version} cannot be had"))?;
    let name = module.split('/').rev().find(|part| !is_major(part)).unwrap_or(module);
    Ok(folder.join(name))
}

/// `v6` at the end of a module's path is no name.
fn is_major(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// No single installation may take longer.
const MINUTES_MAX: u64 = 10;

/// Runs it without a word.
///
/// # Errors
/// When it cannot be started, fails (with the last line that it said), or takes too long.
fn done(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    let mut timed = Command::new("timeout");
    timed.arg((MINUTES_MAX * 60).to_string()).arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    // Ended with this tool, it ends what it runs.
    let mut timed = running::tied(&timed);
    let output = timed.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", last_line(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}

/// What a program said last, without any address: results are committed.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    let words = line.split_whitespace().filter(|word| !word.contains("://"));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_no_address() {
        assert_eq!(last_line("a\nreading https://example/x: 403\n\n"), "reading 403");
        assert_eq!(last_line(""), "no reason given");
    }

    #[test]
    fn a_locked_version_is_found() {
        let lock = "[[package]]\nname = \"axum\"\nversion = \"0.8.9\"\n";
        assert_eq!(locked(lock, "axum").as_deref(), Some("0.8.9"));
        assert_eq!(locked(lock, "axu"), None);
    }

    #[test]
    fn a_program_of_go_has_its_modules_name() {
        assert!(is_major("v6") && !is_major("centrifugo") && !is_major("vx"));
    }
}
