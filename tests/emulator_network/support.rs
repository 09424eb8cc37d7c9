//! An emulator and a client that speaks to it by hand.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use inxtfs::emulator::{Config, Emulator, NetAccount};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Longer than anything here takes; a test that hangs should say so.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Rig {
    pub emulator: Emulator,
    pub client: Client,
    pub account: NetAccount,
}

pub struct Upload {
    pub uuid: String,
    pub url: String,
    pub urls: Vec<String>,
    pub id: Option<String>,
}

pub fn client_builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(PATIENCE).no_proxy()
}

pub fn start() -> Rig {
    start_with(Config::default())
}

pub fn start_with(config: Config) -> Rig {
    let emulator = Emulator::start(config).unwrap();
    Rig { account: account(&emulator, 0), client: client_builder().build().unwrap(), emulator }
}

pub fn account(emulator: &Emulator, n: usize) -> NetAccount {
    let world = &emulator.shared().world;
    world.account_by_bridge_user(&world.accounts()[n].email).unwrap()
}

pub fn basic(user: &str, user_id: &str) -> String {
    let password = hex::encode(Sha256::digest(user_id.as_bytes()));
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Rig {
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/network{path}", self.emulator.gateway());
        let auth = basic(&self.account.bridge_user, &self.account.user_id);
        self.client.request(method, url).header("authorization", auth).header("internxt-client", "a-test")
    }

    pub fn in_bucket(&self, rest: &str) -> String {
        format!("/buckets/{}/files/{rest}", self.account.bucket)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        json_of(self.ask(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn start_raw(&self, query: &str, body: Value) -> (u16, Value) {
        let path = format!("/v2{}", self.in_bucket(&format!("start{query}")));
        json_of(self.ask(Method::POST, &path).json(&body).send().await.unwrap()).await
    }

    pub async fn start_upload(&self, size: u64, parts: u32) -> Upload {
        let body = json!({"uploads": [{"index": 0, "size": size}]});
        let (status, answer) = self.start_raw(&format!("?multiparts={parts}"), body).await;
        assert_eq!(status, 200, "{answer}");
        let upload = &answer["uploads"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Upload {
            uuid: text(&upload["uuid"]),
            url: upload["url"].as_str().unwrap_or("").to_owned(),
            urls: upload["urls"].as_array().map(|urls| urls.iter().map(text).collect()).unwrap_or_default(),
            id: upload["UploadId"].as_str().map(str::to_owned),
        }
    }

    pub async fn put(&self, url: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.put(url).body(body).send().await.unwrap()
    }

    pub async fn finish(&self, index: &str, shards: Value) -> (u16, Value) {
        let path = format!("/v2{}", self.in_bucket("finish"));
        let body = json!({"index": index, "shards": shards});
        json_of(self.ask(Method::POST, &path).json(&body).send().await.unwrap()).await
    }

    /// A whole upload; the entry's id.
    pub async fn store(&self, content: &[u8]) -> String {
        let upload = self.start_upload(content.len() as u64, 1).await;
        assert_eq!(self.put(&upload.url, content.to_vec()).await.status(), StatusCode::OK);
        let (status, entry) = self.finish(&index(), shard(&upload.uuid)).await;
        assert_eq!(status, 200, "{entry}");
        entry["id"].as_str().unwrap().to_owned()
    }

    pub async fn link(&self, id: &str) -> String {
        let (status, info) = self.get(&self.in_bucket(&format!("{id}/info"))).await;
        assert_eq!(status, 200, "{info}");
        info["shards"][0]["url"].as_str().unwrap().to_owned()
    }

    pub fn used(&self) -> u64 {
        self.emulator.shared().network.usage_of(&self.account.uuid)
    }
}

/// A never-used index.
pub fn index() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    half() + &half()
}

pub fn shard(uuid: &str) -> Value {
    json!([{"hash": "b6a9c8c230722b7c748331a8b450f05566dc7d0f", "uuid": uuid}])
}

pub async fn json_of(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub fn error(message: &str) -> Value {
    json!({ "error": message })
}

/// Bytes without a short period.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// A token as a login gives it.
pub fn token_of(rig: &Rig) -> String {
    rig.emulator.shared().world.issue_token(&rig.account.bridge_user, PATIENCE * 60).unwrap()
}
