//! Who is on the other end of a socket, where not everybody may do everything: `authorize` says it, now or anew, and the socket leaves
//! what may no longer be read (docs/protocol.md §11).

use std::{borrow::Cow, time::Instant};

use efir_access::{Action, Caller};
use efir_core::{
    Code, Problem, Reply,
    wire::{Control, Form},
};
use efir_engine::{Outbox, Reader};
use serde::Deserialize;

use super::{Desk, Entered, command};
use crate::{
    access::{self, Visitor},
    guarded,
};

/// The other end of one socket.
pub(super) struct Guard {
    visitor: Visitor,
    /// When the token's time is over.
    end: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

impl Guard {
    pub(super) fn new(visitor: Visitor) -> Self {
        Self { visitor, end: None }
    }

    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Whether nobody has said yet who is there.
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self.visitor.caller, Caller::Anonymous)
    }

    /// The caller is there, or has changed.
    pub(super) fn follow(&mut self, now: Instant, reader: &mut Reader) {
        self.end = guarded::end(&self.visitor, now);
        let holder = self.visitor.holder(reader.hub());
        reader.account_mut().set_holder(holder);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.end
    }

    /// # Errors
    /// The socket's time is over.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Problem> {
        if self.end.is_some_and(|end| end <= now) {
            // Clocks of the wall may have been set meanwhile.
            self.end = guarded::end(&self.visitor, now).filter(|end| *end > now);
            if self.end.is_none() {
                return Err(access::expired());
            }
        }
        Ok(())
    }

    /// Leaves what may no longer be read or entered, and says so.
    ///
    /// # Errors
    /// The token itself is worth nothing any more.
    pub(super) fn recheck(
        &mut self,
        reader: &mut Reader,
        out: &mut Outbox,
        entered: &mut Option<Box<Entered>>,
    ) -> Result<(), Problem> {
        if !self.visitor.is_outdated() {
            return Ok(());
        }
        self.visitor.check_caller()?;
        self.leave_denied(reader, out, entered);
        Ok(())
    }

    fn leave_denied(&self, reader: &mut Reader, out: &mut Outbox, entered: &mut Option<Box<Entered>>) {
        let mut tell = |problem: &Problem| {
            out.push_control(&Control::Problem(problem).encode(Form::WebSocket));
        };
        if let Some(last) = guarded::leave_denied(&self.visitor, reader, &mut tell) {
            tell(&last);
        }
        if let Some(entered) = entered {
            entered.retain(|channel| match self.visitor.judge(Action::Presence, channel) {
                Ok(_) => true,
                Err(problem) => {
                    tell(&problem);
                    false
                }
            });
        }
    }
}

/// Says who is on the other end. A user may be said anew with another token, but it stays the same user.
pub(super) fn authorize(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let shown: Shown<'_> = command::fields(fields)?;
    let Some(guard) = desk.guard.as_deref_mut() else {
        desk.reply(Reply::Authorized { user: None, expires_ms: None });
        return Ok(());
    };
    let caller = guard.visitor.identify(&shown.token)?;
    let is_known = !matches!(guard.visitor.caller, Caller::Anonymous);
    if is_known && !guard.visitor.caller.is_same_user(&caller) {
        let detail = "this socket is another user's; open one for each user";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    guard.visitor = guard.visitor.with_caller(caller);
    guard.follow(Instant::now(), desk.reader);
    if is_known {
        guard.leave_denied(desk.reader, desk.out, desk.entered);
    }
    let (user, expires_ms) = (guard.visitor.caller.user_name().cloned(), guard.visitor.caller.expires_ms());
    desk.reply(Reply::Authorized { user: user.as_deref(), expires_ms });
    Ok(())
}

impl Desk<'_> {
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        self.guard.as_deref().map(Guard::visitor)
    }
}
