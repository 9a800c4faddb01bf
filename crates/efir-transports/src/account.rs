//! Who pays for what a request publishes. The carrier puts the [`Guest`] behind a request into its extensions, and whoever verified a
//! token or key puts a [`Holder`] there; without either nobody pays.

use std::sync::Arc;

use efir_engine::{Account, Guest, Holder};
use http::Extensions;

pub(crate) fn of(extensions: &Extensions) -> Account {
    if extensions.is_empty() {
        return Account::default();
    }
    let mut account = Account::of_guest(extensions.get::<Arc<Guest>>());
    account.set_holder(extensions.get::<Holder>().cloned());
    account
}
