//! Who a member says it is: an id of its own choice, and perhaps a name and small data. Not proven: that is for access control.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::codes::{Code, Problem};
use crate::limits::Limits;
use crate::message::{Payload, PayloadError};

/// The longest id, in bytes.
pub const MEMBER_ID_BYTES_MAX: usize = 64;

/// The id of a member: 1–64 bytes of `[A-Za-z0-9._~-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Box<str>);

/// What a member says of itself. What it does not say stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    id: MemberId,
    /// Empty: it has none any more.
    name: Option<Box<str>>,
    /// JSON on one line; empty: it has none any more.
    data: Option<Bytes>,
}

/// Why this is no member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WhoError {
    /// Empty, too long or with another byte.
    #[error("the id of a member is 1 to {MEMBER_ID_BYTES_MAX} of A-Z a-z 0-9 . _ ~ -")]
    Id,
    /// The name has too many bytes.
    #[error("the name has {bytes} bytes; at most {bytes_max} are allowed")]
    NameTooLong {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// The data has too many bytes.
    #[error("the data has {bytes} bytes; at most {bytes_max} are allowed")]
    DataTooLong {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// The data is not JSON.
    #[error("the data is refused: {0}")]
    Data(PayloadError),
}

impl MemberId {
    /// Checks and keeps an id.
    ///
    /// # Errors
    /// [`WhoError::Id`].
    pub fn parse(id: &str) -> Result<Self, WhoError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        if id.is_empty() || id.len() > MEMBER_ID_BYTES_MAX || !id.bytes().all(is_allowed) {
            return Err(WhoError::Id);
        }
        Ok(Self(id.into()))
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Who {
    /// A member that says nothing but its id.
    #[must_use]
    pub fn new(id: MemberId) -> Self {
        Self { id, name: None, data: None }
    }

    /// Says a name; an empty one removes it.
    ///
    /// # Errors
    /// [`WhoError::NameTooLong`].
    pub fn with_name(mut self, name: &str, limits: &Limits) -> Result<Self, WhoError> {
        let (bytes, bytes_max) = (name.len(), limits.presence_name_bytes_max);
        if bytes > bytes_max {
            return Err(WhoError::NameTooLong { bytes, bytes_max });
        }
        self.name = Some(name.into());
        Ok(self)
    }

    /// Says data, as JSON; `null` removes it.
    ///
    /// # Errors
    /// Too long, or not JSON.
    pub fn with_data(mut self, json: &[u8], limits: &Limits) -> Result<Self, WhoError> {
        let (bytes, bytes_max) = (json.len(), limits.presence_data_bytes_max);
        if bytes > bytes_max {
            return Err(WhoError::DataTooLong { bytes, bytes_max });
        }
        let payload = Payload::json(Bytes::copy_from_slice(json)).map_err(WhoError::Data)?;
        let Payload::Json(data) = payload else { return Ok(self) };
        self.data = Some(if data.trim_ascii() == b"null" { Bytes::new() } else { data });
        Ok(self)
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &MemberId {
        &self.id
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }
}

impl WhoError {
    /// The refusal as a client sees it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(Code::InvalidMember, self.to_string());
        match self {
            Self::NameTooLong { bytes_max, .. } => {
                problem.with_limit("presence_name_bytes_max", *bytes_max as u64)
            }
            Self::DataTooLong { bytes_max, .. } => {
                problem.with_limit("presence_data_bytes_max", *bytes_max as u64)
            }
            Self::Id | Self::Data(_) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "A-z_0.9~", &"x".repeat(64)] {
            assert_eq!(MemberId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "Аня", "a/b", "a\n", &"x".repeat(65)] {
            assert_eq!(MemberId::parse(bad), Err(WhoError::Id), "{bad:?}");
        }
    }

    #[test]
    fn names_and_data_are_bounded() {
        let limits = Limits::default();
        let who = || Who::new(MemberId::parse("a").unwrap());
        let long = "ж".repeat(65);
        assert_eq!(
            who().with_name(&long, &limits).unwrap_err().problem().limit,
            Some(("presence_name_bytes_max", 128))
        );
        assert!(who().with_name(&"ж".repeat(64), &limits).is_ok());
        let long = format!("\"{}\"", "x".repeat(1_023));
        assert_eq!(
            who().with_data(long.as_bytes(), &limits).unwrap_err().problem().limit,
            Some(("presence_data_bytes_max", 1_024))
        );
        for bad in ["", "{", "{}{}", "undefined", "\"\\ud800\""] {
            let problem = who().with_data(bad.as_bytes(), &limits).unwrap_err().problem();
            assert_eq!(problem.code, Code::InvalidMember, "{bad:?}");
        }
        let lines = who().with_data(b"{\r\n\"a\": 1}", &limits).unwrap();
        assert_eq!(lines.data().unwrap(), &b"{  \"a\": 1}"[..], "one line, as in every message");
        assert_eq!(who().with_data(b" null ", &limits).unwrap().data(), Some(&Bytes::new()));
    }
}
