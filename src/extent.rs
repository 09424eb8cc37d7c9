//! Byte-range sets.
