//! efir-core
