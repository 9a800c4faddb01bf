//! Whose users are whose. A `sub` is unique to its issuer only (RFC 7519 §4.1.2), and a user here is a name alone: where
//! several issuers are believed, the configuration has to say whether they name the same people.

use thiserror::Error;

use super::KeyTerms;

/// The longest prefix of users' names, in bytes.
pub const USER_PREFIX_BYTES_MAX: usize = 32;

/// Why the users of two keys cannot be told apart. The last key is the one at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsersError {
    /// The prefix is none. A `:` would keep its users out of every `{user}`.
    #[error(
        "the user_prefix of key '{0}' is 0 to {USER_PREFIX_BYTES_MAX} of the characters A-Z a-z 0-9 . _ ~ -"
    )]
    Prefix(String),
    /// Two issuers, and nothing is said about their users.
    #[error(
        "key '{name}' has another issuer than key '{other}' and may name users of '{other}' as its own: give each a \
         user_prefix, or both the same one (\"\" too) if both name the same people"
    )]
    Unsaid {
        /// The name of the key.
        name: String,
        /// The name of the other one.
        other: String,
    },
    /// A prefix that begins with another one: `a` and `b1` are then `ab` and `1`.
    #[error(
        "the user_prefix of key '{name}' begins with that of '{other}', or that of '{other}' begins with it"
    )]
    Ambiguous {
        /// The name of the key.
        name: String,
        /// The name of the other one.
        other: String,
    },
    /// One issuer's users under two names.
    #[error("key '{name}' has the same issuer as '{other}' and another user_prefix")]
    Split {
        /// The name of the key.
        name: String,
        /// The name of the other one.
        other: String,
    },
}

/// Whether the users of the last of these keys can be told from those of the others. Keys of one issuer, or all without
/// one, have the same users. Where issuers differ, each key says a prefix; those with the same one have the same users.
///
/// # Errors
/// They cannot, or the prefix is none.
pub fn check_users(keys: &[KeyTerms]) -> Result<(), UsersError> {
    let Some((key, others)) = keys.split_last() else { return Ok(()) };
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let prefix = key.user_prefix.as_deref().unwrap_or_default();
    if prefix.len() > USER_PREFIX_BYTES_MAX || !prefix.bytes().all(is_good) {
        return Err(UsersError::Prefix(key.name.clone()));
    }
    for other in others {
        let (name, other_name) = (key.name.clone(), other.name.clone());
        match (key.issuer == other.issuer, &key.user_prefix, &other.user_prefix) {
            (true, one, two) if one.as_deref().unwrap_or_default() == two.as_deref().unwrap_or_default() => {}
            (true, ..) => return Err(UsersError::Split { name, other: other_name }),
            (false, Some(one), Some(two)) if one == two => {}
            (false, Some(one), Some(two)) if one.starts_with(&**two) || two.starts_with(&**one) => {
                return Err(UsersError::Ambiguous { name, other: other_name });
            }
            (false, Some(_), Some(_)) => {}
            (false, ..) => return Err(UsersError::Unsaid { name, other: other_name }),
        }
    }
    Ok(())
}
