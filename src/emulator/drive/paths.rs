//! Items by path from the root, split as the service splits them.

use serde_json::Value;
use std::sync::Arc;

use super::{Ctx, shape};
use crate::emulator::errors::{Answer, Reply, bad_request, not_found, ok, ok_rows};
use crate::emulator::world::rows::{FolderRow, Status};
use crate::emulator::world::table::Tables;

const MAX_PATH: usize = 1024;

fn checked(ctx: &Ctx) -> Result<&str, Answer> {
    let path = ctx.query.get("path").unwrap_or_default();
    if !path.contains('/') || path.chars().count() > MAX_PATH {
        return Err(bad_request("Path is not valid"));
    }
    Ok(path)
}

/// Walks down by exact names.
fn descend<'a>(
    view: &Tables,
    root: Arc<FolderRow>,
    names: impl Iterator<Item = &'a str>,
) -> Option<Arc<FolderRow>> {
    let mut at = root;
    for name in names {
        at = view.folders.live(at.uuid, name, None).into_iter().next()?;
    }
    Some(at)
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// `GET /folders/meta?path=`.
pub(super) fn folder(ctx: &Ctx) -> Reply {
    let parts = parts(checked(ctx)?);
    let mut world = ctx.world();
    let root = world.account(ctx.me).root;
    let view = world.view(ctx.lag());
    let found = view.folders.get(root).cloned().and_then(|root| descend(view, root, parts.into_iter()));
    ok(shape::raw_folder(&*found.ok_or_else(|| not_found("Folder not found"))?))
}

/// `GET /files/meta?path=`. A trailing dot and blanks around an extension are lost on the way, so such
/// names are never found.
pub(super) fn file(ctx: &Ctx) -> Reply {
    let mut parts = parts(checked(ctx)?);
    let name = parts.pop().unwrap_or_default();
    let (stem, kind) = match name.rfind('.') {
        Some(dot) if dot > 0 => (&name[..dot], Some(name[dot + 1..].trim()).filter(|kind| !kind.is_empty())),
        _ => (name, None),
    };
    let mut world = ctx.world();
    let root = world.account(ctx.me).root;
    let view = world.view(ctx.lag());
    let folder = view.folders.get(root).cloned().and_then(|root| descend(view, root, parts.into_iter()));
    let folder = folder.ok_or_else(|| not_found("Parent folders not found"))?;
    let row = view.files.live(folder.uuid, stem, kind).into_iter().find(|row| row.status == Status::Exists);
    let row = row.ok_or_else(|| not_found("File not found"))?;
    ok_rows(Value::Object(shape::file(&row)), 1)
}
