//! Ciphers, seals and hashes.

use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::BytesCount;
use inxtfs::crypto::seal::{Key, Seal, Sealer};
use inxtfs::crypto::{BucketKey, Cipher, ContentHasher, FileKey, Index};

use crate::noise;

/// As blocks are sealed, and as pieces of an upload go.
const SIZES: [usize; 2] = [64 << 10, 1 << 20];
const AAD: &[u8] = b"content, block, generation";

fn file_key() -> FileKey {
    BucketKey::derive(&[7; 64], &"ab".repeat(12)).unwrap().file_key(&Index::fresh().unwrap())
}

fn sealed(len: usize) -> (Sealer, Seal, Vec<u8>) {
    let sealer = Sealer::new(&Key::random().unwrap());
    let mut out = vec![0; len];
    let seal = sealer.seal_into(AAD, &noise(len), &mut out).unwrap();
    (sealer, seal, out)
}

#[divan::bench(args = SIZES)]
fn content_cipher(bencher: Bencher, len: usize) {
    let (key, mut bytes) = (file_key(), noise(len));
    bencher.counter(BytesCount::new(len)).bench_local(|| Cipher::at(&key, 4096).apply(&mut bytes));
}

#[divan::bench(args = SIZES)]
fn content_hash(bencher: Bencher, len: usize) {
    let bytes = noise(len);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let mut hasher = ContentHasher::default();
        hasher.update(divan::black_box(&bytes));
        hasher.finish()
    });
}

#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher, len: usize) {
    let (sealer, _, mut out) = sealed(len);
    let plain = noise(len);
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| sealer.seal_into(AAD, divan::black_box(&plain), &mut out).unwrap());
}

#[divan::bench(args = SIZES)]
fn open(bencher: Bencher, len: usize) {
    let (sealer, seal, bytes) = sealed(len);
    bencher.counter(BytesCount::new(len)).with_inputs(|| bytes.clone()).bench_local_values(|mut bytes| {
        sealer.open_in_place(AAD, &seal, &mut bytes).unwrap();
        bytes
    });
}

/// What portable AES cannot reach on any processor of today, and hardware exceeds on each.
const ONLY_HARDWARE: f64 = 0.7;

/// Says what the processor has, and whether the ciphers use it: the portable code takes some twenty cycles a byte, the
/// instructions one and less.
pub fn report_hardware() {
    let mut bytes = noise(1 << 20);
    let cipher = best(bytes.len(), || Cipher::at(&file_key(), 0).apply(&mut bytes));
    let (sealer, _, mut out) = sealed(bytes.len());
    let seal = best(bytes.len(), || {
        sealer.seal_into(AAD, &bytes, &mut out).unwrap();
    });
    println!("processor: {}", features());
    for (what, rate) in [("AES-256-CTR", cipher), ("AES-256-GCM", seal)] {
        let judged = match (has_aes(), rate > ONLY_HARDWARE) {
            (_, true) => "in hardware",
            (true, false) => "IN SOFTWARE, though the processor can",
            (false, false) => "in software, as the processor cannot",
        };
        println!("{what}: {judged} ({rate:.2} GB/s; portable code stays below {ONLY_HARDWARE})");
    }
}

/// Gigabytes a second, of the best of many tries.
fn best(len: usize, mut what: impl FnMut()) -> f64 {
    let times = (0..50).map(|_| {
        let start = Instant::now();
        what();
        start.elapsed()
    });
    len as f64 / times.min().unwrap_or(Duration::MAX).as_secs_f64() / 1e9
}

#[cfg(target_arch = "x86_64")]
fn features() -> String {
    let all = [
        ("aes", is_x86_feature_detected!("aes")),
        ("vaes", is_x86_feature_detected!("vaes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("vpclmulqdq", is_x86_feature_detected!("vpclmulqdq")),
        ("sha", is_x86_feature_detected!("sha")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    all.iter()
        .map(|(name, has)| format!("{}{name}", if *has { "" } else { "no " }))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn features() -> String {
    format!("aes {}, sha2 {}", has_aes(), std::arch::is_aarch64_feature_detected!("sha2"))
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}
