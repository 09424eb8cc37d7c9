//! Tests of the filesystem over the cloud in memory.
