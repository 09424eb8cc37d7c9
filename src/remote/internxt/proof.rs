//! Whether the key in use is the account's: nothing at the service would notice a foreign one, and no other client could read
//! what was uploaded with it.

use futures_util::StreamExt;

use super::Internxt;
use crate::api::Lane;
use crate::api::drive::FeedQuery;
use crate::crypto::content;
use crate::remote::{Remote, Result, Row};
use crate::types::{Kind, Urgency};

/// Files whose codes are looked at.
const FILES: u64 = 50;
/// Files whose first bytes are looked at, where there are no codes.
const HEADS: usize = 5;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The key opens what the account holds.
    Proven,
    /// It does not.
    Foreign,
    /// The account holds nothing that could tell.
    Unknown,
}

impl Internxt {
    /// Compares the codes of the account's newest files with what the key makes of them; where none has one, looks for
    /// the first bytes that files of some kinds have.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn prove_key(&self) -> Result<Proof> {
        let query = FeedQuery { live_only: true, after: None, offset: 0, limit: FILES, descending: true };
        let (rows, _) = self.0.feed(Kind::File, query).await?;
        for version in rows.iter().filter_map(|row| row.content.as_ref()) {
            // An object of an old layout, or one that is gone, says nothing.
            let Ok(object) = self.0.object(version, None, Lane::Look).await else { continue };
            if let Some(code) = &object.code {
                let same = content::same_code(&content::hmac(&object.key, &object.hash), code);
                return Ok(if same { Proof::Proven } else { Proof::Foreign });
            }
        }
        for row in rows.iter().filter(|row| magic(row).is_some()).take(HEADS) {
            if let Some(fits) = self.head_fits(row).await {
                return Ok(if fits { Proof::Proven } else { Proof::Foreign });
            }
        }
        Ok(Proof::Unknown)
    }

    async fn head_fits(&self, row: &Row) -> Option<bool> {
        let (magic, version) = (magic(row)?, row.content.as_ref()?);
        let want = magic.len() as u64;
        let mut stream = self.read(version, row.size, 0..want, Urgency::Now).await.ok()?;
        let mut head = Vec::new();
        while let Some(piece) = stream.next().await {
            head.extend_from_slice(&piece.ok()?);
        }
        Some(head == magic)
    }
}

/// What a file of this kind begins with.
fn magic(row: &Row) -> Option<&'static [u8]> {
    let magic: &[u8] = match row.name.ext.as_deref()?.to_ascii_lowercase().as_str() {
        "pdf" => b"%PDF",
        "png" => b"\x89PNG",
        "jpg" | "jpeg" => b"\xff\xd8\xff",
        "zip" | "docx" | "xlsx" | "pptx" | "odt" | "ods" => b"PK\x03\x04",
        "gif" => b"GIF8",
        _ => return None,
    };
    (row.readable && row.size > magic.len() as u64).then_some(magic)
}
