//! PEM (RFC 7468) as far as keys need it: one block, its label and its bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The largest text of a key, in bytes.
const PEM_BYTES_MAX: usize = 64 << 10;

/// The label and the bytes of the only block of this text; words before and after it are passed over.
pub(crate) fn read(text: &str) -> Option<(&str, Vec<u8>)> {
    if text.len() > PEM_BYTES_MAX {
        return None;
    }
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    let rest = rest.strip_prefix(label)?.strip_prefix("-----")?;
    if rest.contains("-----BEGIN ") {
        return None;
    }
    let body: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_is_read_and_all_else_refused() {
        let block = "-----BEGIN PUBLIC KEY-----\r\naGVs\nbG8=\n-----END PUBLIC KEY-----\n";
        assert_eq!(read(block), Some(("PUBLIC KEY", b"hello".to_vec())));
        assert_eq!(read(&format!("# a key\n{block}# end")), Some(("PUBLIC KEY", b"hello".to_vec())));
        for bad in [
            "",
            "aGVsbG8=",
            &block.repeat(2),
            &block.replace("END PUBLIC", "END SECRET"),
            &block.replace("aGVs", "a_Vs"),
            &block.replace("-----END", ""),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
