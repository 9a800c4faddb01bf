//! Agreeing on permessage-deflate (RFC 7692 §7.1) in `Sec-WebSocket-Extensions`.
//!
//! We never keep a context between messages: a server always answers with both `no_context_takeover` parameters. An
//! offer that we do not understand is declined, as RFC 7692 §7.1 says; only a header that is no list of extensions at all
//! is an error, as RFC 6455 §9.1 says. The reader only walks forward, so time is linear.

/// What our client offers.
pub const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The extension's name; compared exactly.
const NAME: &str = "permessage-deflate";

/// The window of a deflate stream unless agreed otherwise, as a power of two.
const WINDOW_BITS_DEFAULT: u8 = 15;

/// zlib cannot compress with the 256-byte window that RFC 7692 allows, so offers that insist on it are declined.
const WINDOW_BITS_MIN: u8 = 9;

/// permessage-deflate without context takeover, agreed for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The server's window as a power of two, 9–15 (a client may meet 8).
    pub server_window_bits: u8,
    /// Whether the client asked for the window, so that the answer must name it.
    is_window_asked: bool,
}

/// A client's header that does not follow the grammar; the server must fail the handshake (RFC 6455 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions is not a list of extensions with parameters")]
pub struct OffersMalformed;

/// A server's answer that our offer does not allow; the client must fail the connection (RFC 7692 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answered with extensions that were not offered")]
pub struct AnswerInvalid;

impl Agreement {
    /// The server's choice from all offers of a client: the first one that we can keep, `None` to go without.
    /// Several header lines are to be joined by commas.
    ///
    /// ```
    /// use efir_ws::Agreement;
    /// let agreement = Agreement::from_offers("x-webkit, permessage-deflate; client_max_window_bits")?.unwrap();
    /// assert_eq!(agreement.answer(), "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    /// # Ok::<(), efir_ws::negotiation::OffersMalformed>(())
    /// ```
    ///
    /// # Errors
    /// [`OffersMalformed`] when the text is not what RFC 6455 §9.1 allows in this header.
    pub fn from_offers(offers: &str) -> Result<Option<Self>, OffersMalformed> {
        let mut reader = Reader::new(offers);
        let mut agreed = None;
        while let Some(element) = reader.element() {
            if let Some(parameters) = element
                && agreed.is_none()
                && parameters.server_window_bits.unwrap_or(WINDOW_BITS_DEFAULT) >= WINDOW_BITS_MIN
            {
                agreed = Some(Self::new(&parameters));
            }
        }
        if reader.is_malformed { Err(OffersMalformed) } else { Ok(agreed) }
    }

    /// What a client may conclude from the server's answer to [`OFFER`]; an empty answer means no compression.
    ///
    /// # Errors
    /// [`AnswerInvalid`] when the answer names anything that the offer does not allow.
    pub fn from_answer(answer: &str) -> Result<Option<Self>, AnswerInvalid> {
        let mut reader = Reader::new(answer);
        let Some(first) = reader.element() else { return Ok(None) };
        let parameters = first.ok_or(AnswerInvalid)?;
        if reader.element().is_some()
            || !parameters.server_no_takeover
            || parameters.client_window_bits.is_some()
        {
            return Err(AnswerInvalid);
        }
        Ok(Some(Self::new(&parameters)))
    }

    /// The server's `Sec-WebSocket-Extensions` value.
    #[must_use]
    pub fn answer(&self) -> String {
        if self.is_window_asked {
            format!("{OFFER}; server_max_window_bits={}", self.server_window_bits)
        } else {
            OFFER.to_owned()
        }
    }

    /// Whether a frame compressed with the full 15-bit window may go to this connection: no match in it can reach
    /// further back than the message is long.
    #[must_use]
    pub fn is_shared_frame_allowed(&self, message_bytes: usize) -> bool {
        self.server_window_bits == WINDOW_BITS_DEFAULT || message_bytes <= 1 << self.server_window_bits
    }

    fn new(parameters: &Parameters) -> Self {
        Self {
            server_window_bits: parameters.server_window_bits.unwrap_or(WINDOW_BITS_DEFAULT),
            is_window_asked: parameters.server_window_bits.is_some(),
        }
    }
}

/// The parameters of one permessage-deflate element, each at most once.
#[derive(Default)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window_bits: Option<u8>,
    /// The inner `None` is the parameter without a value, allowed in offers.
    client_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Notes one parameter; `None` when it is unknown, doubled or has a wrong value.
    fn set(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        let is_new = match (name, value) {
            ("server_no_context_takeover", None) => !std::mem::replace(&mut self.server_no_takeover, true),
            ("client_no_context_takeover", None) => !std::mem::replace(&mut self.client_no_takeover, true),
            ("server_max_window_bits", Some(bits)) => {
                self.server_window_bits.replace(window_bits(bits)?).is_none()
            }
            ("client_max_window_bits", None) => self.client_window_bits.replace(None).is_none(),
            ("client_max_window_bits", Some(bits)) => {
                self.client_window_bits.replace(Some(window_bits(bits)?)).is_none()
            }
            _ => false,
        };
        is_new.then_some(())
    }
}

/// A decimal number from 8 to 15 without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Walks once, forward, over a `Sec-WebSocket-Extensions` value (grammar: RFC 6455 §9.1).
struct Reader<'a> {
    rest: &'a str,
    /// Something on the way was not what the grammar allows.
    is_malformed: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, is_malformed: false }
    }

    /// The next member of the list: `Some(None)` for one that is not permessage-deflate or malformed.
    fn element(&mut self) -> Option<Option<Parameters>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        if self.rest.is_empty() {
            return None;
        }
        let name = self.token();
        let mut parameters = (name == NAME).then(Parameters::default);
        loop {
            self.skip_space();
            if name.is_empty() {
                break;
            } else if self.skip(';') {
                let Some((name, value)) = self.parameter() else { break };
                parameters = parameters.and_then(|mut known| known.set(name, value).map(|()| known));
            } else if self.rest.is_empty() || self.rest.starts_with(',') {
                return Some(parameters);
            } else {
                break;
            }
        }
        // Nothing of this member counts; the next one starts after a comma.
        self.is_malformed = true;
        let (_, rest) = self.rest.split_once(',').unwrap_or_default();
        self.rest = rest;
        Some(None)
    }

    fn parameter(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        self.skip_space();
        let name = Some(self.token()).filter(|name| !name.is_empty())?;
        self.skip_space();
        if !self.skip('=') {
            return Some((name, None));
        }
        self.skip_space();
        let value = if self.skip('"') { self.quoted()? } else { self.token() };
        (!value.is_empty()).then_some((name, Some(value)))
    }

    fn token(&mut self) -> &'a str {
        let end = self.rest.find(|character| !is_token_character(character)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        token
    }

    /// The inside of a quoted value whose opening quote is behind us. Escapes are refused: no value of ours needs them.
    fn quoted(&mut self) -> Option<&'a str> {
        let (value, rest) = self.rest.split_once('"').unwrap_or((self.rest, ""));
        let is_closed = value.len() < self.rest.len();
        self.rest = rest;
        (is_closed && value.chars().all(is_token_character)).then_some(value)
    }

    fn skip(&mut self, character: char) -> bool {
        self.rest.strip_prefix(character).map(|rest| self.rest = rest).is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offers: &str) -> Option<String> {
        Agreement::from_offers(offers).unwrap().map(|agreement| agreement.answer())
    }

    #[test]
    fn what_browsers_offer_is_accepted() {
        assert_eq!(answer("permessage-deflate; client_max_window_bits").as_deref(), Some(OFFER));
        assert_eq!(answer("permessage-deflate").as_deref(), Some(OFFER));
        assert_eq!(answer(OFFER).as_deref(), Some(OFFER));
    }

    #[test]
    fn a_window_that_is_asked_for_is_named_in_the_answer() {
        for bits in 9..=15 {
            let asked =
                format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits=8");
            assert_eq!(answer(&asked), Some(format!("{OFFER}; server_max_window_bits={bits}")));
        }
        assert_eq!(
            answer("permessage-deflate; server_max_window_bits=\"10\""),
            Some(format!("{OFFER}; server_max_window_bits=10"))
        );
    }

    #[test]
    fn the_first_offer_that_we_can_keep_is_taken() {
        let offers = "permessage-deflate; server_max_window_bits=8,,bbf-usp-protocol ,\
                      permessage-deflate; server_max_window_bits=12, permessage-deflate";
        let agreed = Agreement::from_offers(offers).unwrap();
        assert_eq!(agreed.map(|agreement| agreement.server_window_bits), Some(12));
    }

    #[test]
    fn bad_offers_are_declined() {
        for parameters in [
            "; unknown",
            "; server_no_context_takeover=1",
            "; server_no_context_takeover; server_no_context_takeover",
            "; client_max_window_bits; client_max_window_bits=9",
            "; client_max_window_bits=7",
            "; client_max_window_bits=16",
            "; server_max_window_bits",
            "; server_max_window_bits=8",
            "; server_max_window_bits=010",
        ] {
            assert_eq!(answer(&format!("permessage-deflate{parameters}")), None, "{parameters}");
            let second = format!("permessage-deflate{parameters}, permessage-deflate");
            assert_eq!(answer(&second).as_deref(), Some(OFFER), "{second}");
        }
        for name in ["", " , ,", "PERMESSAGE-DEFLATE", "permessage-deflate2", "permessage-bzip2; level=\"9\""]
        {
            assert_eq!(answer(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_an_error() {
        for parameters in
            ["; server_max_window_bits=", "; x=\"10", "; x=\"1 0\"", ";", "; =1", " x", "=1", "\"", "; x=1 2"]
        {
            let offers = format!("permessage-deflate{parameters}");
            assert_eq!(Agreement::from_offers(&offers), Err(OffersMalformed), "{offers}");
            let second = format!("permessage-deflate, x-other{parameters}");
            assert_eq!(Agreement::from_offers(&second), Err(OffersMalformed), "{second}");
        }
        for offers in ["é", "\u{0}", ";", "\"x\"", "a b"] {
            assert_eq!(Agreement::from_offers(offers), Err(OffersMalformed), "{offers}");
        }
    }

    #[test]
    fn short_messages_may_be_shared_with_small_windows() {
        let agreed = |offers| Agreement::from_offers(offers).unwrap().unwrap();
        let small = agreed("permessage-deflate; server_max_window_bits=9");
        assert!(small.is_shared_frame_allowed(512));
        assert!(!small.is_shared_frame_allowed(513));
        assert!(agreed("permessage-deflate").is_shared_frame_allowed(usize::MAX));
    }
}
