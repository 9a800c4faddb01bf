//! The rules of the log, by example; against a naive model in `tests/log_model.rs`.
