//! What a server says, as objects, whichever transport carries them: taken out of batches, events, lines and frames, and put back.

use serde_json::{Value, json};

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A message.
    Message,
    /// `hello`.
    Hello,
    /// `heartbeat`.
    Heartbeat,
    /// `gap`.
    Gap,
    /// What a batch says besides its messages: `cursor`, `more`.
    End,
    /// Passed on as it came.
    Other(String),
}

/// One object: a message, or the inner object of a control object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub(super) name: Name,
    pub(super) value: Value,
}

impl Object {
    pub(super) fn new(name: Name, value: Value) -> Self {
        Self { name, value }
    }

    /// A field that is text; empty where there is none.
    pub(super) fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// Where it stands, or says that its reader stands.
    pub(super) fn place(&self) -> Option<(String, u64)> {
        let (epoch, offset) = self.text(self.place_field()?).rsplit_once('-')?;
        Some((epoch.to_owned(), offset.parse().ok()?))
    }

    /// Says that it stands elsewhere.
    pub(super) fn set_place(&mut self, epoch: &str, offset: u64) {
        if let Some(field) = self.place_field() {
            self.value[field] = format!("{epoch}-{offset}").into();
        }
    }

    fn place_field(&self) -> Option<&'static str> {
        match self.name {
            Name::Message => Some("position"),
            Name::Gap => Some("resume_from"),
            Name::Hello | Name::Heartbeat | Name::End => Some("cursor"),
            Name::Other(_) => None,
        }
    }
}

/// A line or a frame.
pub(super) fn from_json(text: &str) -> Object {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return Object::new(Name::Other(text.to_owned()), Value::Null);
    };
    if value.get("position").is_some() {
        return Object::new(Name::Message, value);
    }
    for (key, name) in [("hello", Name::Hello), ("heartbeat", Name::Heartbeat), ("gap", Name::Gap)] {
        if let Some(inner) = value.get_mut(key) {
            return Object::new(name, inner.take());
        }
    }
    Object::new(Name::Other(text.to_owned()), Value::Null)
}

/// The same as a line or a frame.
pub(super) fn to_json(object: &Object) -> String {
    let value = &object.value;
    match &object.name {
        Name::Message => value.to_string(),
        Name::Hello => json!({ "hello": value }).to_string(),
        Name::Heartbeat => json!({ "heartbeat": value }).to_string(),
        Name::Gap => json!({ "gap": value }).to_string(),
        Name::End => String::new(),
        Name::Other(text) => text.clone(),
    }
}

/// One block of Server-Sent Events, without its empty line.
pub(super) fn from_event(block: &str) -> Object {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let other = || Object::new(Name::Other(block.to_owned()), Value::Null);
    let name = match field("event:") {
        None => Name::Message,
        Some("hello") => Name::Hello,
        Some("heartbeat") => Name::Heartbeat,
        Some("gap") => Name::Gap,
        Some(_) => return other(),
    };
    match field("data:").map(serde_json::from_str) {
        Some(Ok(value)) => Object::new(name, value),
        _ => other(),
    }
}

/// The same as a block, with its empty line.
pub(super) fn to_event(object: &Object) -> String {
    let event = match &object.name {
        Name::Other(block) => return format!("{block}\n\n"),
        Name::End => return String::new(),
        Name::Message => "",
        Name::Hello => "event: hello\n",
        Name::Heartbeat => "event: heartbeat\n",
        Name::Gap => "event: gap\n",
    };
    let place = object.place().map(|(epoch, offset)| format!("id: {epoch}-{offset}\n")).unwrap_or_default();
    format!("{event}{place}data: {}\n\n", object.value)
}

/// The objects of a batch in the order in which a reader takes them; `None` where it is none.
pub(super) fn from_batch(text: &str) -> Option<Vec<Object>> {
    let mut batch: Value = serde_json::from_str(text).ok()?;
    let Some(Value::Array(messages)) = batch.get_mut("messages").map(Value::take) else { return None };
    let gap = batch.get_mut("gap").map(Value::take).map(|gap| Object::new(Name::Gap, gap));
    let messages = messages.into_iter().map(|message| Object::new(Name::Message, message));
    let mut objects: Vec<Object> = gap.into_iter().chain(messages).collect();
    objects.push(Object::new(Name::End, batch));
    Some(objects)
}

/// The same as a batch. It has one place for a gap, before its messages: a later one is lost.
pub(super) fn to_batch(objects: &[Object]) -> String {
    let end = objects.iter().find(|object| object.name == Name::End);
    let mut batch = end.map_or_else(|| json!({}), |end| end.value.clone());
    let messages = objects.iter().filter(|object| object.name == Name::Message);
    batch["messages"] = messages.map(|message| message.value.clone()).collect();
    let gap = objects.iter().find(|object| object.name == Name::Gap);
    match (gap, batch.as_object_mut()) {
        (Some(gap), _) => batch["gap"] = gap.value.clone(),
        (None, Some(batch)) => drop(batch.remove("gap")),
        (None, None) => {}
    }
    batch.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_apart_and_together_again() {
        let message = json!({"channel":"a","position":"e-3","time":1,"data":"x"});
        let gap = json!({"channel":"a","reason":"trimmed","after":"e-1","resume_from":"e-2","epoch":"e"});
        let objects = [Object::new(Name::Gap, gap), Object::new(Name::Message, message)];
        for object in &objects {
            assert_eq!(from_json(&to_json(object)), *object);
            let event = to_event(object);
            assert_eq!(from_event(event.trim_end()), *object);
            assert!(event.contains(&format!("id: e-{}\n", object.place().unwrap().1)));
        }
        let end = Object::new(Name::End, json!({"channel":"a","cursor":"e-3","more":false}));
        let batch: Vec<Object> = objects.into_iter().chain([end]).collect();
        let again = from_batch(&to_batch(&batch)).unwrap();
        assert_eq!(again[..2], batch[..2]);
        assert_eq!(again[2].text("cursor"), "e-3");
    }
}
