//! What tells one key of the configuration from another, so that it can be asked later whether the key by which
//! somebody came is still in force. Nothing of a key can be found out from its mark, nor from the ticket that carries it.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BYTES: usize = 16;

/// The mark of a key. Two keys have the same one if nothing about them differs: name, material, and whom they are good for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct KeyMark([u8; BYTES]);

impl KeyMark {
    /// Over parts that differ in length; `None` is not an empty part.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut digest = Context::new(&SHA256);
        for part in parts {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            digest.update(&length.to_le_bytes());
            digest.update(part.unwrap_or_default());
        }
        let digest = digest.finish();
        let mut mark = Self::default();
        mark.0.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        mark
    }
}

impl fmt::Debug for KeyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMark")
    }
}

impl Serialize for KeyMark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for KeyMark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(&*text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("no mark of a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let a: &[u8] = b"a";
        let marks = [
            KeyMark::of([Some(a), Some(b"b")]),
            KeyMark::of([Some(b"ab".as_slice()), Some(b"")]),
            KeyMark::of([Some(b"ab".as_slice()), None]),
            KeyMark::of([Some(b"ab".as_slice())]),
        ];
        for (index, mark) in marks.iter().enumerate() {
            assert_eq!(marks.iter().position(|other| other == mark), Some(index));
        }
        assert_eq!(format!("{:?}", marks[0]), "KeyMark");
    }

    #[test]
    fn a_mark_goes_through_text() {
        let mark = KeyMark::of([Some(b"a".as_slice())]);
        let text = serde_json::to_string(&mark).unwrap();
        assert_eq!(serde_json::from_str::<KeyMark>(&text).unwrap(), mark);
        for bad in ["\"\"", "\"AAAA\"", "\"!\"", "1"] {
            assert!(serde_json::from_str::<KeyMark>(bad).is_err(), "{bad}");
        }
    }
}
