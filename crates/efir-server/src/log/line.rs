//! How an event becomes a line. Whatever a value contains, it stays within its line and within [`VALUE_BYTES_MAX`].

use std::{
    error::Error,
    fmt::{self, Write},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::Format;

/// Bytes of one value in a line, escapes included.
pub(super) const VALUE_BYTES_MAX: usize = 2_048;
/// What stands where a value was cut.
const CUT: char = '…';

/// Writes events as lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    pub(super) format: Format,
    pub(super) has_colours: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut told = Told { format: self.format, ..Told::default() };
        event.record(&mut told);
        // Libraries have no codes.
        let code = if told.code.is_empty() { "library" } else { &told.code };
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let level = event.metadata().level();
        let Told { text, fields, .. } = &told;
        match self.format {
            Format::Json => {
                let level = level.as_str().to_ascii_lowercase();
                write!(
                    out,
                    "{{\"time\":\"{time}\",\"level\":\"{level}\",\"event\":\"{code}\",\"text\":\"{text}\"{fields}}}"
                )?;
            }
            Format::Human => {
                let (on, off) = if self.has_colours { (colour(level), "\u{1b}[0m") } else { ("", "") };
                write!(out, "{time} {on}{level:>5}{off} {code}: {text}{fields}")?;
            }
        }
        writeln!(out)
    }
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// What an event says, escaped already.
#[derive(Debug, Default)]
struct Told {
    format: Format,
    code: String,
    text: String,
    /// ` name=value` each, or `,"name":"value"`.
    fields: String,
}

impl Told {
    fn tell(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut escaped = Escaped { format: self.format, text: String::new(), is_cut: false };
        // It fails where the value was cut.
        let _ = escaped.write_fmt(value);
        let Escaped { text, is_cut, .. } = escaped;
        let text = if is_cut { text + CUT.encode_utf8(&mut [0; 4]) } else { text };
        match (field.name(), self.format) {
            ("event", _) => self.code = text,
            ("message", _) => self.text = text,
            (name, Format::Json) => _ = write!(self.fields, ",\"{name}\":\"{text}\""),
            (name, Format::Human) if is_plain(&text) => _ = write!(self.fields, " {name}={text}"),
            (name, Format::Human) => _ = write!(self.fields, " {name}=\"{text}\""),
        }
    }

    fn tell_bare(&mut self, field: &Field, value: impl fmt::Display) {
        match self.format {
            Format::Json => _ = write!(self.fields, ",\"{}\":{value}", field.name()),
            Format::Human => _ = write!(self.fields, " {}={value}", field.name()),
        }
    }
}

fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:+@[]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.tell(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.tell(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.tell(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.tell_bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.tell_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.tell_bare(field, value);
    }
}

/// Takes a text and keeps of it what fits, without anything that would end a line, move a cursor or turn the direction of reading.
#[derive(Debug)]
struct Escaped {
    format: Format,
    text: String,
    is_cut: bool,
}

impl Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = [0; 4];
        for letter in text.chars() {
            let written: &str = match letter {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                letter if is_harmless(letter) => letter.encode_utf8(&mut room),
                letter => &number(self.format, letter),
            };
            if self.text.len() + written.len() + CUT.len_utf8() > VALUE_BYTES_MAX {
                self.is_cut = true;
                return Err(fmt::Error);
            }
            self.text.push_str(written);
        }
        Ok(())
    }
}

fn is_harmless(letter: char) -> bool {
    !(letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
}

/// Escapes a letter by its number; all such letters are below U+10000.
fn number(format: Format, letter: char) -> String {
    let number = u32::from(letter);
    match format {
        Format::Json => format!("\\u{number:04x}"),
        Format::Human => format!("\\u{{{number:x}}}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, tell: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines { format, has_colours: false })
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), tell);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    /// What strangers put into names, headers and errors.
    fn corpus() -> Vec<String> {
        let mut corpus: Vec<String> =
            (0..0x20u8).chain(0x7f..=0x9f).map(|byte| format!("a{}b", char::from(byte))).collect();
        corpus.extend(
            [
                "two\nlines",
                "two\r\nlines",
                "\r\n2026-01-01T00:00:00Z ERROR forged: line",
                "\n{\"level\":\"error\",\"event\":\"forged\"}",
                "\u{1b}[2J\u{1b}]0;title\u{7}",
                "\u{9b}31m",
                "nul\0nul",
                "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
                "\u{202e}txet",
                "\u{feff}\u{200b}",
                "\"quoted\" \\ and \\n",
                "',\"}]",
                "привет, 世界, 👋🏽",
                "",
                " ",
            ]
            .map(str::to_owned),
        );
        corpus.push("x".repeat(100_000));
        corpus.push("\n".repeat(100_000));
        corpus.push("я\u{0}".repeat(50_000));
        corpus
    }

    #[test]
    fn whatever_is_told_stays_one_line() {
        for value in corpus() {
            let error = io::Error::other(value.clone());
            for format in [Format::Human, Format::Json] {
                let text = written(format, || {
                    tracing::warn!(event = "admin_refused", shown = %value, debug = ?value, text = value, %error, times = 3, "say {value}");
                });
                assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text:?}");
                let line = text.trim_end_matches('\n');
                assert!(line.chars().all(is_harmless), "{line:?}");
                assert!(line.len() < 6 * VALUE_BYTES_MAX, "{} bytes", line.len());
                if format == Format::Json {
                    let told: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!((&told["event"], &told["level"]), (&"admin_refused".into(), &"warn".into()));
                    assert_eq!(told["times"], 3);
                    assert!(told["shown"].as_str().unwrap().len() <= VALUE_BYTES_MAX);
                    if value.len() < 100 {
                        assert_eq!(told["shown"], value.as_str());
                        assert_eq!(told["error"], value.as_str());
                    }
                } else {
                    assert!(line.contains(" WARN admin_refused: say "), "{line}");
                }
            }
        }
    }

    #[test]
    fn people_read_names_and_values() {
        let line = written(Format::Human, || {
            tracing::info!(event = "started", addresses = "127.0.0.1:1 [::1]:2", workers = 2, "on air");
        });
        let (_, line) = line.split_once(' ').unwrap();
        assert_eq!(line, " INFO started: on air addresses=\"127.0.0.1:1 [::1]:2\" workers=2\n");
    }
}
