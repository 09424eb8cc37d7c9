//! What we write, a program that shares no line with us can read: `independent_decrypt.py` over the wire.

// Tests fail by panicking.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use inxtfs::api::Gateway;
use inxtfs::emulator::{Config, Emulator};
use inxtfs::names::RemoteName;
use inxtfs::remote::internxt::{Internxt, Options};
use inxtfs::remote::session::{self, FileSecrets, Login, Secrets};
use inxtfs::remote::{Body, NewFile, Remote};
use inxtfs::types::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// `INXTFS_PYTHON` (which `scripts/test` sets), else the system's Python if it has the library.
fn python() -> Option<String> {
    if let Ok(python) = std::env::var("INXTFS_PYTHON") {
        return Some(python);
    }
    let probe = Command::new("python3").args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
    probe.is_ok_and(|s| s.success()).then(|| "python3".to_owned())
}

fn read_independently(python: &str, gateway: &str, path: &str) -> serde_json::Value {
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent_decrypt.py"))
        .args([gateway, "demo@inxtfs.local", path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"demo\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_program_reads_what_we_upload() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "CI must have Python's cryptography");
        eprintln!("skipped: no Python with the package cryptography (scripts/setup installs it)");
        return;
    };
    let tmp = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(Config::default()).unwrap();
    let gateway = Gateway::parse(&emulator.gateway()).unwrap();
    let secrets: Arc<dyn Secrets> = Arc::new(FileSecrets::new(tmp.path().join("credentials")));
    let password = SecretString::from("demo");
    let login = Login { email: "demo@inxtfs.local".to_owned(), password, totp: None, backup_key: None };
    secrets.save(&session::login(&gateway, login).await.unwrap()).unwrap();
    let remote = Internxt::connect(secrets, Options::default()).unwrap();

    let plain: Vec<u8> = (0..300_001_u32).flat_map(|i| i.to_le_bytes()).collect();
    let now = Timestamp::now();
    let folder = remote.mkdir(&remote.account().root, "Größe ✓", now, now).await.unwrap();
    let content = remote.put(None, Body::from_bytes(Bytes::from(plain.clone()))).await.unwrap();
    let file = NewFile {
        parent: folder.id,
        name: RemoteName::split("data.tar.gz"),
        content: Some(content),
        size: plain.len() as u64,
        modified: now,
        created: now,
    };
    let row = remote.create(&file).await.unwrap();

    let url = emulator.gateway();
    let read = tokio::task::spawn_blocking(move || read_independently(&python, &url, "/Größe ✓/data.tar.gz"));
    let read = read.await.unwrap();
    assert_eq!(read["sha256"], hex::encode(Sha256::digest(&plain)));
    assert_eq!(read["size"], plain.len());
    assert_eq!(read["uuid"], row.id.as_str());
    emulator.shutdown().await.unwrap();
}
