//! What all requests share: the hub, the policy, and whether the node is going away.

use std::sync::Arc;

use efir_engine::Hub;

use crate::policy::Policy;

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
}

impl Site {
    /// A site over a hub.
    pub fn new(hub: Hub, options: SiteOptions) -> Self {
        Self(Arc::new(Inner { hub, options }))
    }

    /// The site after its configuration was read again, for requests that come from now on.
    #[must_use]
    pub fn renewed(&self, hub: Hub, options: SiteOptions) -> Self {
        Self(Arc::new(Inner { hub, options }))
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
