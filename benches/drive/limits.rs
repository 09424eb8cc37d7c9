//! What the same line and the same disk give a plain program: no filesystem, no encryption.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::scene::{Scene, forget_pages, read_all, write_all};
use crate::world::noise;

/// Ranges a plain program has under way.
const PARALLEL: u64 = 8;
/// The service takes smaller objects in one piece only.
const PARTS_FROM: u64 = 100 << 20;

/// A client of the object store that does nothing else.
pub struct Plain<'a> {
    scene: &'a Scene,
    rt: Runtime,
    client: Client,
    bucket: String,
    authorization: String,
    /// Counted, since an index is for one upload.
    uploads: AtomicU64,
}

impl<'a> Plain<'a> {
    pub fn new(scene: &'a Scene) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = &scene.world.shared().world;
        let account = world.account_by_bridge_user(&world.accounts()[0].email).unwrap();
        let password = hex::encode(Sha256::digest(account.user_id.as_bytes()));
        let basic = STANDARD.encode(format!("{}:{password}", account.bridge_user));
        let authority = scene.world.authority().map(|file| fs::read(file).unwrap());
        let trusted = authority.iter().map(|pem| Certificate::from_pem(pem).unwrap());
        Plain {
            scene,
            rt: Runtime::new().unwrap(),
            client: Client::builder().no_proxy().tls_certs_only(trusted).build().unwrap(),
            bucket: account.bucket,
            authorization: format!("Basic {basic}"),
            uploads: AtomicU64::new(1),
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/network/{path}", self.scene.world.gateway());
        let request = self.client.request(method, url);
        request.header("authorization", &self.authorization).header("internxt-client", "bench")
    }

    async fn json(&self, request: RequestBuilder) -> Value {
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// An object to be downloaded, uploaded on an ideal line.
    pub fn prepared(&self, size: u64) -> String {
        self.scene.ideal();
        self.rt.block_on(self.send(noise(usize::try_from(size).unwrap()))).1
    }

    /// Megabytes a second of a parallel upload.
    pub fn upload(&self, size: u64) -> f64 {
        let content = noise(usize::try_from(size).unwrap());
        self.rt.block_on(async {
            // A connection that stands.
            self.send(content[..1 << 20].to_vec()).await;
            self.send(content).await.0
        })
    }

    /// Megabytes a second of a download in parallel ranges.
    pub fn download(&self, object: &str, size: u64) -> f64 {
        self.rt.block_on(async {
            self.get(object, size.min(1 << 20), size).await;
            self.get(object, size, size).await
        })
    }

    async fn send(&self, content: Vec<u8>) -> (f64, String) {
        let (size, start) = (content.len() as u64, Instant::now());
        let parts = if size < PARTS_FROM { 1 } else { size.div_ceil(16 << 20) };
        let path = format!("v2/buckets/{}/files/start?multiparts={parts}", self.bucket);
        let body = json!({"uploads": [{"index": 0, "size": size}]});
        let slot = self.json(self.ask(Method::POST, &path).json(&body)).await["uploads"][0].take();
        let urls: Vec<String> = match slot["urls"].as_array() {
            Some(urls) if parts > 1 => urls.iter().map(|u| u.as_str().unwrap().to_owned()).collect(),
            _ => vec![slot["url"].as_str().unwrap().to_owned()],
        };
        let content = bytes::Bytes::from(content);
        let piece = content.len().div_ceil(urls.len());
        let tags: Vec<String> = stream::iter(urls.iter().enumerate())
            .map(|(i, url)| {
                let part = content.slice(i * piece..content.len().min((i + 1) * piece));
                async move {
                    let done =
                        self.client.put(url).body(part).send().await.unwrap().error_for_status().unwrap();
                    done.headers().get("etag").map_or(String::new(), |t| t.to_str().unwrap().to_owned())
                }
            })
            .buffered(usize::try_from(PARALLEL).unwrap())
            .collect()
            .await;
        let rate = size as f64 / start.elapsed().as_secs_f64() / 1e6;
        let mut shard = json!({"hash": "00".repeat(20), "uuid": slot["uuid"]});
        if parts > 1 {
            shard["UploadId"] = slot["UploadId"].clone();
            shard["parts"] =
                tags.iter().enumerate().map(|(i, t)| json!({"PartNumber": i + 1, "ETag": t})).collect();
        }
        let body = json!({"index": format!("{:064x}", self.uploads.fetch_add(1, Ordering::Relaxed)), "shards": [shard]});
        let path = format!("v2/buckets/{}/files/finish", self.bucket);
        let entry = self.json(self.ask(Method::POST, &path).json(&body)).await;
        (rate, entry["id"].as_str().unwrap().to_owned())
    }

    async fn get(&self, object: &str, size: u64, whole: u64) -> f64 {
        let start = Instant::now();
        let info =
            self.json(self.ask(Method::GET, &format!("buckets/{}/files/{object}/info", self.bucket))).await;
        assert_eq!(info["size"].as_u64(), Some(whole));
        let url = info["shards"][0]["url"].as_str().unwrap();
        let piece = (size / (4 * PARALLEL)).max(1 << 20);
        let ranges = (0..size.div_ceil(piece)).map(|i| (i * piece, size.min((i + 1) * piece)));
        let got: Vec<u64> = stream::iter(ranges)
            .map(|(from, to)| async move {
                let range = format!("bytes={from}-{}", to - 1);
                let answer = self.client.get(url).header("range", range).send().await.unwrap();
                // Only counted: a plain program keeps what it got, but that is the disk's measure.
                let mut chunks = answer.error_for_status().unwrap().bytes_stream();
                let mut got = 0;
                while let Some(chunk) = chunks.next().await {
                    got += chunk.unwrap().len() as u64;
                }
                got
            })
            .buffer_unordered(usize::try_from(PARALLEL).unwrap())
            .collect()
            .await;
        assert_eq!(got.iter().sum::<u64>(), size);
        size as f64 / start.elapsed().as_secs_f64() / 1e6
    }
}

/// Megabytes a second of writing with fsync, and of reading what is not in memory, on the plain disk.
pub fn disk(dir: &Path, size: u64) -> (f64, f64) {
    let path = dir.join("plain.bin");
    let content = noise(8 << 20);
    let rate = |start: Instant| size as f64 / start.elapsed().as_secs_f64() / 1e6;
    // What others left to be written is not this one's burden.
    rustix::fs::sync();
    let start = Instant::now();
    let mut file = fs::File::create(&path).unwrap();
    write_all(&mut file, &content, size).unwrap();
    file.sync_all().unwrap();
    let written = rate(start);
    drop(file);
    forget_pages();
    let start = Instant::now();
    read_all(&path).unwrap();
    let read = rate(start);
    fs::remove_file(&path).unwrap();
    (written, read)
}
