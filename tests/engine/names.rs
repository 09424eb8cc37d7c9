//! Names and places.
