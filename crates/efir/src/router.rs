//! All transports as an axum router, over bodies that axum's own server polls. Knows no listener: use it where axum runs, on any
//! tokio runtime.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, header::CONTENT_LENGTH};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use efir_engine::{Hub, contained};
use efir_transports::{CarrierHint, Reply, Site, SiteOptions, handle};

/// Every path that efir answers. What is not there below them is told as a problem, too.
const PATHS: [&str; 15] = [
    "/channels",
    "/channels/",
    "/channels/{*name}",
    "/subscribe",
    "/subscribe/",
    "/subscribe/{*rest}",
    "/socket",
    "/socket/",
    "/socket/{*rest}",
    "/info",
    "/info/",
    "/info/{*rest}",
    "/tickets",
    "/tickets/",
    "/tickets/{*rest}",
];
/// Between two visits to what has expired.
const SWEEP_PERIOD: Duration = Duration::from_millis(250);

/// A router with every transport, for `Router::merge` at the root of an application.
///
/// Pages of the same origin and of loopback may read and publish; see [`router_with`] for others.
pub fn router(hub: Hub) -> Router {
    router_with(hub, SiteOptions::default())
}

/// The same with a say in who is answered and how the site presents itself.
///
/// ```
/// use efir::{Hub, Limits, Policy, RouterOptions, Times};
///
/// let policy = Policy { allow_origins: vec!["https://app.example".into()], ..Policy::default() };
/// let options = RouterOptions { policy, ..RouterOptions::default() };
/// let app = efir::router_with(Hub::new(Limits::default(), Times::default()), options);
/// # let _: axum::Router = app;
/// ```
pub fn router_with(hub: Hub, options: SiteOptions) -> Router {
    router_of(Site::new(hub, options))
}

/// The same over a site, which the application keeps a clone of: it says who may do what ([`Site::with_access`]), now and anew
/// ([`Site::replace_gate`]).
pub fn router_of(site: Site) -> Router {
    let mounted = Arc::new(Mounted { site, is_swept: AtomicBool::new(false) });
    let router = PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, any(answer)));
    router.with_state(mounted)
}

struct Mounted {
    site: Site,
    /// Somebody frees what has expired.
    is_swept: AtomicBool,
}

async fn answer(State(mounted): State<Arc<Mounted>>, request: Request) -> Response {
    // Begun by the first request, because a router may be made before there is a runtime.
    if !mounted.is_swept.swap(true, Ordering::Relaxed) {
        tokio::spawn(sweep(Arc::downgrade(&mounted)));
    }
    let is_head = request.method() == Method::HEAD;
    match handle(&mounted.site, request, CarrierHint::Polled).await {
        Reply::Whole(response) if is_head && !response.headers().contains_key(CONTENT_LENGTH) => {
            response.map(|_| Body::new(efir_transports::Body::nothing()))
        }
        Reply::Whole(response) => response.map(Body::from),
        Reply::Batch(response) => response.map(|pieces| Body::new(efir_transports::Body::from(pieces))),
        Reply::Held(held) => held.into_response().await.map(Body::new),
    }
}

/// Ends with the router.
async fn sweep(mounted: Weak<Mounted>) {
    loop {
        tokio::time::sleep(SWEEP_PERIOD).await;
        let Some(mounted) = mounted.upgrade() else { return };
        let hub = mounted.site.hub();
        contained(hub.counters(), "a sweep of channels", || hub.sweep());
    }
}
