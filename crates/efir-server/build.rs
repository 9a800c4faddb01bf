//! Builds the web page into the binary: with Node by its own build, without Node a plain page that says so.
//!
//! `EFIR_PAGE=plain` leaves the page out on purpose. A page that fails to build where Node is there fails this build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const PLAIN: &str = include_str!("plain.html");

fn main() {
    let page = PathBuf::from("../../packages/ui");
    let parts = [
        "src",
        "index.html",
        "by-hand",
        "lab",
        "package.json",
        "package-lock.json",
        "vite.config.ts",
        "tsconfig.json",
        "../client/src",
    ];
    for path in parts {
        println!("cargo::rerun-if-changed={}", page.join(path).display());
    }
    println!("cargo::rerun-if-changed=plain.html");
    println!("cargo::rerun-if-changed=../../docs/protocol.md");
    println!("cargo::rerun-if-env-changed=EFIR_PAGE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("page");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).expect("OUT_DIR is writable");
    let is_wanted = env::var("EFIR_PAGE").map_or(true, |page| page != "plain");
    if is_wanted && page.join("package.json").exists() && has_node() {
        if let Err(cause) = build_page(&page, &out) {
            println!("cargo::error=the web page did not build: {cause}");
            println!("cargo::error=mend it in packages/ui, or build without it: EFIR_PAGE=plain");
        }
    } else {
        if is_wanted {
            println!(
                "cargo::warning=without Node the binary has a plain page; install Node 20 or newer and build again"
            );
        }
        fs::write(out.join("index.html"), PLAIN).expect("OUT_DIR is writable");
        fs::write(out.join("build.json"), r#"{"page":"plain"}"#).expect("OUT_DIR is writable");
    }
}

fn has_node() -> bool {
    let runs =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    runs("node") && runs("npm")
}

fn build_page(page: &Path, out: &Path) -> Result<(), String> {
    // Packages are installed once; the lock file's time tells whether they are still right.
    let (lock, installed) = (page.join("package-lock.json"), page.join("node_modules/.package-lock.json"));
    let is_fresh = match (modified(&lock), modified(&installed)) {
        (Some(lock), Some(installed)) => installed >= lock,
        _ => false,
    };
    if !is_fresh {
        npm(page, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(page, &["run", "build"])?;
    copy(&page.join("dist"), out).map_err(|error| format!("copying packages/ui/dist: {error}"))
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn npm(page: &Path, arguments: &[&str]) -> Result<(), String> {
    let command = format!("npm {}", arguments.join(" "));
    let out = Command::new("npm").args(arguments).current_dir(page).output();
    let out = out.map_err(|error| format!("{command}: {error}"))?;
    if out.status.success() {
        return Ok(());
    }
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(12)).copied().collect::<Vec<_>>().join(" | ");
    Err(format!("{command} failed: {last}"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
