//! The trash: in, out for good, and what is in it.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::listing::PAGE;
use super::{Ctx, shape};
use crate::emulator::errors::{Answer, Reply, empty, odd, ok, ok_rows};
use crate::emulator::validation::{Checks, parse_uuid};
use crate::emulator::world::Inner;
use crate::emulator::world::clock::iso;
use crate::emulator::world::rows::{Row, Status};
use crate::emulator::world::table::Table;

/// Most items of a call.
const MANY: usize = 50;

const DAY: i64 = 86_400_000_000;

struct Item {
    /// `None`: named by the legacy number, which does nothing for files.
    uuid: Option<String>,
    folder: bool,
}

fn items(body: &Value) -> Result<Vec<Item>, Answer> {
    let mut checks = Checks::default();
    let list = body.get("items").and_then(Value::as_array);
    if list.is_none_or(|list| list.len() > MANY) {
        checks.complain(format!("items must contain no more than {MANY} elements"));
    }
    if list.is_none() {
        checks.complain("items must be an array");
    }
    let mut items = Vec::new();
    for (at, item) in list.into_iter().flatten().enumerate() {
        let (uuid, id) = (&item["uuid"], &item["id"]);
        if uuid.is_null() == id.is_null() {
            checks.complain(format!("items.{at}.Either id or uuid must be provided, but not both"));
        }
        let kind = item["type"].as_str();
        if !matches!(kind, Some("file" | "folder")) {
            checks.complain(format!("items.{at}.type must be one of the following values: file, folder"));
        }
        items.push(Item { uuid: uuid.as_str().map(str::to_owned), folder: kind == Some("folder") });
    }
    checks.finish()?;
    Ok(items)
}

/// The crash of the trash routes: its message is an object.
fn broken() -> Answer {
    odd(
        StatusCode::INTERNAL_SERVER_ERROR,
        json!({ "statusCode": 500, "message": { "error": "Internal Server Error" } }),
    )
}

fn resolve(items: Vec<Item>) -> Result<Vec<(Uuid, bool)>, Answer> {
    let named = items.into_iter().filter_map(|item| item.uuid.map(|uuid| (uuid, item.folder)));
    named.map(|(uuid, folder)| Ok((parse_uuid(&uuid).ok_or_else(broken)?, folder))).collect()
}

/// `POST /storage/trash/add`. Whatever cannot be trashed is passed over in silence.
pub(super) fn add(ctx: &Ctx) -> Reply {
    let items = resolve(items(&ctx.body)?)?;
    let mut world = ctx.world();
    let now = world.stamp();
    for (uuid, folder) in &items {
        if *folder {
            trash_folder(&mut world, ctx.me, *uuid, now);
        } else {
            trash_file(&mut world, ctx.me, *uuid, now);
        }
    }
    drop(world);
    let told = items
        .iter()
        .map(|(uuid, folder)| json!({ "uuid": uuid, "type": if *folder { "folder" } else { "file" } }));
    ctx.publish("ITEMS_TO_TRASH", told.collect());
    empty(StatusCode::OK)
}

fn trash_file(world: &mut Inner, me: u32, uuid: Uuid, now: i64) {
    let row = world.primary().files.get(uuid);
    let row = row.filter(|row| row.account == me && row.status == Status::Exists);
    let Some(mut row) = row.map(|row| (**row).clone()) else { return };
    (row.status, row.trashed, row.updated) = (Status::Trashed, Some(now), now);
    world.put_file(row);
}

fn trash_folder(world: &mut Inner, me: u32, uuid: Uuid, now: i64) {
    let row = world.primary().folders.get(uuid);
    let row = row.filter(|row| row.account == me && row.status == Status::Exists && row.parent.is_some());
    let Some(mut row) = row.map(|row| (**row).clone()) else { return };
    (row.status, row.trashed, row.updated) = (Status::Trashed, Some(now), now);
    world.put_folder(row);
}

/// `DELETE /storage/trash`: items for good, in the trash or not, and nobody is told.
pub(super) fn delete(ctx: &Ctx) -> Reply {
    let items = resolve(items(&ctx.body)?)?;
    let mut world = ctx.world();
    let now = world.stamp();
    for (uuid, folder) in items {
        remove(&mut world, ctx.me, uuid, folder, now);
    }
    empty(StatusCode::ACCEPTED)
}

fn remove(world: &mut Inner, me: u32, uuid: Uuid, folder: bool, now: i64) {
    if folder {
        let row = world.primary().folders.get(uuid);
        if row.is_some_and(|row| row.account == me && row.parent.is_some()) {
            world.delete_folder(uuid, now);
        }
    } else if world.primary().files.get(uuid).is_some_and(|row| row.account == me) {
        world.delete_file(uuid, now);
    }
}

/// `DELETE /storage/trash/all`: one statement, so all rows get the same time to the microsecond.
pub(super) fn delete_all(ctx: &Ctx) -> Reply {
    let mut world = ctx.world();
    let now = world.stamp();
    let trashed_folders = trashed(&world.primary().folders, ctx.me);
    let trashed_files = trashed(&world.primary().files, ctx.me);
    let processing = trashed_files.len() + trashed_folders.len() > 10_000;
    for uuid in trashed_files {
        world.delete_file(uuid, now);
    }
    for uuid in trashed_folders {
        world.delete_folder(uuid, now);
    }
    let (message, status) = if processing {
        ("Trash is being emptied", "processing")
    } else {
        ("Trash emptied successfully", "completed")
    };
    ok(json!({ "message": message, "status": status }))
}

fn trashed<R: Row>(table: &Table<R>, account: u32) -> Vec<Uuid> {
    table.by_uuid(account).filter(|row| row.status() == Status::Trashed).map(|row| row.uuid()).collect()
}

/// `GET /storage/trash/paginated`.
pub(super) fn list(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let limit = checks.number(&ctx.query, "limit", 1, Some(PAGE));
    let offset = checks.number(&ctx.query, "offset", 0, None);
    let kind = ctx.query.get("type");
    if !matches!(kind, Some("files" | "folders")) {
        checks.complain("type must be one of the following values: files, folders");
    }
    checks.finish()?;
    let mut world = ctx.world();
    let retention = world.account(ctx.me).spec.plan.trash_days() * DAY;
    let oldest = world.now() - retention;
    let view = world.view(ctx.lag());
    let parent = |uuid: Option<Uuid>| {
        let row = uuid.and_then(|uuid| view.folders.get(uuid));
        row.map(|row| json!({ "plainName": row.plain_name, "status": row.status.name(), "uuid": row.uuid }))
    };
    let dress = |value: &mut Value, above: Option<Uuid>, updated: i64| {
        value["parent"] = json!(parent(above));
        value["expiresAt"] = json!(iso(updated + retention));
    };
    let mut result: Vec<Value> = Vec::new();
    if kind == Some("files") {
        let rows = view.files.changed(ctx.me, oldest).filter(|row| row.status == Status::Trashed);
        for row in rows.skip(offset).take(limit) {
            let mut value = shape::listed_file(row, &[]);
            dress(&mut value, Some(row.folder), row.updated);
            result.push(value);
        }
        let rows = result.len();
        return ok_rows(json!({ "result": result }), rows);
    }
    let rows = view.folders.changed(ctx.me, oldest).filter(|row| row.status == Status::Trashed);
    for row in rows.skip(offset).take(limit) {
        let mut value = shape::listed_folder(row);
        if let Some(map) = value.as_object_mut() {
            for key in ["status", "type", "creationTime", "modificationTime", "parentUuid"] {
                map.remove(key);
            }
        }
        dress(&mut value, row.parent, row.updated);
        result.push(value);
    }
    ok(json!({ "result": result }))
}
