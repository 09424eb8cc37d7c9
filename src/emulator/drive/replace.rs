//! `PUT /files/{uuid}`: new content for a file, with all the traps of the original.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Ctx;
use super::files::primary_file;
use super::shape;
use crate::emulator::errors::{Answer, Reply, bad_request, crash, not_found, ok, too_large_for_plan};
use crate::emulator::validation::{Checks, parse_uuid, whole};
use crate::emulator::world::Inner;
use crate::emulator::world::account::Versioning;
use crate::emulator::world::rows::{FileRow, Status, VersionRow};

/// Extensions that keep versions, lower case only.
const VERSIONABLE: [&str; 4] = ["pdf", "docx", "xlsx", "csv"];

const DAY: i64 = 86_400_000_000;

/// The new object as sent: left out, null, or a string.
enum Object {
    Missing,
    Null,
    Id(String),
}

/// Answers with the size as a number and with dates from before the change.
pub(super) fn replace(ctx: &Ctx, id: &str) -> Reply {
    let mut checks = Checks::default();
    let object = match ctx.body.get("fileId") {
        None => Object::Missing,
        Some(Value::String(id)) => Object::Id(id.clone()),
        Some(_) => Object::Null,
    };
    if let Object::Id(id) = &object
        && id.chars().count() > 24
    {
        checks.complain("fileId must not exceed 24 characters");
    }
    let size = checks.size(&ctx.body).unwrap_or(0.0);
    let modification = checks.date(&ctx.body, "modificationTime");
    checks.finish()?;
    // No pipe checks the uuid of this route; the database does.
    let uuid = parse_uuid(id).ok_or_else(crash)?;

    let mut world = ctx.world();
    let row = world.view(ctx.lag()).files.get(uuid).filter(|row| row.account == ctx.me).cloned();
    let row = row.ok_or_else(|| not_found(&format!("File {uuid} not found")))?;
    if row.status != Status::Exists {
        return Err(bad_request(format!("{} files can not be replaced", row.status.name())));
    }
    let plan = world.account(ctx.me).spec.plan;
    let size = whole(size).ok_or_else(crash)?;
    if size > world.account(ctx.me).max_upload() {
        return Err(too_large_for_plan());
    }
    let settled = settle(object, size, &row);
    let kind = row.kind.as_deref().unwrap_or_default();
    let keeping =
        plan.versioning().filter(|rules| VERSIONABLE.contains(&kind) && row.size <= rules.max_file_size);

    let before = primary_file(&world, uuid)?;
    let now = world.stamp();
    // The version and the row are written side by side without a transaction: each may succeed
    // while the other fails, and any failure is a crash.
    let kept = keeping.map(|rules| keep(&mut world, &row, rules, now));
    let after = settled.map(|object| FileRow {
        size,
        object,
        updated: now,
        modification: modification.unwrap_or(before.modification),
        ..before.clone()
    });
    if let Ok(after) = &after {
        world.put_file(after.clone());
    }
    let after = after?;
    let purge = match kept {
        None => Vec::from_iter(row.object.clone()),
        Some(pruned) => pruned?,
    };
    drop(world);
    // At once and blindly: if the new object is the old one, it is gone now.
    for old in purge {
        ctx.shared.network.delete_object(&row.bucket, &old);
    }
    let stale = FileRow { updated: before.updated, modification: before.modification, ..after };
    let mut answer = shape::updated_file(&stale);
    answer.insert("size".to_owned(), json!(size));
    ctx.publish("FILE_UPDATED", Value::Object(answer.clone()));
    ok(Value::Object(answer))
}

/// The object column after the update. The database demands one exactly if the size is not zero;
/// an object left out keeps the old one.
fn settle(object: Object, size: u64, row: &FileRow) -> Result<Option<String>, Answer> {
    let object = match object {
        Object::Missing => row.object.clone(),
        Object::Null => None,
        Object::Id(id) => Some(id),
    };
    if (size == 0) == object.is_none() { Ok(object) } else { Err(crash()) }
}

/// Keeps the old object as a version and prunes the list. An old content without object cannot be
/// kept, nor the same object twice.
fn keep(world: &mut Inner, old: &FileRow, rules: Versioning, now: i64) -> Result<Vec<String>, Answer> {
    let Some(object) = old.object.clone() else { return Err(crash()) };
    let kept = world.versions.entry(old.uuid).or_default();
    // A unique index on file and object.
    if kept.iter().any(|version| version.object == object) {
        return Err(crash());
    }
    let oldest = now - rules.retention_days * DAY;
    let mut pruned = Vec::new();
    let mut room = rules.max_versions.saturating_sub(1);
    kept.retain(|version| {
        let stays = version.created >= oldest && room > 0;
        room = room.saturating_sub(usize::from(stays));
        if !stays {
            pruned.push(version.clone());
        }
        stays
    });
    let version = VersionRow {
        id: Uuid::new_v4(),
        account: old.account,
        object,
        size: old.size,
        modification: old.updated,
        created: now,
        expires: now + rules.retention_days * DAY,
    };
    let added = version.size;
    kept.insert(0, version);
    let lost: u64 = pruned.iter().map(|version| version.size).sum();
    let bytes = world.version_bytes.entry(old.account).or_default();
    *bytes = (*bytes + added).saturating_sub(lost);
    world.mark_dirty();
    Ok(pruned.into_iter().map(|version| version.object).collect())
}
