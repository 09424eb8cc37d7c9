//! Something to look at: a few folders and files, put into the first account as a client would.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bip39::Mnemonic;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use ripemd::Ripemd160;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use tower_service::Service as _;

use super::wire::random_hex;
use super::{AccountSummary, Shared};

/// Folders by path; parents first.
const FOLDERS: [&str; 4] = ["Samples", "Samples/Letters", "Samples/Pictures", "Samples/Letters/Drafts"];

/// Puts the samples into the first account. An account that has them is left as it is.
pub(super) async fn fill(shared: &Shared, drive: Router) -> io::Result<()> {
    let Some(account) = shared.world.accounts().into_iter().next() else { return Ok(()) };
    let token = shared.world.issue_token(&account.email, Duration::from_secs(60));
    let token = token.ok_or_else(|| io::Error::other("the first account cannot log in"))?;
    let mut hand = Hand { shared, drive, token, account };
    let mut folders: Vec<(&str, String)> = vec![("", hand.account.root.clone())];
    let uuid_of = |folders: &[(&str, String)], path: &str| {
        folders.iter().find(|(known, _)| *known == path).map(|(_, uuid)| uuid.clone()).unwrap_or_default()
    };
    for path in FOLDERS {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match hand.mkdir(&uuid_of(&folders, parent), name).await? {
            Some(uuid) => folders.push((path, uuid)),
            None => return Ok(()),
        }
    }
    for (folder, name, kind, content) in files() {
        hand.upload(&uuid_of(&folders, folder), name, kind, content).await?;
    }
    Ok(())
}

fn files() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("Samples", "Read me", "txt", text("These files live in the emulator. Do to them what you like.\n")),
        ("Samples/Letters", "Invitation", "txt", text("Come on Sunday. Bring cake.\n")),
        ("Samples/Letters/Drafts", "Novel", "md", text("# Chapter 1\n\nIt was a dark and stormy night.\n")),
        ("Samples/Pictures", "Dawn", "ppm", picture(640, 360)),
    ]
}

/// A gradient, in the simplest of picture formats.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut picture = format!("P6 {width} {height} 255\n").into_bytes();
    for y in 0..height {
        for x in 0..width {
            let level = |part: u32, whole: u32| u8::try_from(part * 255 / whole).unwrap_or(u8::MAX);
            picture.extend([level(y, height), level(x, width) / 2, 255 - level(y, height)]);
        }
    }
    picture
}

/// A client of this account.
struct Hand<'a> {
    shared: &'a Shared,
    drive: Router,
    token: String,
    account: AccountSummary,
}

impl Hand<'_> {
    /// The new folder; `None` where the name is taken.
    async fn mkdir(&mut self, parent: &str, name: &str) -> io::Result<Option<String>> {
        let body = json!({ "plainName": name, "parentFolderUuid": parent });
        match self.post("/drive/folders", &body).await? {
            (409, _) => Ok(None),
            (_, folder) => Ok(folder["uuid"].as_str().map(str::to_owned)),
        }
    }

    async fn upload(&mut self, folder: &str, name: &str, kind: &str, mut content: Vec<u8>) -> io::Result<()> {
        let index = random_hex::<32>();
        let bucket = self.account.bucket.clone();
        encrypt(&self.account.mnemonic, &bucket, &index, &mut content)?;
        let hash = hex::encode(Ripemd160::digest(Sha256::digest(&content)));
        let size = content.len();
        let id = self.shared.network.add_object(&bucket, &index, &hash, content)?;
        let body = json!({
            "bucket": bucket, "fileId": id, "encryptVersion": "03-aes", "folderUuid": folder,
            "size": size, "plainName": name, "type": kind,
        });
        self.post("/drive/files", &body).await.map(|_| ())
    }

    async fn post(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .map_err(io::Error::other)?;
        let response = self.drive.call(request).await.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.map_err(io::Error::other)?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            200..300 | 409 => Ok((status, answer)),
            _ => Err(io::Error::other(format!("a sample was refused with {status}: {answer}"))),
        }
    }
}

/// AES-256-CTR under the key of mnemonic, bucket and index.
fn encrypt(mnemonic: &str, bucket: &str, index: &str, content: &mut [u8]) -> io::Result<()> {
    let seed = mnemonic.parse::<Mnemonic>().map_err(io::Error::other)?.to_seed("");
    let bytes = |text: &str| hex::decode(text).map_err(io::Error::other);
    let index = bytes(index)?;
    let bucket_key = Sha512::new().chain_update(seed).chain_update(bytes(bucket)?).finalize();
    let file_key = Sha512::new().chain_update(&bucket_key[..32]).chain_update(&index).finalize();
    let cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(&file_key[..32], &index[..16]);
    cipher.map_err(io::Error::other)?.apply_keystream(content);
    Ok(())
}
