//! The end of an upload. It is not idempotent: the entry is made beside the checks, not after
//! them, so a finish that fails leaves an orphan that holds its index for ever.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::reply::{Answer, Fail};
use super::routes::Call;
use super::state::{Entry, Shard, Upload};
use crate::emulator::objects::Incomplete;
use crate::emulator::wire::{self, iso, object_id};

const RENEWAL_MS: i64 = 90 * 86_400_000;

/// A shard as the client reports it.
struct Reported {
    uuid: String,
    hash: String,
    multipart: Option<(String, Vec<(u32, String)>)>,
}

pub(super) fn finish(call: &Call<'_>, bucket: &str, body: Result<Value, Fail>) -> Answer {
    call.well_formed(bucket, "Bucket id is malformed")?;
    call.account()?;
    let body = body?;
    let (index, reported) = parse(&body)?;
    let account = call.owner_of(bucket)?;
    let uploads = pending(call, bucket, &reported)?;
    let size = uploads.iter().map(|upload| upload.size).sum();
    if let Err(fail) = call.over_quota(&account, size) {
        let ids = reported.iter().filter_map(|shard| shard.multipart.as_ref());
        ids.for_each(|(id, _)| call.network.objects().store.abort(id));
        return Err(fail);
    }
    let entry = entry(call, bucket, index, size, &reported, &uploads, body.get("hmac"));
    let made = insert_unique(call, entry);
    let checked = reported.iter().zip(&uploads).try_for_each(|(shard, upload)| check(call, shard, upload));
    let (id, entry) = made?;
    checked?;
    let mut state = call.network.state.lock();
    // The lock was let go meanwhile: of two finishes of one upload the slower has come too late.
    if reported.iter().any(|shard| state.upload(&shard.uuid).is_none()) {
        return Err(missing());
    }
    if let Some(row) = state.entry_mut(&id) {
        row.complete = true;
    }
    state.count(&account.uuid, size);
    reported.iter().for_each(|shard| state.end(&shard.uuid));
    Ok(wire::json(StatusCode::OK, &describe(&id, &entry)))
}

fn missing() -> Fail {
    Fail::new(409, "Missing uploads to complete the upload")
}

fn parse(body: &Value) -> Result<(&str, Vec<Reported>), Fail> {
    let (index, shards) = (body.get("index"), body.get("shards"));
    let (Some(index), Some(shards)) = (index.and_then(Value::as_str), shards.and_then(Value::as_array))
    else {
        return Err(Fail::new(400, "Missing parameters"));
    };
    if index.len() != 64 || !index.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Fail::new(400, "Invalid index"));
    }
    Ok((index, shards.iter().map(shard).collect::<Result<_, _>>()?))
}

fn shard(value: &Value) -> Result<Reported, Fail> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let uuid = text("uuid").filter(|text| uuid::Uuid::try_parse(text).is_ok());
    let uuid = uuid.ok_or_else(|| Fail::new(400, "Invalid UUID"))?.to_owned();
    let hash = text("hash").ok_or_else(|| Fail::new(400, "Missing hash"))?.to_owned();
    let multipart = match (text("UploadId"), value.get("parts").and_then(Value::as_array)) {
        (None, None) => None,
        (Some(id), Some(parts)) => Some((id.to_owned(), parts.iter().map(part).collect::<Result<_, _>>()?)),
        _ => return Err(Fail::new(400, "Invalid multipart values")),
    };
    Ok(Reported { uuid, hash, multipart })
}

fn part(value: &Value) -> Result<(u32, String), Fail> {
    let number = value.get("PartNumber").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let etag = value.get("ETag").and_then(Value::as_str);
    number.zip(etag.map(str::to_owned)).ok_or_else(|| Fail::new(400, "Invalid multipart values"))
}

/// The started uploads the report is about, in its order.
fn pending(call: &Call<'_>, bucket: &str, reported: &[Reported]) -> Result<Vec<Upload>, Fail> {
    let state = call.network.state.lock();
    let of_bucket = |shard: &Reported| state.upload(&shard.uuid).filter(|up| up.bucket == bucket).cloned();
    let uploads: Option<Vec<_>> = reported.iter().map(of_bucket).collect();
    uploads.filter(|uploads| !uploads.is_empty()).ok_or_else(missing)
}

fn entry(
    call: &Call<'_>,
    bucket: &str,
    index: &str,
    size: u64,
    reported: &[Reported],
    uploads: &[Upload],
    hmac: Option<&Value>,
) -> Entry {
    let shard = |(shard, upload): (&Reported, &Upload)| Shard {
        index: upload.index,
        size: upload.size,
        hash: shard.hash.clone(),
        uuid: shard.uuid.clone(),
        parity: false,
        missing_url: 0,
    };
    let mut shards: Vec<Shard> = reported.iter().zip(uploads).map(shard).collect();
    shards.sort_by_key(|shard| shard.index);
    Entry {
        bucket: bucket.to_owned(),
        index: index.to_owned(),
        size,
        created: call.now_ms,
        filename: uuid::Uuid::new_v4().to_string(),
        version: 2,
        frame: None,
        shards,
        hmac: hmac.filter(|hmac| hmac.is_object()).cloned(),
        complete: false,
    }
}

fn insert_unique(call: &Call<'_>, entry: Entry) -> Result<(String, Entry), Fail> {
    let id = object_id(call.network.world.now());
    let mut state = call.network.state.lock();
    if state.has_index(&entry.index) {
        let index = &entry.index;
        let message = format!(
            "E11000 duplicate key error collection: __inxt-network.bucketentries index: index_1 \
             dup key: {{ index: \"{index}\" }}"
        );
        return Err(Fail::new(500, message));
    }
    state.insert(id.clone(), entry.clone());
    Ok((id, entry))
}

/// Whether the store has what was announced.
fn check(call: &Call<'_>, shard: &Reported, upload: &Upload) -> Result<(), Fail> {
    let store = &call.network.objects().store;
    if let Some((id, parts)) = &shard.multipart {
        let done = store.complete(&shard.uuid, id, parts, call.now_ms);
        done.map_err(|error: Incomplete| Fail::new(500, error.to_string()))?;
    }
    match store.get(&shard.uuid) {
        None if lenient(call) => Ok(()),
        None => Err(Fail::new(404, "Upload not found in storage")),
        Some(object) if object.size != upload.size => {
            let (expected, got) = (upload.size, object.size);
            Err(Fail::new(409, format!("Size does not match. Expected: {expected}, Got: {got}")))
        }
        Some(_) => Ok(()),
    }
}

/// Old official clients may finish before the object is there.
fn lenient(call: &Call<'_>) -> bool {
    let last = match call.header("internxt-client") {
        Some("internxt-cli") => (1, 6, 3),
        Some("drive-desktop-windows") => (2, 6, 6),
        Some("drive-desktop-linux") => (2, 5, 3),
        _ => return false,
    };
    match call.header("internxt-version") {
        None => true,
        Some(text) => {
            let mut numbers = text.split(['.', '-', '+']).map(|n| n.parse::<u32>().unwrap_or(0));
            let mut next = || numbers.next().unwrap_or(0);
            (next(), next(), next()) <= last
        }
    }
}

/// An entry as the service shows it.
pub(super) fn describe(id: &str, entry: &Entry) -> Value {
    let mut row = Map::from_iter([
        ("index".to_owned(), json!(entry.index)),
        ("bucket".to_owned(), json!(entry.bucket)),
        ("mimetype".to_owned(), json!("application/octet-stream")),
        ("created".to_owned(), json!(iso(entry.created))),
        ("size".to_owned(), json!(entry.size)),
        ("renewal".to_owned(), json!(iso(entry.created + RENEWAL_MS))),
        ("filename".to_owned(), json!(entry.filename)),
        ("id".to_owned(), json!(id)),
    ]);
    match &entry.frame {
        None => row.insert("version".to_owned(), json!(entry.version)),
        Some(frame) => row.insert("frame".to_owned(), json!(frame)),
    };
    if let Some(hmac) = &entry.hmac {
        row.insert("hmac".to_owned(), hmac.clone());
    }
    Value::Object(row)
}
