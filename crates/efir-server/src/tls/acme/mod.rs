//! Certificates that are ordered (ACME, RFC 8555) instead of read from files: taken from the cache at the start, ordered and renewed on
//! a thread of its own. Handshakes see [`Ordered`] and nothing else; whatever goes wrong here never stops the server.

mod cache;
mod order;
mod ordered;
mod validity;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use tokio::sync::{Notify, watch};

pub(super) use self::ordered::Ordered;
use self::{
    cache::Cache,
    order::{Delivery, OrderError},
    ordered::Certificate,
    validity::Validity,
    wire::Wire,
};
use super::certificates;
use crate::config::{acme::AcmeOptions, resolved::CertificateFiles};

/// The protocol in which an authority comes and looks (RFC 8737 §6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";
/// How long an order may take in all.
const ORDER_MAX: Duration = Duration::from_secs(600);
/// Between two orders, however short the life of a certificate.
const ORDER_PAUSE: Duration = Duration::from_secs(60);
/// The longest sleep: the clock may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// Pauses after failures double from the first to the second. An authority that cannot be reached is asked soon again; one that has
/// refused counts how often (Let's Encrypt: five times an hour and name).
const UNREACHABLE_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
const REFUSED_PAUSES: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(6 * 3_600)];
/// What is logged of an authority's words.
const WHY_CHARS_MAX: usize = 1_000;

/// Orders certificates while it lives.
#[derive(Debug)]
pub(super) struct Acme {
    desk: Arc<Desk>,
    stop: watch::Sender<()>,
}

/// What an order needs.
#[derive(Debug)]
struct Desk {
    options: AcmeOptions,
    cache: Cache,
    wire: Wire,
    ordered: Arc<Ordered>,
    hurry: Notify,
}

impl Acme {
    /// Takes the certificate from the cache, if there is one that is still good. Nothing is ordered before [`Acme::begin`].
    ///
    /// # Errors
    /// The folder or the file with authorities is no good.
    pub(super) fn new(options: AcmeOptions) -> anyhow::Result<Self> {
        let (cache, wire) = (Cache::open(&options)?, Wire::new(&options)?);
        let ordered = Arc::new(Ordered::new(options.names.clone()));
        let desk = Desk { options, cache, wire, ordered, hurry: Notify::new() };
        desk.take_from_cache();
        Ok(Self { desk: Arc::new(desk), stop: watch::Sender::new(()) })
    }

    /// What handshakes see.
    pub(super) fn ordered(&self) -> Arc<Ordered> {
        Arc::clone(&self.desk.ordered)
    }

    /// Starts the thread; it ends when this is dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        let (desk, mut stopped) = (Arc::clone(&self.desk), self.stop.subscribe());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("efir-acme".into());
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = desk.keep() => {}
                    // Nothing is ever sent.
                    _ = stopped.changed() => {}
                }
            });
            // A lookup of a name may still hang in a thread of the runtime.
            runtime.shutdown_background();
        };
        thread.spawn(work).context("the thread that orders certificates")?;
        Ok(())
    }

    /// Ends the pause after a failure.
    pub(super) fn hurry(&self) {
        self.desk.hurry.notify_waiters();
    }
}

impl Desk {
    /// Keeps a certificate in force.
    async fn keep(&self) {
        let mut failures = 0;
        loop {
            let now = SystemTime::now();
            let wait = self.ordered.is_due().and_then(|due| due.duration_since(now).ok());
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                tokio::time::sleep(wait.min(SLEEP_MAX)).await;
                continue;
            }
            let placed = tokio::time::timeout(ORDER_MAX, order::place(self)).await;
            let late =
                || Err(OrderError::Refused(format!("no certificate came within {} s", ORDER_MAX.as_secs())));
            match placed.unwrap_or_else(|_| late()).and_then(|delivery| Ok(self.take(&delivery)?)) {
                Ok(()) => {
                    failures = 0;
                    tokio::time::sleep(ORDER_PAUSE).await;
                }
                Err(error) => {
                    self.pause(&error, failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// Tells why, and waits before the next attempt.
    async fn pause(&self, error: &OrderError, failures: u32) {
        let [first, last] = match error {
            OrderError::Unreachable(_) => UNREACHABLE_PAUSES,
            OrderError::Refused(_) => REFUSED_PAUSES,
        };
        let pause = first.saturating_mul(1 << failures.min(16)).min(last);
        // Not all servers of an authority's customers at once.
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        let why: String = error.to_string().chars().take(WHY_CHARS_MAX).collect();
        tracing::warn!(
            event = "certificate_not_ordered",
            names = self.options.names.join(" "),
            why,
            retry_s = pause.as_secs(),
            "no certificate could be ordered; it is tried again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.notified() => {}
        }
    }

    /// Puts what came into force, and into the cache.
    fn take(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let certificate = self.certificate(delivery.chain.as_bytes(), delivery.key.as_bytes())?;
        let until = until(&certificate);
        self.ordered.put(certificate);
        let text = format!("{}\n{}", delivery.chain.trim_end(), delivery.key);
        if let Err(error) = self.cache.write(&self.cache.certificate, text.as_bytes()) {
            let file = self.cache.certificate.display();
            tracing::error!(
                event = "certificate_not_cached",
                %file,
                %error,
                "the certificate is in force and cannot be written; the next start orders another one"
            );
        }
        let names = self.options.names.join(" ");
        tracing::info!(
            event = "certificate_ordered",
            names,
            until,
            "a certificate was ordered and is in force"
        );
        Ok(())
    }

    fn take_from_cache(&self) {
        let read = cache::read(&self.cache.certificate).map_err(anyhow::Error::from);
        let found = read.and_then(|text| text.map(|text| self.certificate(&text, &text)).transpose());
        let file = self.cache.certificate.display();
        match found {
            Ok(None) => {}
            Ok(Some(certificate)) => {
                let until = until(&certificate);
                self.ordered.put(certificate);
                tracing::info!(event = "certificate_cached", %file, until, "the certificate of before is in force");
            }
            Err(error) => tracing::warn!(
                event = "certificate_cache_bad",
                %file,
                error = format!("{error:#}"),
                "the certificate of before is of no use; another one is ordered"
            ),
        }
    }

    /// A certificate that is good now, and for all names.
    fn certificate(&self, chain: &[u8], key: &[u8]) -> anyhow::Result<Certificate> {
        let file = &self.cache.certificate;
        let files = CertificateFiles { certificate: file.clone(), key: file.clone() };
        let key = Arc::new(certificates::certified(&files, chain, key)?);
        let validity = key.cert.first().and_then(|first| Validity::of(first));
        let validity = validity.context("the certificate does not say from when until when it is good")?;
        if validity.ends <= SystemTime::now() {
            bail!("the certificate has expired");
        }
        for name in &self.options.names {
            let server_name = ServerName::try_from(name.as_str())?;
            if !certificates::is_for(&key, &server_name) {
                bail!("the certificate is not for {name}");
            }
        }
        Ok(Certificate { key, validity })
    }
}

/// Until when it is good, for people.
fn until(certificate: &Certificate) -> String {
    humantime::format_rfc3339_seconds(certificate.validity.ends).to_string()
}
