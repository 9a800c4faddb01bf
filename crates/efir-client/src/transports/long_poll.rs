//! Long polling: one answer at the first messages, or empty when the hold time is over. Dropping the pending call aborts
//! the request and loses nothing, because the cursor is the caller's. The batch is read in [`crate::batch`].

use crate::batch;
use crate::client::Client;
use crate::error::ClientError;
use crate::read::Read;
use crate::subscription::Subscription;
use crate::transports::ask;

pub(crate) async fn open(client: &Client, read: &Read) -> Result<Subscription, ClientError> {
    let answer = ask(client, read, "application/json").await?.read_all().await?;
    batch::subscription(&answer)
}
