//! File rows: create, rename, move, delete. Content is [`super::replace`]'s.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::shape::{self, MAX_FILE_NAME, MAX_FILE_TYPE};
use super::{Ctx, folders};
use crate::emulator::errors::{
    Answer, Reply, bad_request, bare, conflict, crash, created, empty, forbidden, not_found, ok, payment,
    too_large_for_plan, unprocessable,
};
use crate::emulator::validation::{Checks, path_uuid, whole};
use crate::emulator::world::Inner;
use crate::emulator::world::rows::{FileRow, Status};

const TAKEN_HERE: &str = "A file with this name already exists in this location";

/// A validated `POST /files`.
struct Draft {
    folder: Uuid,
    name: String,
    kind: Option<String>,
    /// Not yet whole: a fraction passes validation and breaks the database.
    size: f64,
    object: Option<String>,
    bucket: String,
    encrypt_version: String,
    creation: Option<i64>,
    modification: Option<i64>,
}

/// The database driver writes NUL as a backslash and a zero.
pub(super) fn stored(name: &str) -> String {
    name.replace('\0', "\\0")
}

fn too_long(name: &str, kind: Option<&str>) -> bool {
    name.chars().count() > MAX_FILE_NAME || kind.is_some_and(|kind| kind.chars().count() > MAX_FILE_TYPE)
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// The object of a create: missing, null and empty are all "none".
fn check_object(checks: &mut Checks, body: &Value, size: Option<f64>) -> Option<String> {
    let object = text(body, "fileId").filter(|object| !object.is_empty()).map(str::to_owned);
    match (&object, size) {
        (None, Some(size)) if size > 0.0 => checks.complain("fileId is required when size is greater than 0"),
        (Some(_), Some(0.0)) => checks.complain("fileId must not be provided when size is 0"),
        (Some(object), _) if object.chars().count() > 24 => {
            checks.complain("fileId must not exceed 24 characters");
        }
        _ => {}
    }
    object
}

fn validate(body: &Value) -> Result<Draft, Answer> {
    let mut checks = Checks::default();
    let bucket = checks.text(body, "bucket");
    let mut size_checks = Checks::default();
    let size = size_checks.size(body);
    let object = check_object(&mut checks, body, size);
    let encrypt_version = checks.text(body, "encryptVersion");
    let folder = checks.uuid(body, "folderUuid");
    checks.size(body);
    let name = checks.text(body, "plainName");
    let modification = checks.date(body, "modificationTime");
    let date = checks.date(body, "date");
    let creation = checks.date(body, "creationTime").or(date);
    checks.finish()?;
    Ok(Draft {
        folder,
        name: stored(&name),
        kind: text(body, "type").filter(|kind| !kind.is_empty()).map(stored),
        size: size.unwrap_or(0.0),
        object,
        bucket,
        encrypt_version,
        creation,
        modification,
    })
}

/// `POST /files`.
pub(super) async fn create(ctx: &Ctx) -> Reply {
    let draft = validate(&ctx.body)?;
    let window = {
        let mut world = ctx.world();
        check_create(&mut world, ctx, &draft)?;
        world.check_window()
    };
    if !window.is_zero() {
        tokio::time::sleep(window).await;
    }
    insert(ctx, draft)
}

fn check_create(world: &mut Inner, ctx: &Ctx, draft: &Draft) -> Result<(), Answer> {
    let account = world.account(ctx.me);
    let (max_upload, max_empty) = (account.max_upload(), account.max_empty_files());
    let view = world.view(ctx.lag());
    let folder = view.folders.get(draft.folder).filter(|folder| folder.status == Status::Exists);
    let folder = folder.ok_or_else(|| not_found("Folder not found"))?;
    if folder.account != ctx.me {
        return Err(forbidden("Folder is not yours"));
    }
    if !view.files.live(draft.folder, &draft.name, draft.kind.as_deref()).is_empty() {
        return Err(conflict("File already exists"));
    }
    if draft.size == 0.0 {
        if max_empty == 0 {
            return Err(payment("You can not have empty files, upgrade your plan to get more features"));
        }
        if view.files.empty(ctx.me) >= max_empty {
            return Err(bad_request("You can not have more empty files"));
        }
    }
    if whole(draft.size).is_some_and(|size| size > max_upload) {
        return Err(too_large_for_plan());
    }
    Ok(())
}

fn insert(ctx: &Ctx, draft: Draft) -> Reply {
    let mut world = ctx.world();
    let size = whole(draft.size).ok_or_else(crash)?;
    if too_long(&draft.name, draft.kind.as_deref()) {
        return Err(crash());
    }
    if world.file_taken(draft.folder, &draft.name, draft.kind.as_deref(), None) {
        return Err(conflict(TAKEN_HERE));
    }
    let folder_id = world.primary().folders.get(draft.folder).map_or(0, |folder| folder.id);
    let now = world.stamp();
    let row = FileRow {
        id: world.next_file_id(),
        uuid: Uuid::new_v4(),
        account: ctx.me,
        folder: draft.folder,
        folder_id,
        plain_name: draft.name,
        kind: draft.kind,
        size,
        bucket: draft.bucket,
        object: draft.object,
        encrypt_version: draft.encrypt_version,
        status: Status::Exists,
        trashed: None,
        removed: None,
        creation: draft.creation.unwrap_or(now),
        modification: draft.modification.unwrap_or(now),
        created: now,
        updated: now,
    };
    let answer = Value::Object(shape::file(&row));
    world.account_mut(ctx.me).usage = None;
    world.put_file(row);
    drop(world);
    ctx.publish("FILE_CREATED", answer.clone());
    created(answer)
}

/// `PUT /files/{uuid}/meta`: sets the modification time to now and answers the old `updatedAt`.
pub(super) fn rename(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let (name, kind) = (text(&ctx.body, "plainName"), text(&ctx.body, "type"));
    if name.is_none() && kind.is_none() {
        return Err(bad_request("Missing update file metadata"));
    }
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = view.files.get(uuid).filter(|row| row.account == ctx.me && row.status == Status::Exists);
    let row = row.ok_or_else(|| not_found("File not found"))?;
    let name = name.map_or_else(|| row.plain_name.clone(), |name| stored(name.trim_start()));
    let kind = match kind {
        Some(kind) => Some(stored(kind.trim_end())).filter(|kind| !kind.is_empty()),
        None => row.kind.clone(),
    };
    if name.trim().is_empty() && kind.as_deref().is_none_or(|kind| kind.trim().is_empty()) {
        return Err(bad_request("Filename cannot be empty"));
    }
    if !view.files.live(row.folder, &name, kind.as_deref()).is_empty() {
        return Err(conflict(TAKEN_HERE));
    }
    let folder = row.folder;
    if too_long(&name, kind.as_deref()) {
        return Err(crash());
    }
    if world.file_taken(folder, &name, kind.as_deref(), Some(uuid)) {
        return Err(conflict(TAKEN_HERE));
    }
    let mut row = primary_file(&world, uuid)?;
    let now = world.stamp();
    (row.plain_name, row.kind, row.modification) = (name, kind, now);
    let answer = Value::Object(shape::updated_file(&row));
    row.updated = now;
    world.put_file(row);
    drop(world);
    ctx.publish("FILE_UPDATED", answer.clone());
    ok(answer)
}

/// The row to change, as the primary has it.
pub(super) fn primary_file(world: &Inner, uuid: Uuid) -> Result<FileRow, Answer> {
    world.primary().files.get(uuid).map(|row| (**row).clone()).ok_or_else(crash)
}

/// `PATCH /files/{uuid}`: move, rename, restore. Answers the old `updatedAt`.
pub(super) fn relocate(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut checks = Checks::default();
    let destination = checks.uuid(&ctx.body, "destinationFolder");
    checks.finish()?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = view.files.get(uuid).filter(|row| row.account == ctx.me && row.status != Status::Deleted);
    let row = row.ok_or_else(|| unprocessable(&format!("File {uuid} can not be moved")))?.clone();
    let name = text(&ctx.body, "name").map_or_else(|| row.plain_name.clone(), stored);
    let kind = match text(&ctx.body, "type") {
        Some(kind) => Some(stored(kind)).filter(|kind| !kind.is_empty()),
        None => row.kind.clone(),
    };
    if name.trim().is_empty() && kind.as_deref().is_none_or(|kind| kind.trim().is_empty()) {
        return Err(bad_request("Filename is not valid"));
    }
    let folder_id = folders::destination(view, destination, ctx.me)?;
    let unmoved = row.folder == destination && row.plain_name == name && row.kind == kind;
    if unmoved && row.status == Status::Exists {
        return Err(conflict(&format!("File {uuid} was already moved to that location")));
    }
    if !view.files.live(destination, &name, kind.as_deref()).is_empty() {
        return Err(conflict("A file with the same name already exists in destination folder"));
    }
    if too_long(&name, kind.as_deref()) || world.file_taken(destination, &name, kind.as_deref(), Some(uuid)) {
        return Err(crash());
    }
    let mut row = primary_file(&world, uuid)?;
    (row.folder, row.folder_id, row.plain_name, row.kind) = (destination, folder_id, name, kind);
    row.status = Status::Exists;
    let answer = Value::Object(shape::file(&row));
    row.updated = world.stamp();
    world.put_file(row);
    drop(world);
    ctx.publish("FILE_UPDATED", answer.clone());
    ok(answer)
}

/// `DELETE /files/{uuid}`: for good, from wherever it is.
pub(super) fn delete(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = view.files.get(uuid).filter(|row| row.status != Status::Deleted);
    let row = row.ok_or_else(|| not_found("File not found"))?.clone();
    if row.account != ctx.me {
        return Err(forbidden("This file is not yours"));
    }
    let now = world.stamp();
    world.delete_file(uuid, now);
    drop(world);
    ctx.publish("FILE_DELETED", json!({ "id": row.id, "uuid": uuid }));
    ok(json!({ "deleted": true }))
}

/// `DELETE /files/{bucket}/{fileId}`: the row that has the object, or else the object itself.
pub(super) fn delete_by_object(ctx: &Ctx, bucket: &str, object: &str) -> Reply {
    let mut world = ctx.world();
    // Clients call this only to clean up after a failed create, so a walk over the account will do.
    let mut rows = world.primary().files.by_uuid(ctx.me);
    let row =
        rows.find(|row| row.object.as_deref() == Some(object) && row.status != Status::Deleted).cloned();
    drop(rows);
    let owned = world.account(ctx.me).owns(bucket);
    if let Some(row) = row {
        let now = world.stamp();
        world.delete_file(row.uuid, now);
        drop(world);
        ctx.publish("FILE_DELETED", json!({ "id": row.id, "uuid": row.uuid }));
    } else {
        drop(world);
        if !owned {
            return Err(crash());
        }
        ctx.shared.network.delete_object(bucket, object);
    }
    empty(StatusCode::OK)
}

/// Not found without a message, as the folder routes say it.
pub(super) fn nowhere() -> Answer {
    bare(StatusCode::NOT_FOUND)
}
