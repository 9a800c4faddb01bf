//! Everything that is not a channel: the web page, files of `--static`, and the traffic report.

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{AppendHeaders, IntoResponse, Response},
    routing::get,
};
use rust_embed::{Embed, EmbeddedFile};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

use crate::traffic::{Report, Traffic};

/// The page's build; made by the crate's build script.
#[derive(Embed)]
#[folder = "$OUT_DIR/page"]
struct Page;

/// Clients that one traffic report names at most.
const CLIENTS_MAX: usize = 64;

/// The name of the page's build for `/info`: `full`, or `plain` where the binary was built without Node.
pub(crate) fn build() -> String {
    let build =
        Page::get("build.json").and_then(|file| serde_json::from_slice::<serde_json::Value>(&file.data).ok());
    let name = build.as_ref().and_then(|build| build.get("page")).and_then(serde_json::Value::as_str);
    name.unwrap_or("plain").to_owned()
}

/// The routes; files of `static_dir` come before those of the page.
pub(crate) fn router(traffic: Arc<Traffic>, static_dir: Option<&Path>) -> Router {
    let router = Router::new().route("/traffic", get(report)).with_state(traffic);
    let nosniff = SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    match static_dir {
        Some(dir) => router.fallback_service(ServeDir::new(dir).fallback(get(page))).layer(nosniff),
        None => router.fallback(get(page)).layer(nosniff),
    }
}

async fn report(
    State(traffic): State<Arc<Traffic>>,
    RawQuery(query): RawQuery,
) -> (AppendHeaders<[(HeaderName, &'static str); 1]>, Json<Report>) {
    let query = query.unwrap_or_default();
    let clients = query.split('&').filter_map(|pair| pair.strip_prefix("client="));
    let clients: Vec<String> = clients.take(CLIENTS_MAX).map(str::to_owned).collect();
    (AppendHeaders([(header::CACHE_CONTROL, "no-store")]), Json(traffic.report(&clients)))
}

async fn page(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let Some(file) = Page::get(path) else {
        let text =
            format!("efir has no page at /{path}; its web page is at /, channels are at /channels/NAME\n");
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let etag = etag(&file);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // Names under assets/ contain a hash of their content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = content_type(path);
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache), (header::ETAG, etag.as_str())];
    (headers, file.data.into_owned()).into_response()
}

fn etag(file: &EmbeddedFile) -> String {
    let hash: String = file.metadata.sha256_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
