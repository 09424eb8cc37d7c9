//! Local persistent state.
