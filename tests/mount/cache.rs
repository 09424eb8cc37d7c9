//! The kernel's pages of a version outlive a close.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inxtfs::fs::{Config, Disk, Gauge};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method;

use super::harness::{Drive, Setup, noise};
use crate::programs::eventually;

/// A drive whose own cache can be made to let go of everything: then each read that the kernel sends is one of the cloud.
fn forgetful() -> (Setup, Arc<AtomicU64>) {
    let free = Arc::new(AtomicU64::new(1 << 40));
    let gauge = {
        let free = free.clone();
        Gauge::new(move |_| Some(Disk { total: 1 << 40, free: free.load(Ordering::Relaxed) }))
    };
    let mut setup = Setup::default();
    setup.config = Config { disk: gauge, sync_every: Duration::from_millis(20), ..setup.config };
    (setup, free)
}

fn forget(drive: &Drive, free: &AtomicU64) {
    free.store(0, Ordering::Relaxed);
    eventually("our cache lets go", || drive.status().cache_used == 0);
}

fn reads(drive: &Drive) -> usize {
    drive.cloud.calls().iter().filter(|c| c.method == Method::Read).count()
}

#[test]
fn opening_an_unchanged_version_again_reads_the_kernels_pages() {
    let (setup, free) = forgetful();
    let data = noise(300_000, 1);
    setup.cloud.add_file(&setup.cloud.account().root, RemoteName::split("f.bin"), &data);
    let drive = Drive::with(setup);
    // A name that appears is forgotten by the kernel, and its pages with it.
    eventually("the tree is known", || drive.status().hydrated);
    assert_eq!(fs::read(drive.path("f.bin")).unwrap(), data);
    forget(&drive, &free);
    let before = reads(&drive);
    for _ in 0..3 {
        assert_eq!(fs::read(drive.path("f.bin")).unwrap(), data);
    }
    assert_eq!(reads(&drive), before, "the kernel asked again");
    // And if it had asked, it would show here.
    drive.drop_pages();
    assert_eq!(fs::read(drive.path("f.bin")).unwrap(), data);
    assert!(reads(&drive) > before);
}

#[test]
fn an_upload_takes_no_pages_from_the_kernel() {
    let (setup, free) = forgetful();
    let data = noise(300_000, 2);
    let drive = Drive::with(setup);
    fs::write(drive.path("f.bin"), &data).unwrap();
    assert_eq!(fs::read(drive.path("f.bin")).unwrap(), data);
    drive.drain();
    forget(&drive, &free);
    let before = reads(&drive);
    assert_eq!(fs::read(drive.path("f.bin")).unwrap(), data);
    assert_eq!(reads(&drive), before, "the kernel asked again");
}
