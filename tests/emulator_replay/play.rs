//! Asks the emulator what the real servers were asked.

use std::collections::HashMap;
use std::time::Duration;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use inxtfs::emulator::{AccountSpec, Config, Emulator, NetAccount, Tier};
use md5::{Digest, Md5};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::compare::{Mode, Names, cut_length, differences, is_uuid};

const DAY: Duration = Duration::from_secs(86_400);
const APP_SECRET: &[u8] = b"6KYQBP847D4ATSFA";
const PASSWORD: &str = "correct horse";

pub struct Player {
    pub emulator: Emulator,
    pub names: Names,
    exchanges: Vec<Value>,
    client: Client,
    tokens: HashMap<&'static str, String>,
    /// Presigned links by recorded shard and purpose.
    links: HashMap<(String, bool), String>,
    salts: HashMap<String, String>,
}

/// The accounts of the recording: name, bucket, root, uuid.
const ACCOUNTS: [(&str, &str, &str, &str); 5] = [
    (
        "test",
        "6b023f4716b232cd334cadf7",
        "d5102fa9-aff9-43b0-88ca-5902bfd703da",
        "93f3fbeb-a816-4a37-a886-63e481be4d03",
    ),
    (
        "free",
        "6b0241ad16b232cd334cae95",
        "61a3952e-3b5f-48bb-aadd-51863cb80a9f",
        "5a9d6d08-8b4e-44cc-8cc0-a0ddf5516c54",
    ),
    (
        "small",
        "6b0241ae16b232cd334cae9f",
        "932319a9-3113-4831-b1a6-77c3100c4daa",
        "266e33e5-a048-4825-98b4-c376d031b7a4",
    ),
    ("essential", "", "", ""),
    (
        "other",
        "6b0241b016b232cd334caeb3",
        "0928e152-221d-4f13-a9ed-754fd2f08627",
        "e0f51c5c-9ea6-463b-9af2-ba16fb0213fb",
    ),
];

/// Who asked, where it was not `test`. The recordings show no tokens.
const ASKED_BY: &[(usize, &str)] = &[
    (38, "leaving"),
    (39, "leaving"),
    (66, "other"),
    (105, "other"),
    (113, "other"),
    (159, "other"),
    (160, "other"),
    (241, "other"),
    (253, "free"),
    (254, "free"),
    (320, "other"),
    (321, "small"),
    (326, "free"),
    (327, "free"),
    (345, "small"),
    (377, "other"),
    (386, "other"),
    (391, "small"),
    (393, "small"),
    (394, "small"),
    (395, "small"),
    (396, "small"),
    (397, "small"),
    (398, "small"),
    (431, "small"),
];

/// The one network call of a user that does not exist, and the one upload with a forged link.
const NOBODY: usize = 331;
const FORGED: usize = 360;

fn email(account: &str) -> String {
    format!("{account}@internxt.local")
}

impl Player {
    pub fn new(recording: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let spec = |name: &str, plan| AccountSpec::new(&email(name), PASSWORD, plan);
        let accounts = vec![
            AccountSpec { max_space: Some(10 << 30), ..spec("test", Tier::Ultimate) },
            AccountSpec { cli_access: Some(true), ..spec("free", Tier::Free) },
            AccountSpec { max_space: Some(3 << 20), ..spec("small", Tier::Ultimate) },
            spec("essential", Tier::Essential),
            spec("other", Tier::Ultimate),
        ];
        let emulator = Emulator::start(Config { accounts, ..Config::default() }).unwrap();
        let world = emulator.shared().world.clone();
        let mut names = Names::default();
        let mut tokens = HashMap::new();
        for (summary, (name, bucket, root, uuid)) in world.accounts().iter().zip(ACCOUNTS) {
            names.learn(bucket, &summary.bucket);
            names.learn(root, &summary.root);
            names.learn(uuid, &summary.uuid);
            tokens.insert(name, world.issue_token(&email(name), 3 * DAY).unwrap());
        }
        tokens.insert("leaving", world.issue_token(&email("other"), 3 * DAY).unwrap());
        Self {
            emulator,
            names,
            exchanges: recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            client: Client::builder().no_proxy().build().unwrap(),
            tokens,
            links: HashMap::new(),
            salts: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    pub fn exchanges(&self) -> &[Value] {
        &self.exchanges
    }

    pub fn service(&self, index: usize) -> String {
        self.exchanges[index]["service"].as_str().unwrap().to_owned()
    }

    /// A drive call of `test`, for what must be there beforehand.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/drive{path}", self.emulator.gateway());
        let request = self.client.request(method, url).bearer_auth(&self.tokens["test"]);
        let response = request.json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{path} {body}: {}", response.text().await.unwrap());
        response.json().await.unwrap_or_default()
    }

    /// Starts an upload that was not recorded, as the one of a recorded shard.
    pub async fn start_upload(&mut self, shard: &str, size: u64) {
        let account = self.network_account("test");
        let path = format!("/network/v2/buckets/{}/files/start?multiparts=1", account.bucket);
        let request = self.client.post(format!("{}{path}", self.emulator.gateway()));
        let password = hex::encode(Sha256::digest(account.user_id.as_bytes()));
        let request = request.basic_auth(&account.bridge_user, Some(password));
        let body = json!({ "uploads": [{ "index": 0, "size": size }] });
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        let upload = &answer["uploads"][0];
        self.names.learn(shard, upload["uuid"].as_str().unwrap());
        self.links.insert((shard.to_owned(), true), upload["url"].as_str().unwrap().to_owned());
    }

    fn account(&self, index: usize) -> &'static str {
        ASKED_BY.iter().find(|(at, _)| *at == index).map_or("test", |(_, account)| account)
    }

    pub fn network_account(&self, account: &str) -> NetAccount {
        self.emulator.shared().world.account_by_bridge_user(&email(account)).unwrap()
    }

    fn authorization(&self, index: usize, case: &str) -> String {
        let account = self.account(index);
        match self.service(index).as_str() {
            "network" if case == "net bearer" => format!("Bearer {}", self.tokens[account]),
            "network" => {
                let account = self.network_account(account);
                let password = hex::encode(Sha256::digest(account.user_id.as_bytes()));
                let password = if case == "net bad pw" { "wrong" } else { &password };
                let user = if index == NOBODY { "nobody" } else { &account.bridge_user };
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            _ => match case {
                "bad token" => "Bearer bad".to_owned(),
                "expired token" => {
                    let world = &self.emulator.shared().world;
                    format!("Bearer {}", world.issue_token(&email("test"), Duration::ZERO).unwrap())
                }
                _ => format!("Bearer {}", self.tokens[account]),
            },
        }
    }

    /// The request body with live ids, and with a password that fits unless it is to be wrong.
    fn body(&self, index: usize) -> Value {
        let exchange = &self.exchanges[index];
        let mut body = self.names.translate_value(&exchange["request"]);
        lengthen(&mut body);
        let sealed = body["password"].as_str().is_some_and(|sealed| sealed.len() == 192);
        if sealed {
            let user = body["email"].as_str().unwrap().to_owned();
            let wrong = exchange["status"] == 401;
            body["password"] = json!(self.sealed_password(&user, if wrong { "wrong" } else { PASSWORD }));
        }
        body
    }

    pub fn sealed_password(&self, user: &str, password: &str) -> String {
        let salt = self.salts.get(user).cloned().unwrap_or_else(|| "00".repeat(16));
        let mut hash = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(
            password.as_bytes(),
            &hex::decode(salt).unwrap(),
            10_000,
            &mut hash,
        );
        seal(&hex::encode(hash))
    }

    /// Asks for the salt of an account as a client does before a login.
    pub async fn learn_salt(&mut self, user: &str) {
        let answer = self.ask(Method::POST, "/auth/login", &json!({ "email": user })).await;
        self.salts.insert(user.to_owned(), open(answer["sKey"].as_str().unwrap()));
    }

    fn url(&self, index: usize) -> String {
        let path = self.exchanges[index]["path"].as_str().unwrap();
        if self.service(index) == "s3" {
            let shard = shard_of(path).to_owned();
            let put = self.exchanges[index]["method"] == "PUT";
            let link = self.links.get(&(shard, put)).cloned().unwrap_or_default();
            let forged = index == FORGED;
            return if forged { link.replace("X-Amz-Signature=", "X-Amz-Signature=0") } else { link };
        }
        format!("{}{}", self.emulator.gateway(), self.names.translate(path))
    }

    /// Replays one exchange and says what is different.
    pub async fn play(&mut self, index: usize, mode: Mode) -> Vec<String> {
        let exchange = self.exchanges[index].clone();
        let (method, case) = (exchange["method"].as_str().unwrap(), exchange["case"].as_str().unwrap());
        let label = format!("{index} {case:?} {method} {}", exchange["path"].as_str().unwrap());
        let url = self.url(index);
        if url.is_empty() {
            return vec![format!("{label}: no link was handed out")];
        }
        let body = self.body(index);
        let mut request = self.client.request(method.parse().unwrap(), url);
        for (name, value) in exchange["requestHeaders"].as_object().unwrap() {
            match name.as_str() {
                "content-length" => {}
                "authorization" => request = request.header(name, self.authorization(index, case)),
                _ => request = request.header(name, value.as_str().unwrap()),
            }
        }
        request = match &exchange["request"] {
            Value::Null => request,
            Value::String(bytes) => request.body(filled(bytes)),
            _ => request.body(body.to_string()),
        };
        let response = request.send().await.unwrap();
        let mut found = Vec::new();
        let status = response.status().as_u16();
        if exchange["status"] != status {
            found.push(format!("status {} was recorded, {status} came", exchange["status"]));
        }
        for (name, value) in exchange["responseHeaders"].as_object().into_iter().flatten() {
            let live = response.headers().get(name).and_then(|value| value.to_str().ok());
            let fixed = name == "content-type" || name == "content-range";
            if live.is_none() || (fixed && live != value.as_str()) {
                found.push(format!("header {name}: {value} was recorded, {live:?} came"));
            }
        }
        let text = response.text().await.unwrap_or_default();
        let recorded = &exchange["response"];
        let live = match serde_json::from_str(&text) {
            Ok(live) if recorded.is_object() || recorded.is_array() => live,
            _ if text.is_empty() => Value::Null,
            _ => Value::String(text),
        };
        if recorded.as_str().is_none_or(|text| !text.starts_with('<') || text.starts_with("<?xml")) {
            found.extend(differences(recorded, &live, mode, &self.names));
        }
        if (200..300).contains(&status) && mode == Mode::Values {
            self.names.capture(recorded, &live);
            self.capture_links(recorded, &live);
        }
        found.into_iter().map(|how| format!("{label}: {how} [{live}]")).map(shorten).collect()
    }

    fn capture_links(&mut self, recorded: &Value, live: &Value) {
        for (list, put) in [("uploads", true), ("shards", false)] {
            let pairs = recorded[list].as_array().into_iter().flatten();
            for (recorded, live) in pairs.zip(live[list].as_array().into_iter().flatten()) {
                if let (Some(shard), Some(link)) = (recorded["url"].as_str(), live["url"].as_str()) {
                    self.links.insert((shard_of(shard).to_owned(), put), link.to_owned());
                }
            }
        }
    }
}

fn shorten(text: String) -> String {
    text.chars().take(700).collect()
}

fn shard_of(path: &str) -> &str {
    let shard = path.split("/shards/").nth(1).and_then(|rest| rest.split('?').next()).unwrap_or_default();
    if is_uuid(shard) { shard } else { "" }
}

/// `<1024 bytes>` stands for that many; anything else is itself.
fn filled(bytes: &str) -> Vec<u8> {
    let count = bytes.strip_prefix('<').and_then(|rest| rest.strip_suffix(" bytes>"));
    count
        .and_then(|count| count.parse().ok())
        .map_or_else(|| bytes.as_bytes().to_vec(), |count| vec![0; count])
}

/// Undoes the cutting of long strings, `xxx…(300 chars)`, and of long lists: its last item is `…(1001 items)`, for
/// which the one before is repeated.
fn lengthen(value: &mut Value) {
    match value {
        Value::String(text) => {
            let Some((head, rest)) = text.split_once("…(") else { return };
            let Some(count) = rest.strip_suffix(" chars)").and_then(|count| count.parse::<usize>().ok())
            else {
                return;
            };
            let last = head.chars().last().unwrap_or('x');
            *text = head.chars().chain(std::iter::repeat(last)).take(count).collect();
        }
        Value::Array(list) => {
            if let Some(count) = cut_length(list) {
                list.pop();
                let last = list.last().cloned().unwrap_or_default();
                list.resize(count, last);
            }
            list.iter_mut().for_each(lengthen);
        }
        Value::Object(map) => map.values_mut().for_each(lengthen),
        _ => {}
    }
}

fn key_and_iv(salt: &[u8]) -> ([u8; 32], [u8; 16]) {
    let first = Md5::digest([APP_SECRET, salt].concat());
    let second = Md5::digest([first.as_slice(), APP_SECRET, salt].concat());
    let third = Md5::digest([second.as_slice(), APP_SECRET, salt].concat());
    ([first, second].concat().try_into().unwrap(), third.into())
}

fn seal(text: &str) -> String {
    let (key, iv) = key_and_iv(&[1; 8]);
    let sealed =
        cbc::Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt_padded_vec::<Pkcs7>(text.as_bytes());
    hex::encode([b"Salted__".as_slice(), &[1; 8], &sealed].concat())
}

fn open(envelope: &str) -> String {
    let bytes = hex::decode(envelope).unwrap();
    let (key, iv) = key_and_iv(&bytes[8..16]);
    let text =
        cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into()).decrypt_padded_vec::<Pkcs7>(&bytes[16..]);
    String::from_utf8(text.unwrap()).unwrap()
}
