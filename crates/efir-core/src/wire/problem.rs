//! A problem as JSON (docs/protocol.md §7, RFC 9457): the same object in an answer's body and in-band.

use super::json::Fields;
use crate::codes::Problem;

/// Appends the object.
pub fn write(problem: &Problem, out: &mut Vec<u8>) {
    let row = problem.row();
    let mut fields = Fields::open(out);
    let kind = fields.name("type");
    kind.extend_from_slice(b"\"urn:efir:error:");
    kind.extend_from_slice(row.name.as_bytes());
    kind.push(b'"');
    fields.string("title", row.title);
    fields.number("status", u64::from(row.status));
    fields.string("code", row.name);
    fields.string("detail", &problem.detail);
    if let Some((name, value)) = problem.limit {
        let mut limit = Fields::open(fields.name("limit"));
        limit.string("name", name);
        limit.number("value", value);
        limit.close();
    }
    fields.string("action", row.action.as_str());
    if let Some(ms) = problem.retry_after_ms {
        fields.number("retry_after_ms", ms);
    }
    if let Some(channel) = &problem.channel {
        fields.string("channel", channel);
    }
    if let Some(ordinal) = problem.ordinal {
        fields.number("ordinal", ordinal);
    }
    fields.close();
}
