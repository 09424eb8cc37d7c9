//! One item by its uuid, and what is above and below a folder.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::files::{nowhere, stored};
use super::{Ctx, listing, shape};
use crate::emulator::errors::{Reply, bad_request, bare, created, not_found, ok, ok_rows};
use crate::emulator::validation::{Checks, path_uuid};
use crate::emulator::world::rows::{FileRow, Row, Status};
use crate::emulator::world::table::{Order, Page, Tables};

/// Most files `stats` counts exactly, and the deepest level it looks at.
const STATS_FILES: usize = 1000;
const STATS_DEPTH: usize = 50;

/// Most items an existence call takes.
const MANY: usize = 200;

/// `GET /files/{uuid}/meta`: trashed and deleted ones too.
pub(super) fn file(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let row = world.view(ctx.lag()).files.get(uuid).filter(|row| row.account == ctx.me);
    let row = row.ok_or_else(|| not_found("File not found"))?;
    ok_rows(shape::meta_file(row), 1)
}

/// `GET /folders/{uuid}/meta`: trashed ones too, deleted ones not.
pub(super) fn folder(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let row = world.view(ctx.lag()).folders.get(uuid);
    let row = row.filter(|row| row.account == ctx.me && row.status != Status::Deleted);
    ok(Value::Object(shape::folder(row.ok_or_else(nowhere)?)))
}

/// `GET /folders/{uuid}/ancestors`: from the folder itself to the root, as far as nothing is deleted.
pub(super) fn ancestors(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let (mut chain, mut seen, mut next) = (Vec::new(), HashSet::new(), Some(uuid));
    while let Some(uuid) = next.filter(|uuid| seen.insert(*uuid)) {
        let row = view.folders.get(uuid);
        let row = row.filter(|row| row.account == ctx.me && row.status != Status::Deleted);
        let Some(row) = row else { break };
        chain.push(Value::Object(shape::folder(row)));
        next = row.parent;
    }
    ok(Value::Array(chain))
}

/// Calls back for every file below a folder that is not deleted, with its depth. Cycles end the walk.
fn walk(view: &Tables, top: Uuid, each: &mut impl FnMut(usize, &FileRow)) {
    let (mut pending, mut seen) = (vec![(top, 0)], HashSet::new());
    while let Some((folder, depth)) = pending.pop() {
        if !seen.insert(folder) {
            continue;
        }
        view.files.children(folder).for_each(|row| each(depth, row));
        pending.extend(view.folders.children(folder).map(|row| (row.uuid, depth + 1)));
    }
}

/// `GET /folders/{uuid}/stats`.
pub(super) fn stats(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let row = view.folders.get(uuid).filter(|row| row.account == ctx.me && row.status != Status::Deleted);
    row.ok_or_else(nowhere)?;
    let (mut count, mut bytes, mut exact) = (0usize, 0u64, true);
    walk(view, uuid, &mut |depth, file| {
        if file.status == Status::Exists {
            if count < STATS_FILES && depth <= STATS_DEPTH {
                count += 1;
                bytes += file.size;
            } else {
                exact = false;
            }
        }
    });
    ok(json!({
        "fileCount": count,
        "isFileCountExact": exact,
        "totalSize": bytes,
        "isTotalSizeExact": exact,
    }))
}

/// `GET /folders/{uuid}/size`: trashed files count, and nobody asks whose folder it is.
pub(super) fn size(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut bytes = 0u64;
    let mut world = ctx.world();
    walk(world.view(ctx.lag()), uuid, &mut |_, file| bytes += file.size);
    ok(json!({ "size": bytes }))
}

/// `GET /folders/{uuid}/tree`.
pub(super) fn tree(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    listing::existing(&mut world, ctx, uuid)?;
    let mut rows = 0;
    let tree = branch(world.view(ctx.lag()), uuid, &mut HashSet::new(), &mut rows).unwrap_or_default();
    ok_rows(json!({ "tree": tree }), rows)
}

fn branch(view: &mut Tables, uuid: Uuid, seen: &mut HashSet<Uuid>, rows: &mut usize) -> Option<Value> {
    // A cycle would be an endless answer; the service runs out of memory instead.
    if !seen.insert(uuid) {
        return None;
    }
    let mut folder = shape::folder(view.folders.get(uuid)?);
    let files = view.files.page(uuid, Order::Heap, false, Page::EVERYTHING);
    *rows += files.len();
    let shown = files.iter().map(|row| {
        let mut file = shape::file(row);
        file.insert("thumbnails".to_owned(), json!([]));
        Value::Object(file)
    });
    folder.insert("files".to_owned(), shown.collect());
    let below: Vec<Uuid> =
        view.folders.page(uuid, Order::Id, false, Page::EVERYTHING).iter().map(|row| row.uuid()).collect();
    let children = below.into_iter().filter_map(|child| branch(view, child, seen, rows));
    folder.insert("children".to_owned(), Value::Array(children.collect()));
    Some(Value::Object(folder))
}

/// An array of a body with 1 (or 0) to 200 elements.
fn many<'a>(checks: &mut Checks, body: &'a Value, name: &str, least: usize) -> &'a [Value] {
    let Some(list) = body.get(name).and_then(Value::as_array) else {
        checks.complain(format!("{name} must contain no more than {MANY} elements"));
        checks.complain(format!("{name} must be an array"));
        return &[];
    };
    if list.len() > MANY {
        checks.complain(format!("{name} must contain no more than {MANY} elements"));
    }
    if list.len() < least {
        checks.complain(format!("{name} must contain at least {least} elements"));
    }
    list
}

/// `POST /folders/content/{uuid}/files/existence`. No type means every type.
pub(super) fn existing_files(ctx: &Ctx, id: &str) -> Reply {
    let folder = path_uuid(id)?;
    let mut checks = Checks::default();
    let wanted = many(&mut checks, &ctx.body, "files", 1);
    checks.finish()?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let parent = view.folders.get(folder).filter(|row| row.status == Status::Exists).ok_or_else(nowhere)?;
    if parent.account != ctx.me {
        return Err(bare(StatusCode::FORBIDDEN));
    }
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for file in wanted {
        let name = stored(file["plainName"].as_str().unwrap_or_default());
        let kind = file["type"].as_str().filter(|kind| !kind.is_empty());
        let rows = match kind {
            Some(kind) => view.files.live(folder, &name, Some(kind)),
            None => view
                .files
                .children(folder)
                .filter(|row| row.status == Status::Exists && row.plain_name == name)
                .cloned()
                .collect(),
        };
        found.extend(rows.into_iter().filter(|row| seen.insert(row.uuid)));
    }
    let files: Vec<_> = found.iter().map(|row| Value::Object(shape::file(row))).collect();
    let rows = files.len();
    let mut answer = created(json!({ "existentFiles": files }))?;
    answer.file_rows = rows;
    Ok(answer)
}

/// `POST /folders/content/{uuid}/folders/existence`. No names mean all folders.
pub(super) fn existing_folders(ctx: &Ctx, id: &str) -> Reply {
    let folder = path_uuid(id)?;
    let mut checks = Checks::default();
    let wanted = many(&mut checks, &ctx.body, "plainNames", 0);
    checks.finish()?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let parent = view.folders.get(folder).filter(|row| row.status == Status::Exists);
    if parent.is_none_or(|row| row.account != ctx.me) {
        return Err(bad_request("Parent folder not valid"));
    }
    let found = if wanted.is_empty() {
        view.folders.page(folder, Order::NameBytes, false, Page::EVERYTHING)
    } else {
        let names = wanted.iter().filter_map(Value::as_str).map(stored);
        names.flat_map(|name| view.folders.live(folder, &name, None)).collect()
    };
    let folders: Vec<_> = found.iter().map(|row| Value::Object(shape::folder(row))).collect();
    created(json!({ "existentFolders": folders }))
}
