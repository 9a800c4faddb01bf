//! `cargo xtask docs`: docs/reference is written from the tables in the code, never by hand.
//!
//! `--check` writes nothing and fails where a page is not what the tables say.

use std::fmt::Write;
use std::process::Command;

use anyhow::{Context, Result};
use efir_core::{CODES, LIMITS, LimitRow, TIMES};
use serde_json::Value;

use crate::Verdict;
use crate::child::{self, cargo};
use crate::paper::grouped;
use crate::root::{debug_efir, root};
use crate::server::{self, Server};

/// A generated page: its name in docs/reference and its text.
struct Page {
    name: &'static str,
    text: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let is_check = arguments.iter().any(|argument| argument == "--check");
    if !child::run(&mut cargo(&["build", "--workspace", "--all-targets"]))?.success {
        return Ok(Verdict::Failed);
    }
    write(is_check)
}

/// As [`run`], with the server that is built already.
pub(crate) fn write(is_check: bool) -> Result<Verdict> {
    let folder = root().join("docs/reference");
    let mut verdict = Verdict::Held;
    for page in [codes(), limits(), configuration()?, transports()?, metrics()?, events()?] {
        let path = folder.join(page.name);
        if std::fs::read_to_string(&path).unwrap_or_default() == page.text {
            continue;
        }
        if is_check {
            println!("docs/reference/{} is not what the tables say; run `cargo xtask docs`", page.name);
            verdict = Verdict::Failed;
        } else {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, page.text)?;
            println!("docs/reference/{} written", page.name);
        }
    }
    Ok(verdict)
}

const GENERATED: &str = "<!-- Written by `cargo xtask docs`; change the tables in the code instead. -->\n\n";

/// What the client for TypeScript tells by itself (packages/client/src/error.ts): code, whether it can pass, and when.
const CLIENT_CODES: &[(&str, bool, &str)] = &[
    ("closed", false, "The client was closed before it was done."),
    ("queue_full", true, "As much waits to be published as may (`offline`); the message was not taken."),
    ("connection_lost", true, "The connection ended."),
    (
        "silence",
        true,
        "A transport was opened and said nothing, or nothing came for longer than a heartbeat and 5 s: the path is dead.",
    ),
    ("no_answer", true, "A request failed without an answer."),
    ("no_url", false, "Not in a page, and no address was given."),
    (
        "no_transport",
        false,
        "None of the transports that may be used (`transport`, `transports`, `use`) can be used here.",
    ),
    (
        "callback_failed",
        false,
        "A callback of the application, or its `token` function, threw, or its promise was rejected.",
    ),
    ("not_included", false, "`efir/core` was connected without this part."),
    ("http_NNN", true, "An answer with this status that was not efir's, such as a proxy's."),
];

fn codes() -> Page {
    let mut text = format!("# Error codes\n\n{GENERATED}");
    text += "What went wrong, as `code` of a problem (docs/protocol.md §7). *Close* is the close code of a WebSocket that\n\
             ends because of it; *action* is what the client should do.\n\n\
             | number | code | status | close | action | when |\n|---|---|---|---|---|---|\n";
    for row in CODES {
        let action = row.action.as_str();
        let (number, name, status, close, meaning) =
            (row.number, row.name, row.status, row.close, row.meaning);
        // The anchor is where the client's errors point to.
        writeln!(
            text,
            "| {number} | <a id=\"{name}\"></a>`{name}` | {status} | {close} | `{action}` | {meaning} |"
        )
        .unwrap_or_default();
    }
    text += "\n## Codes of the client\n\nThe client for TypeScript has these of its own, beside `outcome_unknown`, `invalid_channel`, \
             `invalid_cursor`, `invalid_json` and\n`invalid_key`, which it can tell without asking.\n\n| code | tried again | when |\n|---|---|---|\n";
    for (name, is_retryable, meaning) in CLIENT_CODES {
        let again = if *is_retryable { "yes" } else { "no" };
        writeln!(text, "| <a id=\"{name}\"></a>`{name}` | {again} | {meaning} |").unwrap_or_default();
    }
    Page { name: "codes.md", text }
}

fn limits() -> Page {
    let mut text = format!("# Limits and times\n\n{GENERATED}");
    text += "Defaults; `GET /info` tells those in force, `efir config show` where each comes from.\n\n## Limits\n\n";
    table(&mut text, LIMITS);
    text += "\n## Times\n\n";
    table(&mut text, TIMES);
    Page { name: "limits.md", text }
}

/// What `efir config keys` prints is a page as it stands.
fn configuration() -> Result<Page> {
    let keys = child::read(Command::new(debug_efir()).args(["config", "keys"]))?;
    let text = format!(
        "# Configuration\n\n{GENERATED}`efir config keys` prints this, `efir config show` what is in force and where it comes \
         from. Unknown keys are refused.\n\n```toml\n{}\n```\n",
        keys.trim()
    );
    Ok(Page { name: "config.md", text })
}

/// What `efir config metrics` prints.
fn metrics() -> Result<Page> {
    let table = child::read(Command::new(debug_efir()).args(["config", "metrics"]))?;
    let text = format!(
        "# Metrics\n\n{GENERATED}What `/metrics` of the admin listener tells ([operating](../operating/operating.md)). No label is a channel, a \
         user or an address.\n`efir config metrics` prints this table.\n\n{}\n",
        table.trim()
    );
    Ok(Page { name: "metrics.md", text })
}

/// What `efir config events` prints.
fn events() -> Result<Page> {
    let table = child::read(Command::new(debug_efir()).args(["config", "events"]))?;
    let text = format!(
        "# Events\n\n{GENERATED}What the log tells, by `event` ([operating](../operating/operating.md)). Codes stay; the words beside them may \
         change. What a library\nsays (warnings and errors only) has the event `library`. `efir config events` prints this table.\n\n{}\n",
        table.trim()
    );
    Ok(Page { name: "events.md", text })
}

/// What `GET /info` tells of the list in efir-transports.
fn transports() -> Result<Page> {
    let server = Server::start(&debug_efir())?;
    let told: Value = serde_json::from_str(&server::get(server.address(), "/info")?)?;
    let mut text = format!("# Transports\n\n{GENERATED}");
    text += "The first that applies is taken; `?transport=NAME` overrides all (docs/protocol.md §3).\n\n\
             | transport | what it is | the response ends | chosen by |\n|---|---|---|---|\n";
    for row in told["transports"].as_array().context("/info has no transports")? {
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let (name, summary, ends) = (field("name"), field("summary"), field("ends"));
        let chosen_by = match field("chosen_by").as_str() {
            "nothing" => "a request that asks for no other".to_owned(),
            chosen_by => format!("`{chosen_by}`"),
        };
        writeln!(text, "| [{name}](../concepts/{name}.md) | {summary} | {ends} | {chosen_by} |")
            .unwrap_or_default();
    }
    Ok(Page { name: "transports.md", text })
}

fn table(text: &mut String, rows: &[LimitRow]) {
    text.push_str("| name | default | unit | what it bounds |\n|---|---|---|---|\n");
    for row in rows {
        let (name, unit, meaning) = (row.name, row.unit, row.meaning);
        writeln!(text, "| `{name}` | {} | {unit} | {meaning} |", grouped(row.default)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_on_its_page() {
        assert!(CODES.iter().all(|row| codes().text.contains(&format!("`{}` |", row.name))));
        let rows = LIMITS.iter().chain(TIMES);
        assert!(rows.into_iter().all(|row| limits().text.contains(&format!("| `{}` |", row.name))));
    }
}
