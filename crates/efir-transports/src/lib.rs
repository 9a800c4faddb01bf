//! efir-transports
