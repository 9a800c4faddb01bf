//! What browsers are told to refuse on efir's own pages: a strict Content-Security-Policy, and its companions.
//!
//! Only for files that are built into the binary: what somebody serves with `--static` has needs of its own. Knows paths and
//! headers, nothing of what the pages do.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing but what this server itself serves, and none of it inline (CSP level 3). `connect-src 'self'` covers the
/// WebSockets of the same host. No page makes markup out of text, so that no Trusted Types policy may exist. In nobody's frame.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                       connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                       frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What a page may ask the visitor for.
const NOTHING: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";
/// The same for the demo that calls by video.
const CALL: &str = "camera=(self), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()";
const CALL_PATH: &str = "demos/call/";

/// The rest. Of a foreign window that opened a page, or was opened by one, neither sees the other. `same-origin` in
/// Cross-Origin-Resource-Policy keeps others from embedding; whoever CORS lets in still imports `efir.js`, for modules are
/// fetched with CORS.
const OTHERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer` some requests of our own pages would have the origin `null`.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds them to the answer to `path`, which begins without a slash.
pub(crate) fn guard(path: &str, headers: &mut HeaderMap) {
    let permissions = if path.starts_with(CALL_PATH) { CALL } else { NOTHING };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT));
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(permissions));
    for (name, value) in OTHERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_call_may_ask_for_a_camera() {
        for (path, may) in
            [("", false), ("demos/call/", true), ("demos/call/main.js", true), ("demos/news/", false)]
        {
            let mut headers = HeaderMap::new();
            guard(path, &mut headers);
            let permissions = headers["permissions-policy"].to_str().unwrap();
            assert_eq!(permissions.contains("camera=(self)"), may, "{path}");
        }
    }

    #[test]
    fn nothing_inline_and_nothing_foreign_is_allowed() {
        assert!(CONTENT.starts_with("default-src 'none';"));
        for loose in ["unsafe-inline", "unsafe-eval", "unsafe-hashes", "*", "http", "data:", "blob:", "  "] {
            assert!(!CONTENT.contains(loose), "{loose}");
        }
    }
}
