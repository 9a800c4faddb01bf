//! A client's half of Server-Sent Events, written from WHATWG HTML §9.2.6 line by line, without a look at the encoder.

#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: String,
}

#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) events: Vec<Event>,
    pub(crate) retry_ms: Option<u64>,
}

/// Interprets a whole stream.
pub(crate) fn parse(stream: &[u8]) -> Parsed {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut parsed = Parsed::default();
    let (mut data, mut kind, mut last_id) = (String::new(), String::new(), String::new());
    for line in lines(text) {
        if line.is_empty() {
            if data.is_empty() {
                kind.clear();
                continue;
            }
            data.pop();
            let name = if kind.is_empty() { "message".to_owned() } else { std::mem::take(&mut kind) };
            parsed.events.push(Event { id: last_id.clone(), kind: name, data: std::mem::take(&mut data) });
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = value.to_owned(),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => last_id = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                parsed.retry_ms = value.parse().ok();
            }
            _ => {}
        }
    }
    parsed
}

/// Complete lines only: what stands after the last line end is discarded.
fn lines(mut text: &str) -> Vec<&str> {
    let mut lines = vec![];
    while let Some(at) = text.find(['\r', '\n']) {
        let (line, end) = text.split_at(at);
        lines.push(line);
        text = end.strip_prefix("\r\n").unwrap_or(&end[1..]);
    }
    lines
}
