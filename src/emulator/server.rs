//! Stub of the other half.
use std::sync::Arc;

use super::events::Hub;
use super::knobs::Knobs;
use super::network::Network;
use super::world::World;

/// Stub.
pub struct Shared {
    /// Stub.
    pub world: Arc<World>,
    /// Stub.
    pub network: Arc<Network>,
    /// Stub.
    pub hub: Arc<Hub>,
    /// Stub.
    pub knobs: Arc<Knobs>,
}
