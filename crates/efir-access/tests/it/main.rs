//! The room from outside: tokens that must be refused and those that must not, other people's tokens, and a million
//! questions to the gate and to a reference that is written differently.

mod checks;
mod corpus;
mod corpus_claims;
mod corpus_header;
mod corpus_signature;
mod forge;
mod interop;
mod keysets;
mod mutations;
