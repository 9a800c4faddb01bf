//! One order: the account, the challenges (TLS-ALPN-01, RFC 8737), the certificate.

use std::time::Duration;

use anyhow::Context;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    crypto::aws_lc_rs::sign::any_ecdsa_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::{Desk, cache, ordered::Ordered, wire::WireError};

/// How an order is asked about: often at first, and no longer than this.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// What an authority says of an account that it has forgotten (RFC 8555 §6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why no certificate came.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority could not be asked.
    #[error("{0}")]
    Unreachable(String),
    /// It was asked, and does not give one. It counts how often that happens.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Other(cause) if cause.is::<WireError>() => Self::Unreachable(error.to_string()),
            Error::Api(problem) => Self::Refused(words(problem)),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<anyhow::Error> for OrderError {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(format!("{error:#}"))
    }
}

/// What came: texts in PEM.
pub(super) struct Delivery {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Orders a certificate for all names.
pub(super) async fn place(desk: &Desk) -> Result<Delivery, OrderError> {
    let names: Vec<_> = desk.options.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = match account(desk).await?.new_order(&NewOrder::new(&names)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
            // It is of no use any more.
            let _ = std::fs::remove_file(&desk.cache.account);
            account(desk).await?.new_order(&NewOrder::new(&names)).await?
        }
        placed => placed?,
    };
    let _answers = Answers(&desk.ordered);
    answer(&mut order, &desk.ordered).await?;
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(why(&mut order, "the authority refused the order and does not say why").await),
        Err(Error::Api(problem)) => return Err(why(&mut order, &words(&problem)).await),
        Err(error) => return Err(error.into()),
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(Delivery { chain, key })
}

/// The account of before, or a new one.
async fn account(desk: &Desk) -> Result<Account, OrderError> {
    let shown = || desk.cache.account.display().to_string();
    let known = cache::read(&desk.cache.account).with_context(shown)?;
    let builder = Account::builder_with_http(Box::new(desk.wire.clone()));
    // One that cannot be read is worth no more than none: it has nothing but a key.
    if let Some(known) = known.and_then(|text| serde_json::from_slice(&text).ok()) {
        return Ok(builder.from_credentials(known).await?);
    }
    let contacts: Vec<_> = desk.options.contacts.iter().map(|address| format!("mailto:{address}")).collect();
    let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
    // Without that agreement in the configuration nothing comes here.
    let fresh = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
    let customer = desk.options.customer.as_ref();
    let customer = customer.map(|customer| ExternalAccountKey::new(customer.key_id.clone(), &customer.key));
    let directory = desk.options.directory.to_string();
    let (account, credentials) = builder.create(&fresh, directory, customer.as_ref()).await?;
    let text = serde_json::to_vec(&credentials).context("the account")?;
    desk.cache.write(&desk.cache.account, &text).with_context(shown)?;
    Ok(account)
}

/// Lets the authority see what it wants to see, under each name.
async fn answer(order: &mut Order, ordered: &Ordered) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            let why = format!("the authority does not offer the challenge tls-alpn-01 for {name}");
            return Err(OrderError::Refused(why));
        };
        let digest = challenge.key_authorization().digest();
        ordered.put_answer(name.clone(), certificate_of(name, digest.as_ref())?);
        challenge.set_ready().await?;
    }
    Ok(())
}

/// The certificate with which a server proves that it is reached under a name.
fn certificate_of(name: String, digest: &[u8]) -> anyhow::Result<CertifiedKey> {
    let mut params = CertificateParams::new(vec![name])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let pair = KeyPair::generate()?;
    let certificate = params.self_signed(&pair)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    Ok(CertifiedKey::new(vec![certificate.der().clone()], any_ecdsa_type(&key)?))
}

/// What the authority did not like, name by name; `otherwise` where it does not say that.
async fn why(order: &mut Order, otherwise: &str) -> OrderError {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        told.extend(errors.map(|error| format!("{name}: {}", words(error))));
    }
    OrderError::Refused(if told.is_empty() { otherwise.to_owned() } else { told.join("; ") })
}

/// An authority's own words, with the kind of the problem (RFC 8555 §6.7), and those about single names.
fn words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    let parts = problem.subproblems.iter().map(|part| format!("; {part}"));
    format!("{} ({kind}){}", problem.detail.as_deref().unwrap_or("no words"), parts.collect::<String>())
}

/// Nobody has anything to see once an order is over.
struct Answers<'a>(&'a Ordered);

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.0.forget_answers();
    }
}
