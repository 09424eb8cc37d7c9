//! Account-wide lists: what changed since when.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::listing::ordering;
use super::{Ctx, shape};
use crate::emulator::errors::{Reply, crash, ok, ok_rows};
use crate::emulator::validation::{Checks, parse_uuid};
use crate::emulator::world::clock::{iso, parse_iso};
use crate::emulator::world::rows::{Row, Status};
use crate::emulator::world::table::{Order, Page, Table};

/// Most rows of a feed's page.
const PAGE: i64 = 1000;

const WEEK: i64 = 7 * 86_400_000_000;

/// What both feeds filter by.
struct Filter {
    status: Option<Status>,
    after: Option<i64>,
    bucket: Option<String>,
    page: Page,
    order: (Order, bool),
}

impl Filter {
    fn passes<R: Row>(&self, row: &R) -> bool {
        self.status.is_none_or(|status| row.status() == status)
            && self.after.is_none_or(|after| row.updated() > after)
    }
}

/// One page of a table. Rows come by an index, so only what is skipped and taken costs time.
fn select<R: Row>(
    table: &Table<R>,
    account: u32,
    filter: &Filter,
    fits: impl Fn(&R) -> bool,
) -> Vec<std::sync::Arc<R>> {
    let passes = |row: &&std::sync::Arc<R>| filter.passes(&***row) && fits(row);
    let Page { limit, offset } = filter.page;
    let from = filter.after.map_or(i64::MIN, |after| after.saturating_add(1));
    match filter.order {
        (Order::Uuid, false) => {
            table.by_uuid(account).filter(passes).skip(offset).take(limit).cloned().collect()
        }
        (Order::Uuid, true) => {
            table.by_uuid(account).rev().filter(passes).skip(offset).take(limit).cloned().collect()
        }
        (Order::Name, down) => {
            let mut rows: Vec<_> = table.by_uuid(account).filter(passes).cloned().collect();
            rows.sort_by(|a, b| a.name().cmp(b.name()));
            if down {
                rows.reverse();
            }
            rows.into_iter().skip(offset).take(limit).collect()
        }
        (_, false) => table.changed(account, from).filter(passes).skip(offset).take(limit).cloned().collect(),
        (_, true) => {
            table.changed(account, from).rev().filter(passes).skip(offset).take(limit).cloned().collect()
        }
    }
}

fn page(ctx: &Ctx, checks: &mut Checks) -> Page {
    let limit = checks.number(&ctx.query, "limit", 1, Some(PAGE));
    let offset = checks.number(&ctx.query, "offset", 0, None);
    Page { limit, offset }
}

/// `GET /files`.
pub(super) fn files(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let page = page(ctx, &mut checks);
    let status = ctx.query.get("status");
    let parsed = status.and_then(Status::parse);
    if parsed.is_none() && status != Some("ALL") {
        checks.complain("status must be one of the following values: ");
    }
    let names = [("updatedAt", Order::Updated), ("uuid", Order::Uuid)];
    let order = ordering(ctx, &mut checks, &names, Order::Updated);
    checks.finish()?;
    // Not validated: a date that is none breaks the query.
    let after = match ctx.query.get("updatedAt") {
        Some(date) => Some(parse_iso(date).ok_or_else(crash)?),
        None => None,
    };
    let bucket = ctx.query.get("bucket").map(str::to_owned);
    let filter = Filter { status: parsed, after, bucket, page, order };
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let rows = select(&view.files, ctx.me, &filter, |row| {
        filter.bucket.as_ref().is_none_or(|bucket| row.bucket == *bucket)
    });
    drop(world);
    let count = rows.len();
    ok_rows(rows.iter().map(|row| Value::Object(shape::feed_file(row))).collect(), count)
}

/// `GET /folders`. Folders without a parent never appear.
pub(super) fn folders(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let page = page(ctx, &mut checks);
    let status = ctx.query.get("status");
    let parsed = status.and_then(Status::parse);
    if parsed.is_none() && status != Some("ALL") {
        let status = status.unwrap_or("undefined");
        let allowed = "ALL, EXISTS, TRASHED, DELETED";
        checks.complain(format!("Unknown status \"{status}\". Allowed values are: {allowed}"));
    }
    let after = ctx.query.get("updatedAt").map(parse_iso);
    if after == Some(None) {
        checks.complain("updatedAt must be a valid ISO 8601 date string");
    }
    let names = [("updatedAt", Order::Updated), ("uuid", Order::Uuid), ("plainName", Order::Name)];
    let order = ordering(ctx, &mut checks, &names, Order::Updated);
    checks.finish()?;
    let filter = Filter { status: parsed, after: after.flatten(), bucket: None, page, order };
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let rows = select(&view.folders, ctx.me, &filter, |row| row.parent.is_some());
    drop(world);
    ok(rows.iter().map(|row| Value::Object(shape::folder(row))).collect())
}

/// Where a page of `/files/sync` ended. The token keeps milliseconds of a time that has microseconds.
struct Cursor {
    updated: i64,
    uuid: Uuid,
}

fn read_cursor(token: &str) -> Option<Cursor> {
    let bytes = STANDARD.decode(token).ok()?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    Some(Cursor {
        updated: parse_iso(value["updatedAt"].as_str()?)?,
        uuid: parse_uuid(value["uuid"].as_str()?)?,
    })
}

fn write_cursor<R: Row>(row: &R, status: Option<Status>) -> String {
    let mut value = json!({ "updatedAt": iso(row.updated()), "uuid": row.uuid() });
    if let Some(status) = status {
        value["status"] = json!(status.name());
    }
    STANDARD.encode(value.to_string())
}

/// `GET /files/sync`: pages by cursor.
pub(super) fn sync(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let limit = match ctx.query.get("limit") {
        Some(_) => checks.number(&ctx.query, "limit", 1, Some(PAGE)),
        None => 1000,
    };
    let status = ctx.query.get("status");
    let parsed = status.and_then(Status::parse);
    if status.is_some() && parsed.is_none() {
        checks.complain("status must be one of the following values: EXISTS, TRASHED, DELETED");
    }
    let cursor = ctx.query.get("cursor");
    let after = ctx.query.get("updatedAt").and_then(parse_iso);
    if cursor.is_none() && after.is_none() {
        checks.complain("updatedAt must be a valid ISO8601 date");
    }
    let cursor = cursor.map(read_cursor);
    if matches!(cursor, Some(None)) {
        checks.complain("Invalid cursor");
    }
    checks.finish()?;
    // Rows of the cursor's own millisecond compare greater than it as soon as they have microseconds.
    let from = cursor.flatten().unwrap_or(Cursor { updated: after.unwrap_or(0), uuid: Uuid::max() });
    let later = |row: &&std::sync::Arc<_>| passes_cursor(&***row, &from);
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    let rows: Vec<_> = view
        .files
        .changed(ctx.me, from.updated)
        .filter(later)
        .filter(|row| parsed.is_none_or(|status| row.status == status))
        .take(limit)
        .cloned()
        .collect();
    drop(world);
    let next = rows.last().filter(|_| rows.len() == limit).map(|last| write_cursor(&**last, parsed));
    let files: Vec<_> = rows.iter().map(|row| Value::Object(shape::feed_file(row))).collect();
    ok_rows(json!({ "files": files, "nextCursor": next }), rows.len())
}

fn passes_cursor<R: Row>(row: &R, from: &Cursor) -> bool {
    (row.updated(), row.uuid()) > (from.updated, from.uuid)
}

/// `GET /files/recents`: the last week, newest first.
pub(super) fn recents(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let limit = match ctx.query.get("limit") {
        Some(_) => checks.number(&ctx.query, "limit", 1, Some(PAGE)),
        None => 1000,
    };
    checks.finish()?;
    let mut world = ctx.world();
    let from = world.now() - WEEK;
    let view = world.view(ctx.lag());
    let rows: Vec<_> = view
        .files
        .changed(ctx.me, from)
        .rev()
        .filter(|row| row.status == Status::Exists)
        .take(limit)
        .cloned()
        .collect();
    let files: Vec<_> = rows.iter().map(|row| shape::listed_file(row, &[])).collect();
    ok_rows(Value::Array(files), rows.len())
}

fn counted(ctx: &Ctx) -> Result<Status, crate::emulator::errors::Answer> {
    let mut checks = Checks::default();
    let status = match ctx.query.get("status") {
        None => Status::Exists,
        Some("trashed") => Status::Trashed,
        Some(_) => {
            checks.complain("status must be one of the following values: orphan, trashed");
            Status::Exists
        }
    };
    checks.finish()?;
    Ok(status)
}

/// `GET /files/count`.
pub(super) fn count_files(ctx: &Ctx) -> Reply {
    let status = counted(ctx)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    ok(json!({ "count": view.files.by_uuid(ctx.me).filter(|row| row.status == status).count() }))
}

/// `GET /folders/count`; the root counts.
pub(super) fn count_folders(ctx: &Ctx) -> Reply {
    let status = counted(ctx)?;
    let mut world = ctx.world();
    let view = world.view(ctx.lag());
    ok(json!({ "count": view.folders.by_uuid(ctx.me).filter(|row| row.status == status).count() }))
}
