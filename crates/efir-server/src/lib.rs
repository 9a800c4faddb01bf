//! efir-server
