//! An Internxt-compatible local server.
