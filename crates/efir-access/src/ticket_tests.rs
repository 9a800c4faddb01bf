//! Tickets, real and forged.
