//! The content of one folder.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::files::nowhere;
use super::{Ctx, shape};
use crate::emulator::errors::{Answer, Reply, bare, ok_rows};
use crate::emulator::validation::{Checks, path_uuid};
use crate::emulator::world::Inner;
use crate::emulator::world::rows::Status;
use crate::emulator::world::table::{Order, Page};
use uuid::Uuid;

/// Most rows of a page.
pub(super) const PAGE: i64 = 50;

/// The orders a query may ask for, by name. Without `order` the sort is not even looked at.
pub(super) fn ordering(
    ctx: &Ctx,
    checks: &mut Checks,
    names: &[(&str, Order)],
    unasked: Order,
) -> (Order, bool) {
    let (Some(order), Some(sort)) = (ctx.query.get("order"), ctx.query.get("sort")) else {
        return (unasked, false);
    };
    if order != "ASC" && order != "DESC" {
        checks.complain("order must be one of the following values: ASC, DESC");
    }
    let found = names.iter().find(|(name, _)| *name == sort);
    if found.is_none() {
        checks.complain("sort must be one of the following values: ");
    }
    (found.map_or(unasked, |(_, order)| *order), order == "DESC")
}

const FILE_ORDERS: [(&str, Order); 5] = [
    ("updatedAt", Order::Updated),
    ("size", Order::Size),
    ("id", Order::Id),
    ("plainName", Order::Name),
    ("uuid", Order::Uuid),
];

const FOLDER_ORDERS: [(&str, Order); 4] =
    [("updatedAt", Order::Updated), ("id", Order::Id), ("plainName", Order::Name), ("uuid", Order::Uuid)];

fn page(ctx: &Ctx, checks: &mut Checks) -> Page {
    let limit = checks.number(&ctx.query, "limit", 1, Some(PAGE));
    let offset = checks.number(&ctx.query, "offset", 0, None);
    Page { limit, offset }
}

/// EXISTS files of a folder; none if the folder is somebody else's.
pub(super) fn files_of(
    world: &mut Inner,
    ctx: &Ctx,
    folder: Uuid,
    (order, down): (Order, bool),
    page: Page,
) -> Vec<Value> {
    let view = world.view(ctx.lag());
    if view.folders.get(folder).is_none_or(|row| row.account != ctx.me) {
        return Vec::new();
    }
    let rows = view.files.page(folder, order, down, page);
    let thumbnails = |uuid| world.thumbnails.get(&uuid).map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| shape::listed_file(row, thumbnails(row.uuid))).collect()
}

fn folders_of(
    world: &mut Inner,
    ctx: &Ctx,
    folder: Uuid,
    (order, down): (Order, bool),
    page: Page,
) -> Vec<Value> {
    let view = world.view(ctx.lag());
    if view.folders.get(folder).is_none_or(|row| row.account != ctx.me) {
        return Vec::new();
    }
    view.folders.page(folder, order, down, page).iter().map(|row| shape::listed_folder(row)).collect()
}

/// `GET /folders/content/{uuid}/files`.
pub(super) fn files(ctx: &Ctx, id: &str) -> Reply {
    let folder = path_uuid(id)?;
    let mut checks = Checks::default();
    let page = page(ctx, &mut checks);
    let order = ordering(ctx, &mut checks, &FILE_ORDERS, Order::Heap);
    checks.finish()?;
    let files = files_of(&mut ctx.world(), ctx, folder, order, page);
    let rows = files.len();
    ok_rows(json!({ "files": files }), rows)
}

/// `GET /folders/content/{uuid}/folders`.
pub(super) fn folders(ctx: &Ctx, id: &str) -> Reply {
    let folder = path_uuid(id)?;
    let mut checks = Checks::default();
    let page = page(ctx, &mut checks);
    let order = ordering(ctx, &mut checks, &FOLDER_ORDERS, Order::NameBytes);
    checks.finish()?;
    ok_rows(json!({ "folders": folders_of(&mut ctx.world(), ctx, folder, order, page) }), 0)
}

/// `GET /folders/content/{uuid}`: the folder with both lists, all of them unless limited.
pub(super) fn content(ctx: &Ctx, id: &str) -> Reply {
    let folder = path_uuid(id)?;
    let mut checks = Checks::default();
    let mut page = Page::EVERYTHING;
    if ctx.query.get("limit").is_some() {
        page.limit = checks.number(&ctx.query, "limit", 1, Some(PAGE));
    }
    if ctx.query.get("offset").is_some() {
        page.offset = checks.number(&ctx.query, "offset", 0, None);
    }
    checks.finish()?;
    let mut world = ctx.world();
    let mut answer = shape::folder(&*existing(&mut world, ctx, folder)?);
    let children = folders_of(&mut world, ctx, folder, (Order::NameBytes, false), page);
    let files = files_of(&mut world, ctx, folder, (Order::Heap, false), page);
    let rows = files.len();
    answer.insert("children".to_owned(), Value::Array(children));
    answer.insert("files".to_owned(), Value::Array(files));
    ok_rows(Value::Object(answer), rows)
}

/// The caller's folder that is neither trashed nor deleted.
pub(super) fn existing(
    world: &mut Inner,
    ctx: &Ctx,
    folder: Uuid,
) -> Result<std::sync::Arc<crate::emulator::world::rows::FolderRow>, Answer> {
    let row = world.view(ctx.lag()).folders.get(folder).filter(|row| row.status == Status::Exists).cloned();
    let row = row.ok_or_else(nowhere)?;
    if row.account == ctx.me { Ok(row) } else { Err(bare(StatusCode::FORBIDDEN)) }
}
