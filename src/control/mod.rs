//! The control socket of a running mount.
