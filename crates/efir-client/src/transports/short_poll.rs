//! AJAX polling: one answer at once, with what there is. The batch is read in [`crate::batch`].

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
