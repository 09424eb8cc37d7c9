//! Block arithmetic.
