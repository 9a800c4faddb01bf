//! The `Date` header of heads that we write ourselves, formatted once a second and thread.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

thread_local! {
    static CACHED: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
}

/// The time of now in the form of RFC 9110 §5.6.7.
pub(crate) fn now() -> HeaderValue {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    CACHED.with_borrow_mut(|(cached, value)| {
        if *cached != second
            && let Ok(made) =
                HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)))
        {
            (*cached, *value) = (second, made);
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_an_http_date() {
        let text = super::now();
        assert!(httpdate::parse_http_date(text.to_str().unwrap()).is_ok());
    }
}
