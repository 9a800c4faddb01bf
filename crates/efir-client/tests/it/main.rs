//! The client against a server that follows a script, so that every turn of a conversation can be made to happen.

mod exchange;
mod follow;
mod hostile;
mod scripted;
