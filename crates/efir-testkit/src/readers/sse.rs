//! Server-Sent Events, resumed as EventSource does it: with `Last-Event-ID`.

use efir_client::{Event, Transport};

use super::{Aim, Begin, Later, Reader, Stream};

pub(super) struct Sse(Stream);

impl Sse {
    pub(super) fn new(aim: Aim) -> Self {
        Self(Stream::new(aim))
    }
}

impl Reader for Sse {
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()> {
        Box::pin(async move {
            let read = self.0.aim.read(Transport::Sse);
            let read = match begin {
                Begin::Resume(id) => read.last_event_id(id),
                begin => read.start(self.0.aim.start(begin)?),
            };
            self.0.open(read).await
        })
    }

    fn next(&mut self) -> Later<'_, Option<Event>> {
        Box::pin(self.0.next())
    }

    fn close(&mut self) {
        self.0.close();
    }

    fn cursor(&self) -> Option<String> {
        self.0.cursor.clone()
    }
}
