//! The network API: where content objects are announced, sealed and found.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::segment;
use super::wire::size;
use super::{Lane, Network, Request, SignedUrl};

/// Where an object is.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// 64 hex digits: what the key is derived from.
    #[serde(default)]
    pub index: String,
    /// Bytes.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<u64>,
    /// The storage layout; 2 is the one with shards.
    #[serde(default)]
    pub version: Option<u32>,
    /// The uploader's code over the hashes, if it sent one.
    #[serde(default)]
    pub hmac: Option<Code>,
    /// The parts; one with every client there is.
    #[serde(default)]
    pub shards: Option<Vec<Shard>>,
}

/// A code of some kind.
#[derive(Clone, Debug, Deserialize)]
pub struct Code {
    /// Its kind.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// In hex.
    #[serde(default)]
    pub value: String,
}

/// A stored part of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Shard {
    /// The hash of its ciphertext, in hex.
    #[serde(default)]
    pub hash: String,
    /// Where it is.
    pub url: SignedUrl,
}

/// An upload that may begin.
#[derive(Clone, Debug, Deserialize)]
pub struct Started {
    /// One entry for the one part we announce.
    pub uploads: Vec<Slot>,
}

/// Where to send what.
#[derive(Clone, Debug, Deserialize)]
pub struct Slot {
    /// The service's name for the part.
    pub uuid: String,
    /// For an upload in one piece.
    #[serde(default)]
    pub url: Option<SignedUrl>,
    /// For an upload in many, in order.
    #[serde(default)]
    pub urls: Option<Vec<SignedUrl>>,
    /// The object store's name for an upload in many.
    #[serde(rename = "UploadId", default)]
    pub upload_id: Option<String>,
}

/// A sealed object.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// What the drive API calls `fileId`.
    pub id: String,
}

/// What seals an upload.
#[derive(Clone, Debug)]
pub struct Finish<'a> {
    /// 64 hex digits.
    pub index: &'a str,
    /// The hash of the ciphertext, in hex.
    pub hash: &'a str,
    /// From [`Slot::uuid`].
    pub uuid: &'a str,
    /// The code over the hash, in hex.
    pub hmac: &'a str,
    /// For an upload in many pieces: its id and the pieces' tags, in order.
    pub parts: Option<(&'a str, &'a [String])>,
}

fn file(bucket: &str, object: &str) -> String {
    format!("buckets/{}/files/{}", segment(bucket), segment(object))
}

/// Where an object is and how it is keyed.
#[must_use]
pub fn info(bucket: &str, object: &str) -> Request<Network, Info> {
    Request::json(Method::GET, format!("{}/info", file(bucket, object))).lane(Lane::Read)
}

/// Announces an upload. Left alone it is garbage that nobody sees: it may be sent twice.
#[must_use]
pub fn start(bucket: &str, size: u64, parts: u64) -> Request<Network, Started> {
    Request::json(Method::POST, format!("v2/buckets/{}/files/start", segment(bucket)))
        .query("multiparts", parts)
        .body(json!({"uploads": [{"index": 0, "size": size}]}))
        .repeatable()
}

/// Seals an upload. **Not repeatable**: after a failure only a new upload with a new index helps.
#[must_use]
pub fn finish(bucket: &str, finish: &Finish<'_>) -> Request<Network, Entry> {
    let mut shard = json!({"hash": finish.hash, "uuid": finish.uuid});
    if let Some((upload_id, tags)) = finish.parts {
        shard["UploadId"] = upload_id.into();
        shard["parts"] = tags
            .iter()
            .enumerate()
            .map(|(i, tag)| json!({"PartNumber": i + 1, "ETag": tag}))
            .collect::<Vec<Value>>()
            .into();
    }
    Request::json(Method::POST, format!("v2/buckets/{}/files/finish", segment(bucket))).body(json!({
        "index": finish.index,
        "shards": [shard],
        "hmac": {"type": "sha512", "value": finish.hmac},
    }))
}

/// Deletes an object at once and for ever. Only for objects that no row ever referred to.
#[must_use]
pub fn delete(bucket: &str, object: &str) -> Request<Network, ()> {
    Request::empty(Method::DELETE, file(bucket, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_answers_are_read_and_their_links_stay_secret() {
        let url = "http://127.0.0.1:9102/shards/1c?X-Amz-Date=20261122T010940Z&X-Amz-Expires=3600&X-Amz-Signature=93a2";
        let info = format!(
            r#"{{"index":"cdad","bucket":"6b02","mimetype":"application/octet-stream","version":2,"size":1024,
                "renewal":"2027-02-20T01:09:39.521Z","filename":"553c","id":"6b02",
                "shards":[{{"index":0,"size":1024,"hash":"2f81","url":"{url}"}}]}}"#
        );
        let info = (super::info("b", "f").decode)(info.as_bytes()).unwrap();
        assert_eq!((info.size, info.version, info.hmac.is_none()), (Some(1024), Some(2), true));
        let started = format!(r#"{{"uploads":[{{"index":0,"uuid":"1cbb","url":"{url}","urls":null}}]}}"#);
        let started = (start("b", 1024, 1).decode)(started.as_bytes()).unwrap();
        assert!(started.uploads[0].url.is_some() && started.uploads[0].urls.is_none());
        assert!(!format!("{info:?} {started:?}").contains("93a2"));
        let old = (super::info("b", "f").decode)(br#"{"index":"cdad","size":"7","frame":"x"}"#).unwrap();
        assert!(old.version.is_none() && old.shards.is_none());
        let odd = (super::info("b", "f").decode)(br#"{"index":"secret"#).unwrap_err();
        assert!(!odd.contains("secret"), "{odd}");
    }
}
