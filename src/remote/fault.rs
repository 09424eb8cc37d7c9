//! Failures on demand.
