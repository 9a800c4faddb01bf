//! efir-client
