//! Which channels the worker watches for a connection, as its reader joins and leaves them.

use super::{Worker, watched::Subscriber};
use crate::{
    reader::{Change, Reader},
    seam::Seam,
};

impl Worker {
    /// Watches what the reader joined and lets go of what it left.
    pub(super) fn follow_changes(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        for change in connection.reader.take_changes() {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            match change {
                Change::Joined { subscription } => {
                    let Some(name) = connection.reader.name(subscription).cloned() else { continue };
                    let subscriber = Subscriber { connection: key, subscription };
                    let (channel, slot, place) = self.watched.add(&self.hub, &self.intake, &name, subscriber);
                    connection.reader.attach(subscription, channel, (slot, place));
                    self.hub.seams().pass(Seam::Watched, &name);
                }
                Change::Left { slot, place } => self.unwatch(slot, place),
            }
        }
    }

    pub(super) fn unwatch(&mut self, slot: u32, place: u32) {
        let Some(moved) = self.watched.remove(slot, place) else { return };
        if let Some(connection) = self.connections.get_mut(moved.connection as usize) {
            connection.reader.set_place(moved.subscription, place);
        }
    }

    pub(super) fn leave_all(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let fresh = Reader::new(self.hub.clone());
        let left = std::mem::replace(&mut connection.reader, fresh);
        self.leave(left);
    }

    pub(super) fn leave(&mut self, reader: Reader) {
        for (slot, place) in reader.into_places() {
            self.unwatch(slot, place);
        }
    }
}
