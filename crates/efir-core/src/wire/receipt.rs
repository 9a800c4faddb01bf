//! A receipt as JSON (docs/protocol.md §6): the answer to a publish, and the fields of an ack.

use bytes::Bytes;

use super::json::{Fields, write_string};
use crate::position::write_decimal;
use crate::receipt::Receipt;

/// The body of the answer to a publish.
#[must_use]
pub fn to_json(receipt: &Receipt) -> Bytes {
    let mut out = Vec::with_capacity(192 + receipt.channel.as_str().len());
    write(receipt, &mut out);
    out.into()
}

/// Appends the object.
pub fn write(receipt: &Receipt, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    write_fields(receipt, &mut fields);
    fields.close();
}

/// Appends the fields; those after the channel in pieces as long as they can be, because every publish is answered so.
pub(super) fn write_fields(receipt: &Receipt, fields: &mut Fields<'_>) {
    let out = fields.name("channel");
    write_string(receipt.channel.as_str(), out);
    out.extend_from_slice(b",\"position\":\"");
    receipt.position.write_to(out);
    out.extend_from_slice(b"\",\"offset\":");
    write_decimal(receipt.position.offset, out);
    out.extend_from_slice(b",\"epoch\":\"");
    receipt.position.epoch.write_to(out);
    out.extend_from_slice(b"\",\"durability\":\"");
    out.extend_from_slice(receipt.durability.as_str().as_bytes());
    out.extend_from_slice(if receipt.duplicate {
        &b"\",\"duplicate\":true"[..]
    } else {
        b"\",\"duplicate\":false"
    });
    out.extend_from_slice(b",\"subscribers\":");
    write_decimal(u64::from(receipt.subscribers), out);
}
