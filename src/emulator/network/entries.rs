//! Reading and deleting entries.

use std::time::Duration;

use serde_json::{Value, json};

use super::finish::describe;
use super::reply::{Answer, Fail, no_content, ok};
use super::routes::Call;
use super::state::{Entry, Shard};
use crate::emulator::objects::Purpose;
use crate::emulator::wire::{is_object_id, iso};

/// Pages of the old layout's listing are at most this long.
const MAX_PAGE: usize = 100;

/// The entry, where the caller may read it: the checks and their order are the service's.
fn readable(call: &Call<'_>, bucket: &str, id: &str) -> Result<Entry, Fail> {
    call.well_formed(bucket, "Bucket id is malformed")?;
    call.well_formed(id, "File id is malformed")?;
    let account = call.account()?;
    let entry = visible(call, bucket, id);
    let entry = entry.ok_or_else(|| Fail::new(404, format!("Bucket entry {id} not found")))?;
    // A bucket of somebody else is looked for among one's own, and not finding it is no 404.
    let owner = call.network.world.bucket_owner(bucket);
    if owner.is_none_or(|owner| owner != account.uuid) {
        return Err(Fail::new(500, "Bucket not found"));
    }
    Ok(entry)
}

/// What a replica of the database shows by now.
fn visible(call: &Call<'_>, bucket: &str, id: &str) -> Option<Entry> {
    let lag = i64::try_from(call.network.knobs.replica_lag().as_millis()).unwrap_or(i64::MAX);
    let state = call.network.state.lock();
    let entry = state.entry(bucket, id).filter(|entry| entry.complete);
    entry.filter(|entry| entry.created.saturating_add(lag) <= call.now_ms).cloned()
}

fn link(call: &Call<'_>, shard: &Shard) -> String {
    let life = call.network.knobs.url_life();
    call.network.objects().link(&call.base, &shard.uuid, &Purpose::Get, call.now_ms, life)
}

fn stored(call: &Call<'_>, entry: &Entry) -> Result<(), Fail> {
    let store = &call.network.objects().store;
    match entry.shards.iter().all(|shard| store.get(&shard.uuid).is_some()) {
        true => Ok(()),
        false => Err(Fail::new(404, "Object not found")),
    }
}

pub(super) fn info(call: &Call<'_>, bucket: &str, id: &str) -> Answer {
    let entry = readable(call, bucket, id)?;
    let mut row = describe(id, &entry);
    if entry.version == 2 {
        stored(call, &entry)?;
        let shard = |shard: &Shard| json!({ "index": shard.index, "size": shard.size, "hash": shard.hash, "url": link(call, shard) });
        row["shards"] = entry.shards.iter().map(shard).collect();
    }
    Ok(ok(&row))
}

pub(super) fn mirrors(call: &Call<'_>, bucket: &str, id: &str) -> Answer {
    let entry = readable(call, bucket, id)?;
    stored(call, &entry)?;
    let shard = |shard: &Shard| json!({ "size": shard.size, "hash": shard.hash, "url": link(call, shard) });
    Ok(ok(&json!({
        "bucket": entry.bucket,
        "index": entry.index,
        "created": iso(entry.created),
        "shards": entry.shards.iter().map(shard).collect::<Value>(),
        "hmac": entry.hmac.unwrap_or_else(|| json!({})),
    })))
}

pub(super) fn bulk(call: &Call<'_>, bucket: &str) -> Answer {
    call.owner_of(bucket)?;
    let ids = call.query("fileIds").unwrap_or("").replace("%2C", ",");
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || !ids.iter().all(|id| is_object_id(id)) {
        return Err(Fail::new(400, "File id is malformed"));
    }
    let one = |id: &&str| {
        let entry = visible(call, bucket, id)?;
        let first = entry.shards.first()?;
        Some(json!({ "fileId": id, "link": link(call, first), "index": entry.index }))
    };
    Ok(ok(&ids.iter().filter_map(one).collect::<Value>()))
}

pub(super) fn delete(call: &Call<'_>, bucket: &str, id: &str) -> Answer {
    call.well_formed(id, "File id is malformed")?;
    call.owner_of(bucket)?;
    match call.network.remove(bucket, id, Duration::ZERO) {
        true => Ok(no_content()),
        false => Err(Fail::new(404, "Bucket entry  not found")),
    }
}

/// The old layout's shards, a page at a time.
pub(super) fn v1_page(call: &Call<'_>, bucket: &str, id: &str) -> Answer {
    readable(call, bucket, id)?;
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let (skip, limit) = (number("skip").unwrap_or(0), number("limit").unwrap_or(MAX_PAGE).min(MAX_PAGE));
    let mut state = call.network.state.lock();
    let shards = state.entry_mut(id).map(|entry| &mut entry.shards);
    let page = shards.into_iter().flatten().skip(skip).take(limit);
    Ok(ok(&page.map(|shard| pointer(call, shard)).collect::<Value>()))
}

pub(super) fn v1_mirrors(call: &Call<'_>, bucket: &str, id: &str) -> Answer {
    let entry = readable(call, bucket, id)?;
    let one = |shard: &Shard| json!({ "index": shard.index, "established": [{ "shardHash": shard.hash }], "available": [] });
    Ok(ok(&entry.shards.iter().map(one).collect::<Value>()))
}

fn pointer(call: &Call<'_>, shard: &mut Shard) -> Value {
    let mut row = json!({
        "index": shard.index,
        "hash": shard.hash,
        "size": shard.size,
        "parity": shard.parity,
        "token": shard.uuid,
        "operation": "PULL",
    });
    if shard.missing_url == 0 {
        row["url"] = json!(link(call, shard));
        row["farmer"] = json!({
            "userAgent": "8.7.3", "protocol": "1.2.0-INXT", "address": "127.0.0.1", "port": 43758,
            "nodeID": "8fd4ba2c1a1b1f1a5e4ca6d1d45d7e4e2b4f9bb2", "lastSeen": iso(call.now_ms),
        });
    } else {
        shard.missing_url -= 1;
        row["farmer"] = Value::Null;
    }
    row
}
