//! Small pictures of files: registered beside the rows, shown by listings of folders only.

use serde_json::{Value, json};

use super::Ctx;
use crate::emulator::errors::{Reply, created, forbidden, not_found};
use crate::emulator::validation::Checks;
use crate::emulator::world::clock::iso;

/// `POST /files/thumbnail`. The file's row does not change, nobody is told, and the file may be in whatever state. A file has
/// one picture: a new one takes the row of the old one, whose object goes at once and blindly.
pub(super) fn register(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let given = |name: &str| ctx.body.get(name).is_some_and(|v| !v.is_null());
    let file = given("fileUuid").then(|| checks.uuid(&ctx.body, "fileUuid"));
    if given("fileId") == given("fileUuid") {
        checks.complain("Provide either item id or uuid, and not both");
    }
    let kind = checks.filled(&ctx.body, "type");
    for number in ["size", "maxWidth", "maxHeight"] {
        checks.any_number(&ctx.body, number);
    }
    checks.filled(&ctx.body, "bucketId");
    let object = checks.filled(&ctx.body, "bucketFile");
    let encryption = checks.filled(&ctx.body, "encryptVersion");
    checks.finish()?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = match file {
        Some(uuid) => view.files.get(uuid).cloned(),
        None => view.files.by_uuid(ctx.me).find(|row| Some(row.id) == ctx.body["fileId"].as_u64()).cloned(),
    };
    let row = row.ok_or_else(|| not_found("File not found"))?;
    if row.account != ctx.me {
        return Err(forbidden("You do not have permission to modify this file"));
    }
    let now = world.stamp();
    let former = world.thumbnails.get(&row.uuid).and_then(|rows| rows.first()).cloned();
    let kept = |name: &str, new: Value| former.as_ref().map_or(new, |row| row[name].clone());
    let thumbnail = json!({
        "id": kept("id", json!(now)),
        "fileId": row.id,
        "fileUuid": row.uuid,
        "type": kind,
        "size": ctx.body["size"],
        // Whatever the client says.
        "bucketId": row.bucket,
        "bucketFile": object,
        "encryptVersion": encryption,
        "createdAt": kept("createdAt", json!(iso(now))),
        "updatedAt": iso(now),
        "maxWidth": ctx.body["maxWidth"],
        "maxHeight": ctx.body["maxHeight"],
    });
    world.thumbnails.insert(row.uuid, vec![thumbnail.clone()]);
    world.mark_dirty();
    drop(world);
    if let Some(Value::String(old)) = former.map(|row| row["bucketFile"].clone()) {
        ctx.shared.network.delete_object(&row.bucket, &old);
    }
    created(thumbnail)
}

/// As listings show it: where it is, under its former names, too.
pub(super) fn listed(thumbnail: &Value) -> Value {
    let mut shown = thumbnail.clone();
    shown["bucket_id"] = thumbnail["bucketId"].clone();
    shown["bucket_file"] = thumbnail["bucketFile"].clone();
    shown
}
