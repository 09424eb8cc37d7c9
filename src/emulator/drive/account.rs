//! What an account uses and may use.

use serde_json::json;

use super::Ctx;
use crate::emulator::errors::{Reply, ok};

/// How long usage is cached. Creating a file drops it; deleting and replacing do not.
const USAGE_CACHE: i64 = 600_000_000;

/// `GET /users/usage`.
pub(super) fn usage(ctx: &Ctx) -> Reply {
    let mut world = ctx.world();
    let now = world.now();
    let cached = world.account(ctx.me).usage.filter(|(at, _)| now - at < USAGE_CACHE);
    let drive = match cached {
        Some((_, used)) => used,
        None => {
            let used = world.used(ctx.me);
            world.account_mut(ctx.me).usage = Some((now, used));
            used
        }
    };
    ok(json!({ "drive": drive, "backup": 0, "mail": 0, "total": drive }))
}

/// `GET /users/limit`.
pub(super) fn limit(ctx: &Ctx) -> Reply {
    ok(json!({ "maxSpaceBytes": ctx.world().account(ctx.me).max_space() }))
}

/// `GET /files/limits`.
pub(super) fn limits(ctx: &Ctx) -> Reply {
    let world = ctx.world();
    let account = world.account(ctx.me);
    let rules = account.spec.plan.versioning();
    ok(json!({
        "versioning": {
            "enabled": rules.is_some(),
            "maxFileSize": rules.map_or(0, |rules| rules.max_file_size),
            "retentionDays": rules.map_or(0, |rules| rules.retention_days),
            "maxVersions": rules.map_or(0, |rules| rules.max_versions),
        },
        "maxUploadFileSize": account.max_upload(),
        "photosAccess": rules.is_some(),
    }))
}

/// `GET /users/me/upload-status`.
pub(super) fn upload_status(ctx: &Ctx) -> Reply {
    let uploaded = ctx.world().primary().files.by_uuid(ctx.me).next().is_some();
    ok(json!({ "hasUploadedFiles": uploaded }))
}
