//! Builds what browsers get into the binary: with Node the pages, the client (`efir.js`, and `efir.tgz` for npm) and the demos; without
//! Node a plain page that says so.
//!
//! `EFIR_PAGE=plain` leaves all of it out on purpose. What fails to build where Node is there fails this build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

type Step = fn(&Path) -> Result<(), String>;

const PLAIN: &str = include_str!("plain.html");
const PAGE: &str = "../../packages/ui";
const CLIENT: &str = "../../packages/client";
const DEMOS: &str = "../../examples/demos";

/// What the pages and the client are made of, below their folders.
const PAGE_SOURCES: &[&str] = &[
    "src",
    "index.html",
    "by-hand",
    "lab",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
];
const CLIENT_SOURCES: &[&str] =
    &["src", "scripts", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];

fn main() {
    for (folder, sources) in [(PAGE, PAGE_SOURCES), (CLIENT, CLIENT_SOURCES)] {
        for source in sources {
            println!("cargo::rerun-if-changed={folder}/{source}");
        }
    }
    println!("cargo::rerun-if-changed={DEMOS}");
    println!("cargo::rerun-if-changed=plain.html");
    println!("cargo::rerun-if-changed=../../docs/protocol.md");
    println!("cargo::rerun-if-env-changed=EFIR_PAGE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("page");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).expect("OUT_DIR is writable");
    let is_wanted = env::var("EFIR_PAGE").map_or(true, |page| page != "plain");
    if is_wanted && Path::new(PAGE).join("package.json").exists() && has_node() {
        let steps: [(&str, Step); 3] = [
            ("the pages (packages/ui)", build_page),
            ("the client (packages/client)", build_client),
            ("the demos", copy_demos),
        ];
        for (what, build) in steps {
            if let Err(cause) = build(&out) {
                println!("cargo::error={what} did not build: {cause}");
                println!("cargo::error=mend it, or build without pages, client and demos: EFIR_PAGE=plain");
            }
        }
    } else {
        if is_wanted {
            println!(
                "cargo::warning=without Node the binary has a plain page, no /efir.js and no demos; install Node 20 or newer and build again"
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

fn build_page(out: &Path) -> Result<(), String> {
    let page = Path::new(PAGE);
    install(page)?;
    npm(page, &["run", "build"])?;
    copy(&page.join("dist"), out).map_err(|error| format!("copying packages/ui/dist: {error}"))
}

/// The client as one module, and as the package that npm installs.
fn build_client(out: &Path) -> Result<(), String> {
    let client = Path::new(CLIENT);
    install(client)?;
    npm(client, &["run", "build"])?;
    fs::copy(client.join("dist/efir.js"), out.join("efir.js"))
        .map_err(|error| format!("dist/efir.js: {error}"))?;
    let folder = out.to_str().ok_or("OUT_DIR is no text")?;
    npm(client, &["pack", "--silent", "--pack-destination", folder])?;
    let packed = format!("efir-{}.tgz", env!("CARGO_PKG_VERSION"));
    fs::rename(out.join(&packed), out.join("efir.tgz"))
        .map_err(|error| format!("{packed}: {error}; the package has the version of the server"))
}

fn copy_demos(out: &Path) -> Result<(), String> {
    copy(Path::new(DEMOS), &out.join("demos")).map_err(|error| format!("copying examples/demos: {error}"))
}

/// Packages are installed once; the lock file's time tells whether they are still right.
fn install(package: &Path) -> Result<(), String> {
    let (lock, installed) =
        (package.join("package-lock.json"), package.join("node_modules/.package-lock.json"));
    let is_fresh = match (modified(&lock), modified(&installed)) {
        (Some(lock), Some(installed)) => installed >= lock,
        _ => false,
    };
    if is_fresh { Ok(()) } else { npm(package, &["ci", "--no-audit", "--no-fund"]) }
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
