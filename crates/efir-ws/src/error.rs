//! Why a peer's bytes were refused: one variant for each rule of RFC 6455 and RFC 7692 that we hold, and each limit.
//!
//! The text of a variant is public: it fits a close frame's reason and names the limit.

/// A peer broke the protocol or a limit. The connection is over: send a close frame with [`FrameError::close_code`]
/// and the error's text, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An opcode that RFC 6455 §5.2 reserves.
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// RSV2, RSV3, or RSV1 where no compression was agreed or no message begins.
    #[error("reserved bits are set")]
    ReservedBits,
    /// RSV1 on a control frame (RFC 7692 §6.1).
    #[error("control frames cannot be compressed")]
    ControlCompressed,
    /// A control frame without FIN (RFC 6455 §5.5).
    #[error("control frames cannot be fragmented")]
    ControlFragmented,
    /// A control frame above 125 bytes (RFC 6455 §5.5).
    #[error("control frames carry at most 125 bytes")]
    ControlTooLong,
    /// A client's frame without a mask (RFC 6455 §5.1).
    #[error("frames from a client must be masked")]
    MaskMissing,
    /// A server's frame with a mask (RFC 6455 §5.1).
    #[error("frames from a server must not be masked")]
    MaskForbidden,
    /// A length in more bytes than it needs (RFC 6455 §5.2).
    #[error("the frame length is not in its shortest form")]
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set (RFC 6455 §5.2).
    #[error("the frame length has its highest bit set")]
    LengthOverflow,
    /// A continuation frame while no message is unfinished.
    #[error("a continuation frame without a message to continue")]
    ContinuationWithoutStart,
    /// A text or binary frame while another message is unfinished.
    #[error("a new message began before the last one ended")]
    MessageInterleaved,
    /// A close frame with a payload of one byte.
    #[error("a close frame carries no code or one of two bytes")]
    CloseCodeTruncated,
    /// A close code that no peer may send (RFC 6455 §7.4).
    #[error("close code {0} must not be sent")]
    CloseCodeInvalid(u16),
    /// A close reason that is not UTF-8.
    #[error("the close reason is not valid UTF-8")]
    CloseReasonNotUtf8,
    /// A text message that is not UTF-8.
    #[error("the text message is not valid UTF-8")]
    TextNotUtf8,
    /// A compressed message that is not a DEFLATE stream cut as RFC 7692 §7.2.1 says.
    #[error("the compressed message is not valid DEFLATE data")]
    DeflateInvalid,
    /// A frame declares more bytes than one frame may have.
    #[error("the frame is larger than {limit} bytes")]
    FrameTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The frames of one message declare more bytes than a message may have.
    #[error("the message is larger than {limit} bytes")]
    MessageTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message is larger than the limit once it is inflated.
    #[error("the message is larger than {limit} bytes when inflated")]
    InflatedTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message comes in too many frames, empty ones counted.
    #[error("the message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit in frames.
        limit: usize,
    },
}

impl FrameError {
    /// The close code to answer with (RFC 6455 §7.4.1): 1007 for contents, 1009 for limits, 1002 for the rest.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::DeflateInvalid => 1007,
            Self::FrameTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::InflatedTooLarge { .. }
            | Self::TooManyFragments { .. } => 1009,
            _ => 1002,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_and_fit_a_close_reason() {
        let error = FrameError::InflatedTooLarge { limit: usize::MAX };
        assert_eq!(error.close_code(), 1009);
        assert!(error.to_string().contains(&usize::MAX.to_string()));
        assert!(error.to_string().len() <= 123);
        assert_eq!(FrameError::TextNotUtf8.close_code(), 1007);
        assert_eq!(FrameError::UnknownOpcode(3).close_code(), 1002);
    }
}
