//! Runs of the load tool on a server of ours, and what of their figures goes into a point.

use std::sync::Arc;

use anyhow::{Result, bail};
use efir_bench::efir::HttpPublisher;
use efir_bench::{Efir, Figures, Load, Pace, Publish, Target, Transport, run};

use super::figures::Point;
use super::spent;
use crate::server::Server;

/// This server, read on a transport; messages come by HTTP.
pub(super) fn target(server: &Server, transport: Transport) -> Target {
    let host = server.address().to_string();
    published_by(server, transport, Arc::new(HttpPublisher::new(&host, "")))
}

/// The same with another way to publish.
pub(super) fn published_by(server: &Server, transport: Transport, publish: Arc<dyn Publish>) -> Target {
    let address = server.address();
    let subscribe = Arc::new(Efir::new(transport, &address.to_string()));
    Target { destination: address.into(), subscribe, publish, processes: vec![server.process()] }
}

/// Runs it.
///
/// # Errors
/// When a message was lost, came twice or out of order, a connection ended, or nothing was published.
pub(super) fn measure(load: &Load, target: &Target) -> Result<Figures> {
    let figures = run(load, target, &mut |_| ())?;
    if figures.seen.ended > 0 {
        let why = figures.seen.why.as_deref().unwrap_or_default();
        bail!("{} connections ended: {why}", figures.seen.ended);
    }
    if !figures.faults.is_none() {
        bail!("lost / duplicated / reordered: {}", figures.faults);
    }
    if figures.published == 0 || figures.cpu.is_none() {
        bail!("nothing was published, or the server's CPU could not be seen");
    }
    Ok(figures)
}

/// CPU, rate, latency where messages had a planned time, how busy the tool was, and what is to be said about it.
pub(super) fn point(at: u64, load: &Load, figures: &Figures) -> Point {
    let (user, system) = figures.cpu_us().unwrap_or_default();
    let mut point = Point::at(at)
        .with("rate", figures.published_per_second())
        .with("cpu_us", user + system)
        .with("server", figures.cores().unwrap_or_default() * 100.0);
    if spent::divides(figures.cpu.unwrap_or_default()) {
        point = point.with("user_us", user);
    }
    if load.subscribers > 0 {
        point = point.with("deliveries", figures.delivered_per_second());
    }
    if matches!(load.pace, Pace::PerSecond(_)) {
        let ms = |share| figures.seen.latency.quantile(share) as f64 / 1e3;
        point = point.with("p50_ms", ms(0.5)).with("p99_ms", ms(0.99));
    }
    let tool = figures.reading + figures.publishing;
    point.tool_share = tool.as_secs_f64() / figures.measured.as_secs_f64();
    point.notes = figures.warnings();
    point
}
