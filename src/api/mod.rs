//! Internxt's wire.
