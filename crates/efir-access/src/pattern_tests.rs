//! Patterns against a naive reading of them.
