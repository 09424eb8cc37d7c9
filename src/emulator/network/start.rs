//! The beginning of an upload: a pending row and links to put the bytes to.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::reply::{Answer, Fail, ok};
use super::routes::Call;
use super::state::Upload;
use crate::emulator::objects::Purpose;

/// Uploads in parts are for this size and above.
const MULTIPART_FROM: u64 = 100 << 20;
const MAX_PARTS: u32 = 10_000;

pub(super) fn start(call: &Call<'_>, bucket: &str, body: Result<Value, Fail>) -> Answer {
    call.well_formed(bucket, "Bucket id is malformed")?;
    call.account()?;
    let uploads = wanted(&body?)?;
    let parts = match call.query("multiparts") {
        None => 1,
        Some(text) => match text.parse::<u32>() {
            Ok(parts @ 1..=MAX_PARTS) => parts,
            _ => return Err(Fail::new(400, "Invalid multiparts value")),
        },
    };
    let total = uploads.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    if parts > 1 && total < MULTIPART_FROM {
        return Err(Fail::new(400, "Multipart is not allowed for files smaller than 100MB"));
    }
    let indexes: HashSet<u64> = uploads.iter().map(|(index, _)| *index).collect();
    if indexes.len() != uploads.len() {
        return Err(Fail::new(409, "Invalid upload indexes"));
    }
    let account = call.owner_of(bucket)?;
    call.over_quota(&account, total)?;
    let uploads: Vec<Value> =
        uploads.into_iter().map(|(index, size)| begin(call, bucket, index, size, parts)).collect();
    Ok(ok(&json!({ "uploads": uploads })))
}

/// The sizes asked for, by index.
fn wanted(body: &Value) -> Result<Vec<(u64, u64)>, Fail> {
    let uploads = body.get("uploads").filter(|uploads| !uploads.is_null());
    let uploads = uploads.ok_or_else(|| Fail::new(400, "Missing \"uploads\" field"))?;
    let uploads = uploads.as_array().ok_or_else(|| Fail::new(400, "\"uploads\" is not an array"))?;
    let one = |upload: &Value| {
        let index =
            upload.get("index").and_then(Value::as_u64).ok_or_else(|| Fail::new(400, "Invalid index"))?;
        let size =
            upload.get("size").and_then(Value::as_u64).ok_or_else(|| Fail::new(400, "Invalid size"))?;
        Ok((index, size))
    };
    uploads.iter().map(one).collect()
}

fn begin(call: &Call<'_>, bucket: &str, index: u64, size: u64, parts: u32) -> Value {
    let uuid = uuid::Uuid::new_v4().to_string();
    let upload = Upload { bucket: bucket.to_owned(), index, size };
    call.network.state.lock().begin(uuid.clone(), upload);
    let objects = call.network.objects();
    let life = call.network.knobs.url_life();
    let link = |purpose| objects.link(&call.base, &uuid, &purpose, call.now_ms, life);
    if parts == 1 {
        return json!({ "index": index, "uuid": uuid, "url": link(Purpose::Put), "urls": null });
    }
    let id = objects.store.begin(&uuid);
    let urls: Vec<_> = (1..=parts).map(|number| link(Purpose::Part { upload: &id, number })).collect();
    json!({ "index": index, "uuid": uuid, "url": null, "urls": urls, "UploadId": id })
}
