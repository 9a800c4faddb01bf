//! What all requests share: the hub, the policy, and whether the node is going away.

use std::sync::Arc;

use efir_engine::Hub;

use efir_access::{Gate, Tickets};

use crate::{access::Access, info, policy::Policy};

/// How a site presents itself.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    /// Who is answered.
    pub policy: Policy,
    /// The name in `/info`; empty: `efir`.
    pub name: String,
    /// The version in `/info`; empty: that of this crate.
    pub version: String,
    /// The name of the web page's build in `/info`, where there is a page.
    pub page: Option<String>,
    /// Whether the server has a transport lab that is on.
    pub has_lab: bool,
    /// Whether messages are compressed on the WebSockets of clients that offer it (permessage-deflate, RFC 7692).
    pub has_websocket_deflate: bool,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            name: String::new(),
            version: String::new(),
            page: None,
            has_lab: false,
            has_websocket_deflate: true,
        }
    }
}

/// A hub with all that is needed to answer requests for it. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    options: SiteOptions,
    access: Arc<Access>,
    last_info: info::Last,
}

impl Site {
    /// A site over a hub, where everybody may do everything.
    pub fn new(hub: Hub, options: SiteOptions) -> Self {
        Self::with_access(hub, options, Access::open())
    }

    /// A site over a hub, who may do what there, and what its channels keep. Of several sites over one hub at most one may have
    /// rules that say what is kept.
    pub fn with_access(hub: Hub, options: SiteOptions, access: Access) -> Self {
        access.keep(&hub);
        Self(Arc::new(Inner { hub, options, access: Arc::new(access), last_info: info::Last::default() }))
    }

    /// The site after its configuration was read again, for requests that come from now on.
    #[must_use]
    pub fn renewed(&self, hub: Hub, options: SiteOptions) -> Self {
        let access = Arc::clone(&self.0.access);
        Self(Arc::new(Inner { hub, options, access, last_info: info::Last::default() }))
    }

    pub(crate) fn last_info(&self) -> &info::Last {
        &self.0.last_info
    }

    /// Who may do what; the same for all that [`Site::renewed`] makes of a site.
    pub fn access(&self) -> &Arc<Access> {
        &self.0.access
    }

    /// From now on this gate judges, also those who are connected already, and channels keep what its rules say.
    pub fn replace_gate(&self, gate: Gate) {
        self.0.access.replace_gate(gate);
        self.0.access.keep(&self.0.hub);
        self.0.hub.recheck();
    }

    /// From now on this makes tickets, and no other one is accepted. Goes before [`Site::replace_gate`], which looks at those
    /// who are connected.
    pub fn replace_tickets(&self, tickets: Arc<Tickets>) {
        self.0.access.replace_tickets(tickets);
    }

    /// Those who are connected are judged again: somebody was revoked.
    pub fn recheck(&self) {
        self.0.access.touch();
        self.0.hub.recheck();
    }

    /// The hub that is read from and published to.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Who is answered.
    pub fn policy(&self) -> &Policy {
        &self.0.options.policy
    }

    /// Whether the hub drains: streams, sockets and held polls are sent elsewhere.
    pub fn is_draining(&self) -> bool {
        self.0.hub.is_draining()
    }

    /// How it presents itself.
    pub fn options(&self) -> &SiteOptions {
        &self.0.options
    }
}
