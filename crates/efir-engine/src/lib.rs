//! efir-engine
