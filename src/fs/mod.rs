//! The drive as the user sees it.
