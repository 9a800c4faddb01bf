//! efir
