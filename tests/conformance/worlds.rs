//! The implementations.

use std::sync::Arc;

use async_trait::async_trait;
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{NodeId, Version};

use super::{Harness, World};

pub async fn memory() -> Harness {
    let cloud = Memory::new();
    harness(&cloud)
}

/// The injector without a plan must not be noticed.
pub async fn fault_over_memory() -> Harness {
    let cloud = Memory::new();
    let mut harness = harness(&cloud);
    harness.remote = Fault::new(harness.remote, 1);
    harness.second = Fault::new(harness.second, 2);
    harness
}

fn harness(cloud: &Memory) -> Harness {
    Harness {
        remote: cloud.client("first"),
        second: cloud.client("second"),
        world: Arc::new(InMemory(cloud.clone())),
        affordable_rows: 2500,
        large_upload: Some(3 << 20),
    }
}

struct InMemory(Memory);

#[async_trait]
impl World for InMemory {
    async fn set_plan(&self, quota: u64, max_file: u64, empty_files: u64) -> bool {
        self.0.set_plan(|plan| {
            plan.quota = quota;
            plan.max_file = Some(max_file);
            plan.empty_files = empty_files;
        });
        true
    }

    async fn corrupt(&self, version: &Version) -> bool {
        assert!(self.0.corrupt(version));
        true
    }

    async fn lose(&self, version: &Version) -> bool {
        assert!(self.0.remove_object(version));
        true
    }

    async fn bulk_stamp(&self, ids: &[NodeId]) -> bool {
        self.0.bulk_stamp(ids);
        true
    }

    async fn settle(&self) -> bool {
        self.0.settle();
        true
    }

    async fn other_bucket(&self) -> Option<String> {
        Some(self.0.add_bucket())
    }

    async fn check(&self) {
        if let Err(found) = self.0.check() {
            panic!("data was harmed:\n{found}");
        }
    }
}
