//! A receipt as JSON (docs/protocol.md §6): the answer to a publish, and the fields of an ack.

use bytes::Bytes;

use super::json::Fields;
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

pub(super) fn write_fields(receipt: &Receipt, fields: &mut Fields<'_>) {
    fields.string("channel", receipt.channel.as_str());
    fields.position("position", receipt.position);
    fields.number("offset", receipt.position.offset);
    let epoch = fields.name("epoch");
    epoch.push(b'"');
    receipt.position.epoch.write_to(epoch);
    epoch.push(b'"');
    fields.string("durability", receipt.durability.as_str());
    fields.boolean("duplicate", receipt.duplicate);
    fields.number("subscribers", u64::from(receipt.subscribers));
}
