//! What channels keep by the rules of a gate: tells the hub, which knows no rules. Who may do what is not looked at here.

use std::sync::Arc;

use efir_access::{Gate, Rules};
use efir_engine::{Hub, OwnRetention, RetentionRules};
use parking_lot::Mutex;

/// The rules that the hub was told last.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<Arc<Rules>>>);

impl Kept {
    /// Tells the hub what the rules of the gate say, if they are others than so far: gates come also with new keys.
    pub(crate) fn follow(&self, hub: &Hub, gate: impl FnOnce() -> Arc<Gate>) {
        let mut told = self.0.lock();
        // Asked here, so that of two who replace gates at once the last one is heard.
        let rules = gate().parts().map(|parts| Arc::clone(&parts.rules));
        if *told != rules {
            hub.keep_by(rules.clone().and_then(retention_rules));
            *told = rules;
        }
    }
}

/// `None`: no rule says what is kept.
fn retention_rules(rules: Arc<Rules>) -> Option<RetentionRules> {
    let own: Vec<_> = rules
        .as_slice()
        .iter()
        .map(|rule| OwnRetention {
            messages_max: rule.options.retention_messages_max.unwrap_or(usize::MAX),
            bytes_max: rule.options.retention_bytes_max.unwrap_or(usize::MAX),
            age_ms_max: rule.options.retention_ms_max.unwrap_or(u64::MAX),
        })
        .collect();
    let says_something = own.iter().any(|own| *own != OwnRetention::NODE);
    says_something.then(|| RetentionRules::new(own, move |channel| rules.number_of(channel)))
}
