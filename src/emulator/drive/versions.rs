//! Kept versions of a file.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::Ctx;
use super::files::primary_file;
use super::shape;
use crate::emulator::errors::{Answer, Reply, bad_request, conflict, created, empty, not_found, ok};
use crate::emulator::validation::path_uuid;
use crate::emulator::world::Inner;
use crate::emulator::world::rows::{FileRow, Status};

/// The caller's file, in whatever state.
fn own_file(world: &mut Inner, ctx: &Ctx, uuid: Uuid) -> Result<FileRow, Answer> {
    let row = world.view(ctx.lag()).files.get(uuid).filter(|row| row.account == ctx.me);
    row.map(|row| (**row).clone()).ok_or_else(|| not_found("File not found"))
}

/// `GET /files/{uuid}/versions`, newest first.
pub(super) fn list(ctx: &Ctx, id: &str) -> Reply {
    let uuid = path_uuid(id)?;
    let mut world = ctx.world();
    own_file(&mut world, ctx, uuid)?;
    let kept = world.versions.get(&uuid).map(Vec::as_slice).unwrap_or_default();
    let versions = kept.iter().map(|row| shape::version(uuid, row, &ctx.me_uuid));
    ok(versions.collect())
}

fn place(world: &Inner, file: Uuid, version: Uuid) -> Result<usize, Answer> {
    let kept = world.versions.get(&file).map(Vec::as_slice).unwrap_or_default();
    kept.iter().position(|row| row.id == version).ok_or_else(|| not_found("Version not found"))
}

fn take_bytes(world: &mut Inner, account: u32, bytes: u64) {
    if let Some(kept) = world.version_bytes.get_mut(&account) {
        *kept = kept.saturating_sub(bytes);
    }
    world.mark_dirty();
}

/// `DELETE /files/{uuid}/versions/{id}`.
pub(super) fn delete(ctx: &Ctx, id: &str, version: &str) -> Reply {
    let (uuid, version) = (path_uuid(id)?, path_uuid(version)?);
    let mut world = ctx.world();
    let row = own_file(&mut world, ctx, uuid)?;
    let at = place(&world, uuid, version)?;
    let gone = world.versions.get_mut(&uuid).map(|kept| kept.remove(at));
    if let Some(gone) = gone {
        take_bytes(&mut world, row.account, gone.size);
        drop(world);
        ctx.shared.network.delete_object(&row.bucket, &gone.object);
    }
    empty(StatusCode::NO_CONTENT)
}

/// `POST /files/{uuid}/versions/{id}/restore`: the version becomes the content, all newer ones go, the
/// modification time stays, and nobody is told.
pub(super) fn restore(ctx: &Ctx, id: &str, version: &str) -> Reply {
    let (uuid, version) = (path_uuid(id)?, path_uuid(version)?);
    let mut world = ctx.world();
    let row = own_file(&mut world, ctx, uuid)?;
    if row.status != Status::Exists {
        return Err(bad_request(format!("{} files can not be restored", row.status.name())));
    }
    let at = place(&world, uuid, version)?;
    let mut newer: Vec<_> =
        world.versions.get_mut(&uuid).map(|kept| kept.drain(..=at).collect()).unwrap_or_default();
    let Some(chosen) = newer.pop() else { return Err(conflict("Version can not be restored")) };
    let mut row = primary_file(&world, uuid)?;
    let mut lost: Vec<String> = newer.iter().map(|version| version.object.clone()).collect();
    lost.extend(row.object.take());
    let bytes = newer.iter().map(|version| version.size).sum::<u64>() + chosen.size;
    take_bytes(&mut world, row.account, bytes);
    (row.object, row.size) = (Some(chosen.object), chosen.size);
    row.updated = world.stamp();
    let bucket = row.bucket.clone();
    let answer = Value::Object(shape::file(&row));
    world.put_file(row);
    drop(world);
    for object in lost {
        ctx.shared.network.delete_object(&bucket, &object);
    }
    created(answer)
}
