//! Folder rows: create, rename, move, delete.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Ctx;
use super::files::{nowhere, stored};
use super::shape::{self, MAX_FOLDER_NAME};
use crate::emulator::errors::{
    Answer, Reply, bad_request, bare, conflict, crash, created, empty, not_found, odd, ok, refuse,
    unprocessable,
};
use crate::emulator::validation::{Checks, path_uuid};
use crate::emulator::world::Inner;
use crate::emulator::world::rows::{FolderRow, Status};
use crate::emulator::world::table::Tables;

/// One folder of a `POST /folders`.
struct Draft {
    name: String,
    creation: Option<i64>,
    modification: Option<i64>,
}

fn valid_name(name: &str) -> bool {
    !name.contains(['/', '\\']) && !name.trim().is_empty()
}

fn draft(checks: &mut Checks, body: &Value) -> Draft {
    let name = body.get("plainName").and_then(Value::as_str);
    match name {
        None if body.get("plainName").is_some_and(|name| !name.is_null()) => {
            checks.complain("plainName must be a string");
        }
        None | Some("") => checks.complain("plainName should not be empty"),
        Some(_) => {}
    }
    Draft {
        name: name.unwrap_or_default().to_owned(),
        modification: checks.date(body, "modificationTime"),
        creation: checks.date(body, "creationTime"),
    }
}

/// `POST /folders`, one or up to five.
pub(super) async fn create(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let bulk = ctx.body.get("folders").filter(|folders| !folders.is_null());
    let drafts = match bulk {
        None => vec![draft(&mut checks, &ctx.body)],
        Some(Value::Array(folders)) => {
            if folders.len() > 5 {
                checks.complain("folders must contain no more than 5 elements");
            }
            if folders.is_empty() {
                checks.complain("folders must contain at least 1 elements");
            }
            folders.iter().map(|folder| draft(&mut checks, folder)).collect()
        }
        Some(_) => {
            checks.complain("folders must be an array");
            Vec::new()
        }
    };
    let parent = checks.uuid(&ctx.body, "parentFolderUuid");
    checks.finish()?;
    let window = {
        let mut world = ctx.world();
        let view = world.view(ctx.lag());
        match bulk {
            None => check_one(view, ctx.me, parent, &drafts[0].name)?,
            Some(_) => check_bulk(view, ctx.me, parent, &drafts)?,
        }
        world.check_window()
    };
    if !window.is_zero() {
        tokio::time::sleep(window).await;
    }
    let mut answers = insert(ctx, parent, drafts)?;
    for answer in &answers {
        ctx.publish("FOLDER_CREATED", answer.clone());
    }
    match bulk {
        None => created(answers.remove(0)),
        Some(_) => created(json!({ "created": answers })),
    }
}

/// The parent may be trashed or deleted; the service does not look.
fn check_one(view: &Tables, me: u32, parent: Uuid, name: &str) -> Result<(), Answer> {
    if view.folders.get(parent).is_none_or(|parent| parent.account != me) {
        return Err(not_found("Parent folder does not exist"));
    }
    if !valid_name(name) {
        return Err(bad_request("Invalid folder name"));
    }
    if !view.folders.live(parent, &stored(name), None).is_empty() {
        return Err(conflict("Folder with the same name already exists in this location"));
    }
    Ok(())
}

fn check_bulk(view: &Tables, me: u32, parent: Uuid, drafts: &[Draft]) -> Result<(), Answer> {
    let valid = |row: &FolderRow| row.account == me && row.status != Status::Deleted;
    if !view.folders.get(parent).is_some_and(|row| valid(row)) {
        return Err(not_found("Parent folder does not exist"));
    }
    if let Some(draft) = drafts.iter().find(|draft| !valid_name(&draft.name)) {
        return Err(bad_request(format!("Invalid folder name: {}", draft.name)));
    }
    let names: HashSet<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    if names.len() < drafts.len() {
        return Err(conflict("Duplicate folder names in request"));
    }
    let taken = |draft: &&Draft| !view.folders.live(parent, &stored(&draft.name), None).is_empty();
    let taken: Vec<&str> = drafts.iter().filter(taken).map(|draft| draft.name.as_str()).collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(odd(StatusCode::CONFLICT, json!({ "message": "Folders already exist", "existentFolders": taken })))
}

/// All or nothing. A name too long for its column and a lost race are both unexpected to the service.
fn insert(ctx: &Ctx, parent: Uuid, drafts: Vec<Draft>) -> Result<Vec<Value>, Answer> {
    let mut world = ctx.world();
    for draft in &drafts {
        let name = stored(&draft.name);
        if name.len() > MAX_FOLDER_NAME || world.folder_taken(parent, &name, None) {
            return Err(crash());
        }
    }
    let parent_id = world.primary().folders.get(parent).map(|parent| parent.id);
    let now = world.stamp();
    let mut answers = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let row = FolderRow {
            id: world.next_folder_id(),
            uuid: Uuid::new_v4(),
            account: ctx.me,
            parent: Some(parent),
            parent_id,
            plain_name: stored(&draft.name),
            name_seed: Uuid::new_v4().as_u64_pair().0,
            bucket: None,
            status: Status::Exists,
            trashed: None,
            removed: None,
            creation: draft.creation.unwrap_or(now),
            modification: draft.modification.unwrap_or(now),
            created: now,
            updated: now,
        };
        answers.push(Value::Object(shape::folder(&row)));
        world.put_folder(row);
    }
    Ok(answers)
}

/// `PUT /folders/{uuid}/meta`: takes any name, sets the modification time to now, and breaks on the
/// unique index, because its own check compares names encrypted at random.
pub(super) fn rename(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut checks = Checks::default();
    let name = draft(&mut checks, &json!({ "plainName": ctx.body.get("plainName") })).name;
    checks.finish()?;
    let mut world = ctx.world();
    let row = world.view(ctx.lag()).folders.get(uuid).ok_or_else(nowhere)?;
    if row.account != ctx.me {
        return Err(bare(StatusCode::FORBIDDEN));
    }
    if row.status == Status::Deleted {
        return Err(unprocessable(&format!("Folder {uuid} can not be updated")));
    }
    let name = stored(&name);
    let mut row = primary_folder(&world, uuid)?;
    let taken = row.status == Status::Exists
        && row.parent.is_some_and(|parent| world.folder_taken(parent, &name, Some(uuid)));
    if taken || name.len() > MAX_FOLDER_NAME {
        return Err(crash());
    }
    let now = world.stamp();
    row.plain_name = name;
    row.name_seed = Uuid::new_v4().as_u64_pair().0;
    (row.modification, row.updated) = (now, now);
    let answer = Value::Object(shape::folder(&row));
    world.put_folder(row);
    drop(world);
    ctx.publish("FOLDER_UPDATED", answer.clone());
    ok(answer)
}

fn primary_folder(world: &Inner, uuid: Uuid) -> Result<FolderRow, Answer> {
    world.primary().folders.get(uuid).map(|row| (**row).clone()).ok_or_else(crash)
}

/// The numeric id of a folder things can be moved to.
pub(super) fn destination(view: &Tables, uuid: Uuid, me: u32) -> Result<u64, Answer> {
    let row = view.folders.get(uuid).filter(|row| row.status == Status::Exists).ok_or_else(nowhere)?;
    if row.account != me {
        return Err(bare(StatusCode::FORBIDDEN));
    }
    Ok(row.id)
}

/// `PATCH /folders/{uuid}`: move, rename, restore; also into itself or below itself.
pub(super) fn relocate(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut checks = Checks::default();
    let target = checks.uuid(&ctx.body, "destinationFolder");
    checks.finish()?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = view.folders.get(uuid).ok_or_else(nowhere)?.clone();
    if row.account != ctx.me {
        return Err(bare(StatusCode::FORBIDDEN));
    }
    let Some(parent) = row.parent else {
        return Err(unprocessable("The root folder can not be moved"));
    };
    let orphaned = view.folders.get(parent).is_none_or(|parent| parent.status == Status::Deleted);
    if row.status == Status::Deleted || orphaned {
        return Err(unprocessable(&format!("Folder {uuid} can not be moved")));
    }
    let name = ctx.body.get("name").and_then(Value::as_str).map_or(row.plain_name.clone(), stored);
    if name != row.plain_name && !valid_name(&name) {
        return Err(bad_request("Invalid folder name"));
    }
    let target_id = destination(view, target, ctx.me)?;
    if parent == target && row.plain_name == name && row.status == Status::Exists {
        return Err(conflict(&format!("Folder {uuid} was already moved to that location")));
    }
    if !view.folders.live(target, &name, None).is_empty() {
        return Err(conflict("A folder with the same name already exists in destination folder"));
    }
    if name.len() > MAX_FOLDER_NAME || world.folder_taken(target, &name, Some(uuid)) {
        return Err(crash());
    }
    let mut row = primary_folder(&world, uuid)?;
    row.name_seed = Uuid::new_v4().as_u64_pair().0;
    (row.parent, row.parent_id, row.plain_name) = (Some(target), Some(target_id), name);
    (row.status, row.trashed, row.removed) = (Status::Exists, None, None);
    row.updated = world.stamp();
    let answer = Value::Object(shape::folder(&row));
    world.put_folder(row);
    drop(world);
    ctx.publish("FOLDER_UPDATED", answer.clone());
    ok(answer)
}

/// `DELETE /folders/{uuid}`: for good, with all it holds.
pub(super) fn delete(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let mine = |row: &FolderRow| row.account == ctx.me && row.status != Status::Deleted;
    let row = view.folders.get(uuid).filter(|row| mine(row)).ok_or_else(nowhere)?.clone();
    if row.parent.is_none() {
        return Err(refuse(StatusCode::NOT_ACCEPTABLE, "Cannot delete root folder"));
    }
    let now = world.stamp();
    world.delete_folder(uuid, now);
    drop(world);
    ctx.publish("FOLDER_DELETED", json!({ "id": row.id, "uuid": uuid, "userId": row.account + 1 }));
    empty(StatusCode::NO_CONTENT)
}
