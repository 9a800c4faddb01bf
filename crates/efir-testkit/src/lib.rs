//! efir-testkit
