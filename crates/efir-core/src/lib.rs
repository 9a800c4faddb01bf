//! The rules of efir: what a channel, a message, a position, a cursor and a gap are, and how they look on the wire.
//!
//! Nothing here does IO, reads a clock, starts a task or draws a random number: time (ms since 1970 UTC) and seeds come
//! in as arguments, so that every rule can be tested on its own. Begin with [`log`]; the bytes are in [`wire`].

pub mod channel;
pub mod codes;
pub mod cursor;
pub mod gap;
pub mod limits;
pub mod log;
pub mod message;
pub mod position;
pub mod presence;
pub mod rate;
pub mod receipt;
pub mod wire;

pub use channel::{ChannelName, ChannelNameError};
pub use codes::{Action, CODES, Code, CodeRow, Problem};
pub use cursor::{Cursor, CursorError, Start, Token};
pub use gap::{Gap, GapReason};
pub use limits::{LIMITS, LimitRow, Limits, TIMES, Times};
pub use log::{Append, AppendError, Appended, Log, Missed, Read, ReadAfter, ReadMost, Retention};
pub use message::{Message, Payload, PayloadError};
pub use position::{Epoch, OFFSET_MAX, Position};
pub use presence::{MemberId, PresenceState, Who, WhoError};
pub use receipt::{Durability, Receipt};
pub use wire::{Batch, Control, Form, Frame, Reply};
