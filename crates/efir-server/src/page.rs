//! Everything that is not a channel: the web page, files of `--static`, and the traffic report.

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
    routing::get,
};
use efir_core::{Code, Problem};
use rust_embed::{Embed, EmbeddedFile};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

use crate::{
    guard::guard,
    reload::Reloader,
    traffic::{Report, Traffic},
};

/// The page's build; made by the crate's build script.
#[derive(Embed)]
#[folder = "$OUT_DIR/page"]
struct Page;

const TRAFFIC: &str = "/traffic";
const TRAFFIC_METHODS: &str = "GET, HEAD, OPTIONS";
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
pub(crate) fn router(traffic: Arc<Traffic>, static_dir: Option<&Path>, reloader: &Arc<Reloader>) -> Router {
    let report = get(report).fallback(wrong_method);
    let router = Router::new().route(TRAFFIC, report).with_state(traffic);
    let nosniff = SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let router = match static_dir {
        Some(dir) => {
            let files = Router::new()
                .fallback_service(ServeDir::new(dir).fallback(get(page)))
                .layer(middleware::from_fn(keep_hidden));
            router.fallback_service(files)
        }
        None => router.fallback(get(page)),
    };
    router.layer(nosniff).layer(middleware::from_fn_with_state(Arc::clone(reloader), share))
}

/// Pages of other origins that may use this server may also take its client from it, and see what they cost.
async fn share(State(reloader): State<Arc<Reloader>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !matches!(path, "/efir.js" | TRAFFIC) {
        return next.run(request).await;
    }
    let is_preflight = path == TRAFFIC && request.method() == Method::OPTIONS;
    let (parts, body) = request.into_parts();
    if is_preflight {
        return reloader.site().policy().preflight(&parts, TRAFFIC_METHODS).map(Body::from);
    }
    let mut response = next.run(Request::from_parts(parts.clone(), body)).await;
    reloader.site().policy().share(&parts, response.headers_mut());
    response
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

/// Whoever serves a folder does not mean its `.env` and `.git`. Text gets the encoding that all of efir's has.
async fn keep_hidden(request: Request, next: Next) -> Response {
    let mut segments = request.uri().path().split('/');
    // An encoded dot is a dot.
    let is_hidden = |segment: &str| {
        (segment.starts_with('.') || segment.to_ascii_lowercase().starts_with("%2e"))
            && segment != ".well-known"
    };
    if segments.any(is_hidden) {
        return (StatusCode::NOT_FOUND, "files whose names begin with a dot are not served\n")
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let bare = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let bare = bare.filter(|kind| kind.starts_with("text/") && !kind.contains("charset"));
    if let Some(kind) = bare.and_then(|kind| HeaderValue::from_str(&format!("{kind}; charset=utf-8")).ok()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn wrong_method(method: Method) -> Response {
    let problem = Problem::new(
        Code::MethodNotAllowed,
        format!("{method} is not among the methods of {TRAFFIC}: {TRAFFIC_METHODS}"),
    );
    let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::ALLOW, TRAFFIC_METHODS)];
    (StatusCode::METHOD_NOT_ALLOWED, headers, problem.to_json()).into_response()
}

/// What a path of the page leads to.
enum Found {
    /// A file, under the path that it is embedded by.
    File(String, EmbeddedFile),
    /// A folder with an index, asked for without the slash that its relative links need.
    Folder,
    Nothing,
}

/// A path that ends in a slash means the `index.html` there.
fn find(path: &str) -> Found {
    let file =
        if path.is_empty() || path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
    match Page::get(&file) {
        Some(content) => Found::File(file, content),
        None if Page::get(&format!("{path}/index.html")).is_some() => Found::Folder,
        None => Found::Nothing,
    }
}

async fn page(uri: Uri, headers: HeaderMap) -> Response {
    let mut response = content(&uri, &headers);
    guard(uri.path().trim_start_matches('/'), response.headers_mut());
    response
}

fn content(uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (path, file) = match find(path) {
        Found::File(path, file) => (path, file),
        Found::Folder => return into_folder(path, uri.query()),
        Found::Nothing => return nothing(path),
    };
    let etag = etag(&file);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // Names under assets/ contain a hash of their content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = content_type(&path);
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache), (header::ETAG, etag.as_str())];
    (headers, file.data.into_owned()).into_response()
}

fn nothing(path: &str) -> Response {
    let first = path.split('/').next().unwrap_or_default();
    let text = if matches!(first, "efir.js" | "efir.tgz" | "lab" | "demos" | "by-hand") && build() == "plain"
    {
        format!(
            "there is no /{path} in this efir: it was built without its pages and its client, which need Node 20 or newer (and no \
             EFIR_PAGE=plain); channels are at /channels/NAME\n"
        )
    } else {
        format!("efir has no page at /{path}; its web page is at /, channels are at /channels/NAME\n")
    };
    (StatusCode::NOT_FOUND, text).into_response()
}

/// Relative, since a proxy may have this server under a path of its own.
fn into_folder(path: &str, query: Option<&str>) -> Response {
    let name = path.rsplit('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{name}/{query}")).into_response()
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
        "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}
