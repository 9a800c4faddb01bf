//! Saved inputs: one file a target, one line an input, with what is not printable as `\n` or `\x9f`, so that people can read what
//! a change adds. Knows nothing of targets; xtask reads the same file of code.

use std::io;
use std::path::Path;

/// The inputs of a file; none where it is not there.
///
/// # Errors
/// When it cannot be read, or a line is none of ours (`InvalidData`).
pub(super) fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let line = |(number, line): (usize, &str)| {
        let words = || format!("{}:{}: not an escaped input", path.display(), number + 1);
        decode(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, words()))
    };
    text.lines().enumerate().map(line).collect()
}

/// Writes inputs, each once, in an order of their own so that files differ only where inputs do.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, inputs: &[Vec<u8>]) -> io::Result<()> {
    let mut lines: Vec<String> = inputs.iter().map(|input| input.escape_ascii().to_string()).collect();
    lines.sort();
    lines.dedup();
    lines.iter_mut().for_each(|line| line.push('\n'));
    std::fs::write(path, lines.concat())
}

/// The way back from `escape_ascii`.
fn decode(line: &str) -> Option<Vec<u8>> {
    let mut bytes = line.bytes();
    let mut input = Vec::with_capacity(line.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            input.push(byte);
            continue;
        }
        input.push(match bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let mut digit = || u8::try_from(char::from(bytes.next()?).to_digit(16)?).ok();
                digit()? << 4 | digit()?
            }
            same @ (b'\\' | b'\'' | b'"') => same,
            _ => return None,
        });
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let line = all.escape_ascii().to_string();
        assert!(!line.contains('\n'));
        assert_eq!(decode(&line), Some(all));
        assert_eq!([decode("\\q"), decode("\\x9"), decode("\\")], [None, None, None]);
    }

    #[test]
    fn what_is_written_is_read_once_and_in_order() {
        let path = std::env::temp_dir().join(format!("efir-corpus-{}", std::process::id()));
        assert!(read(&path).unwrap().is_empty(), "none where there is no file");
        write(&path, &[b"b\n".to_vec(), b"".to_vec(), b"a\xff".to_vec(), b"b\n".to_vec()]).unwrap();
        let found = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, [b"".to_vec(), b"a\xff".to_vec(), b"b\n".to_vec()]);
    }
}
