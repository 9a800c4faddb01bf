//! What handshakes see of orders: the certificate in force, and the answers to challenges while an order runs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustls::sign::CertifiedKey;

use super::validity::Validity;

/// Written by the thread that orders, read by handshakes.
#[derive(Debug)]
pub(crate) struct Ordered {
    names: Vec<String>,
    in_force: ArcSwapOption<Certificate>,
    /// By name; empty while no order runs.
    answers: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    has_told: AtomicBool,
}

/// A certificate for all names.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) validity: Validity,
}

impl Ordered {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            in_force: ArcSwapOption::empty(),
            answers: Mutex::default(),
            has_told: AtomicBool::new(false),
        }
    }

    /// Whether a certificate is ordered for this name.
    pub(in crate::tls) fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The certificate in force.
    pub(in crate::tls) fn shown(&self) -> Option<Arc<CertifiedKey>> {
        self.in_force.load().as_ref().map(|certificate| Arc::clone(&certificate.key))
    }

    /// What the authority wants to see under this name.
    pub(in crate::tls) fn answer(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.answers.lock().get(name).cloned()
    }

    /// Tells, once until there is a certificate, that somebody came before it.
    pub(in crate::tls) fn tell_missing(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                event = "certificate_missing",
                name,
                "a client came before the certificate that was ordered, and its handshake failed"
            );
        }
        None
    }

    /// When the next one is to be ordered; `None`: now.
    pub(super) fn is_due(&self) -> Option<SystemTime> {
        self.in_force.load().as_ref().map(|certificate| certificate.validity.is_due())
    }

    /// Connections that come from now on are shown this one.
    pub(super) fn put(&self, certificate: Certificate) {
        self.in_force.store(Some(Arc::new(certificate)));
        self.has_told.store(false, Ordering::Relaxed);
    }

    /// Answers the authority under this name, until [`Ordered::forget_answers`].
    pub(super) fn put_answer(&self, name: String, key: CertifiedKey) {
        self.answers.lock().insert(name, Arc::new(key));
    }

    pub(super) fn forget_answers(&self) {
        self.answers.lock().clear();
    }
}
