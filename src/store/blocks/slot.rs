//! A slot: one sealed block on disk, behind a header that says what it is.
//!
//! Header: magic (4), length of the plaintext (4), block (8), generation (8), nonce (12), tag (16), zeros up
//! to [`HEADER`]; numbers little-endian. The associated data binds content, block and generation, so that a
//! slot opens only as what it was written for.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::block;
use crate::crypto::seal::{NONCE, Seal, Sealer, TAG};

use super::Result;

/// Bytes before the ciphertext.
pub(super) const HEADER: usize = 64;
/// Slots begin at multiples of this.
pub(super) const PAGE: u64 = PAGE_LEN as u64;
const PAGE_LEN: usize = 4096;
/// Bytes from one full slot to the next.
pub(super) const STRIDE: u64 = STRIDE_LEN as u64;
const STRIDE_LEN: usize = (block::LEN + HEADER).next_multiple_of(PAGE_LEN);

const MAGIC: [u8; 4] = *b"ixb1";

/// Random name of a content; keys and associated data derive from it.
pub(super) type Cid = [u8; 16];

/// Which block of which content, and which writing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label {
    pub cid: Cid,
    pub block: u64,
    pub generation: u64,
}

impl Label {
    fn aad(&self) -> [u8; 32] {
        let mut aad = [0; 32];
        aad[..16].copy_from_slice(&self.cid);
        aad[16..24].copy_from_slice(&self.block.to_le_bytes());
        aad[24..].copy_from_slice(&self.generation.to_le_bytes());
        aad
    }

    /// The header's part before the seal.
    fn head(&self, len: u32) -> [u8; 24] {
        let mut head = [0; 24];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&len.to_le_bytes());
        head[8..16].copy_from_slice(&self.block.to_le_bytes());
        head[16..].copy_from_slice(&self.generation.to_le_bytes());
        head
    }
}

/// Pages on disk of a block of `len` bytes, in bytes.
pub(super) fn footprint(len: u32) -> u64 {
    (u64::from(len) + HEADER as u64).next_multiple_of(PAGE)
}

/// Seals `plain` to the slot at `offset`.
pub(super) fn write(file: &File, offset: u64, sealer: &Sealer, label: &Label, plain: &[u8]) -> Result<()> {
    write_all(file, offset, sealer, &[(*label, plain)])
}

/// Seals blocks to slots of [`STRIDE`] that follow one another from `offset` on, with one write.
pub(super) fn write_all(file: &File, offset: u64, sealer: &Sealer, blocks: &[(Label, &[u8])]) -> Result<()> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let Some((_, last)) = blocks.last() else { return Ok(()) };
    // Nothing is written behind the last one.
    let len = (blocks.len() - 1) * STRIDE_LEN + HEADER + last.len();
    SCRATCH.with_borrow_mut(|buf| {
        buf.resize(len.max(buf.len()), 0);
        for ((label, plain), slot) in blocks.iter().zip(buf[..len].chunks_mut(STRIDE_LEN)) {
            seal(slot, sealer, label, plain)?;
        }
        Ok(file.write_all_at(&buf[..len], offset)?)
    })
}

/// Fills a slot: the header, the sealed block, and zeros up to its end.
fn seal(slot: &mut [u8], sealer: &Sealer, label: &Label, plain: &[u8]) -> Result<()> {
    let len = u32::try_from(plain.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (head, body) = slot.split_at_mut(HEADER);
    let (body, rest) =
        body.split_at_mut_checked(plain.len()).ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
    let seal = sealer.seal_into(&label.aad(), plain, body)?;
    head.fill(0);
    head[..24].copy_from_slice(&label.head(len));
    head[24..24 + NONCE].copy_from_slice(&seal.nonce);
    head[36..36 + TAG].copy_from_slice(&seal.tag);
    rest.fill(0);
    Ok(())
}

/// Opens the slot at `offset`; `None` if it holds something else, or nothing, or is torn.
pub(super) fn read(
    file: &File,
    offset: u64,
    sealer: &Sealer,
    label: &Label,
    len: u32,
) -> Result<Option<Bytes>> {
    let Some(mut buf) = read_exactly(file, offset, HEADER + len as usize)? else { return Ok(None) };
    let opened = open(&mut buf, 0, HEADER, sealer, label, len as usize);
    Ok(opened.then(|| Bytes::from(buf).slice(HEADER..)))
}

/// Opens slots of whole blocks that follow one another from `offset` on, as one piece; `None` if one does not open.
pub(super) fn read_all(file: &File, offset: u64, sealer: &Sealer, labels: &[Label]) -> Result<Option<Bytes>> {
    let len = labels.len().saturating_sub(1) * STRIDE_LEN + HEADER + block::LEN;
    let Some(mut buf) = read_exactly(file, offset, len)? else { return Ok(None) };
    for (n, label) in labels.iter().enumerate() {
        if !open(&mut buf, n * STRIDE_LEN, HEADER + n * block::LEN, sealer, label, block::LEN) {
            return Ok(None);
        }
    }
    Ok(Some(Bytes::from(buf).slice(HEADER..HEADER + labels.len() * block::LEN)))
}

/// Opens the slot that begins at `at` of a buffer; its plaintext begins at `to`, which is not behind the ciphertext.
fn open(buf: &mut [u8], at: usize, to: usize, sealer: &Sealer, label: &Label, len: usize) -> bool {
    let (head, body) = (&buf[at..at + HEADER], at + HEADER);
    if head[..24] != label.head(u32::try_from(len).unwrap_or(u32::MAX)) {
        return false;
    }
    let mut seal = Seal { nonce: [0; NONCE], tag: [0; TAG] };
    seal.nonce.copy_from_slice(&head[24..24 + NONCE]);
    seal.tag.copy_from_slice(&head[36..36 + TAG]);
    sealer.open_within(&label.aad(), &seal, &mut buf[to..body + len], body - to).is_ok()
}

/// So many bytes, in memory that nobody cleared for them; `None` if the file ends before.
fn read_exactly(file: &File, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    let mut buf = Vec::with_capacity(len);
    while buf.len() < len {
        let from = offset + buf.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buf), from) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    // The allocator may have given more room than was asked for.
    buf.truncate(len);
    Ok(Some(buf))
}

/// Whether the slot claims to hold the block. Cheap, and no proof.
pub(super) fn peek(file: &File, offset: u64, label: &Label, len: u32) -> Result<bool> {
    let mut head = [0; 24];
    match file.read_exact_at(&mut head, offset) {
        Ok(()) => Ok(head == label.head(len)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e.into()),
    }
}
