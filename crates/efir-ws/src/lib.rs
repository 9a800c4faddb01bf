//! efir-ws
