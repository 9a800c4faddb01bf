//! What `efir serve` prints when it listens: where, and lines to try that work as they stand, also where not everybody may do everything.

use std::path::Path;

use efir_access::{Action, Audience, Rules};
use efir_client::encode_channel;

use crate::config::access::quoted;
use crate::config::{Access, Resolved};

/// The channel of the lines where the rules do not ask for another one.
const CHANNEL: &str = "chat";
/// The user whose token is made.
const USER: &str = "anna";

/// What it takes to try things out.
#[derive(Debug)]
pub(super) struct Trial {
    channel: String,
    listen: Entry,
    say: Entry,
    /// The arguments of `efir token make` that say how tokens are signed; `None`: no tokens are known.
    recipe: Option<String>,
}

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Nothing,
    Token,
    /// A key of a backend.
    Key,
    /// Nobody may, whatever is shown.
    Closed,
}

impl Trial {
    pub(super) fn of(config: &Resolved) -> Self {
        let access = &config.access;
        if config.is_open || access.is_empty() {
            let channel = CHANNEL.to_owned();
            return Self { channel, listen: Entry::Nothing, say: Entry::Nothing, recipe: None };
        }
        let channel = access.rules.as_ref().map_or_else(|| CHANNEL.to_owned(), channel_of);
        let entry = |action| entry(access, &channel, action);
        let (listen, say) = (entry(Action::Subscribe), entry(Action::Publish));
        Self { listen, say, recipe: access.token_recipe.clone(), channel }
    }

    /// How a token is made, where one is needed.
    fn token(&self) -> Option<String> {
        let wanted = [(self.listen, "subscribe"), (self.say, "publish")];
        let actions: Vec<_> =
            wanted.iter().filter(|(entry, _)| *entry == Entry::Token).map(|(_, name)| *name).collect();
        let recipe = self.recipe.as_ref().filter(|_| !actions.is_empty())?;
        let grant = quoted(&format!("{}={}", actions.join(","), self.channel));
        Some(format!("TOKEN=$(efir token make {recipe} --user {USER} --allow {grant})"))
    }
}

/// A channel that the rules let somebody read or write: `chat`, or one that fits the first pattern that they have for others.
fn channel_of(rules: &Rules) -> String {
    let is_used = |name: &str| {
        let rule = rules.find(name, Some(USER));
        rule.is_some_and(|rule| [rule.subscribe, rule.publish].iter().any(|who| *who != Audience::Nobody))
    };
    let patterns = rules.as_slice().iter().flat_map(|rule| &rule.channels);
    let named = patterns
        .map(|pattern| pattern.as_str().replace("{user}", USER).replace("**", CHANNEL).replace('*', "1"));
    std::iter::once(CHANNEL.to_owned())
        .chain(named)
        .find(|name| is_used(name))
        .unwrap_or_else(|| CHANNEL.to_owned())
}

fn entry(access: &Access, channel: &str, action: Action) -> Entry {
    let audience = match &access.rules {
        // Keys alone mean: everything needs a grant.
        None => Audience::Grant,
        Some(rules) => rules.find(channel, Some(USER)).map_or(Audience::Nobody, |rule| rule.audience(action)),
    };
    match audience {
        Audience::Anyone => Entry::Nothing,
        Audience::Authenticated | Audience::Grant if access.token_recipe.is_some() => Entry::Token,
        _ if access.server_keys.is_empty() => Entry::Closed,
        _ => Entry::Key,
    }
}

/// The whole text.
pub(super) fn banner(urls: &[String], static_dir: Option<&Path>, trial: &Trial) -> String {
    let first = urls.first().map_or("", String::as_str);
    let mut text = format!("\n  efir {} is on air\n\n    page     {first}/\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, words: String| text.push_str(&format!("    {name:<8} {words}\n"));
    if let Some(token) = trial.token() {
        line("token", token);
    }
    if [trial.listen, trial.say].contains(&Entry::Key) {
        line("key", "KEY=…   (one of [[server_keys]])".to_owned());
    }
    let channel = format!("{first}/channels/{}", encode_channel(&trial.channel));
    let closed = |what: &str| format!("nobody may {what} {:?}; see docs/operating/access.md", trial.channel);
    line(
        "listen",
        match trial.listen.header() {
            Some(header) => format!("curl -N {header}'{channel}?transport=http-stream'"),
            None => closed("read"),
        },
    );
    line(
        "say",
        match trial.say.header() {
            Some(header) => format!("curl -d 'Привет' {header}{channel}"),
            None => closed("publish in"),
        },
    );
    if let Some(dir) = static_dir {
        line("files", dir.display().to_string());
    }
    for url in urls.iter().skip(1) {
        line("also", format!("{url}/"));
    }
    text.push_str("\n  Ctrl-C ends it.\n\n");
    text
}

impl Entry {
    /// What goes before the URL; `None`: nothing helps.
    fn header(self) -> Option<&'static str> {
        match self {
            Self::Nothing => Some(""),
            Self::Token => Some(r#"-H "Authorization: Bearer $TOKEN" "#),
            Self::Key => Some(r#"-H "Authorization: Bearer $KEY" "#),
            Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use efir_access::{Pattern, Rule};

    use super::*;

    fn shown(access: Access) -> String {
        let config = Resolved { access, ..Resolved::default() };
        banner(&["http://localhost:8080".to_owned()], None, &Trial::of(&config))
    }

    fn ruled(pattern: &str, subscribe: Audience, publish: Audience) -> Access {
        let rule = Rule { subscribe, publish, ..Rule::new(vec![Pattern::parse(pattern).unwrap()], publish) };
        let mut access = Access::default();
        access.rules = Some(Rules::new(vec![rule]).unwrap());
        access.token_recipe = Some("--secret-env SECRET".to_owned());
        access
    }

    #[test]
    fn an_open_server_takes_nothing() {
        let text = shown(Access::default());
        assert!(
            text.contains("listen   curl -N 'http://localhost:8080/channels/chat?transport=http-stream'\n")
        );
        assert!(text.contains("say      curl -d 'Привет' http://localhost:8080/channels/chat\n"), "{text}");
        assert!(!text.contains("TOKEN") && !text.contains("KEY"), "{text}");
    }

    #[test]
    fn what_is_closed_is_opened_by_what_the_rules_want() {
        let with = r#"-H "Authorization: Bearer $TOKEN""#;
        let listen =
            format!("curl -N {with} 'http://localhost:8080/channels/{}?transport=", encode_channel("chat:1"));
        for (pattern, subscribe, publish, lines) in [
            ("**", Audience::Anyone, Audience::Anyone, ["", "curl -N '", "curl -d 'Привет' http"]),
            (
                "chat:*",
                Audience::Authenticated,
                Audience::Grant,
                ["--secret-env SECRET --user anna --allow subscribe,publish=chat:1)", &listen, with],
            ),
            (
                "{user}:in",
                Audience::Anyone,
                Audience::Grant,
                ["--allow publish=anna:in)", "curl -N 'http", with],
            ),
            (
                "**",
                Audience::Anyone,
                Audience::Nobody,
                ["", "curl -N 'http", "nobody may publish in \"chat\""],
            ),
        ] {
            let text = shown(ruled(pattern, subscribe, publish));
            for line in lines {
                assert!(text.contains(line), "{pattern}: {line} is not in {text}");
            }
            assert_eq!(text.contains("TOKEN="), lines[0].contains("--allow"), "{text}");
        }
    }
}
