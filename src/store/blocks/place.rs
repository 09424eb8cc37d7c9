//! Where slots are: a content's own sparse files, or slabs that small contents share.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::FallocateFlags;

use super::Result;
use super::slot::{Cid, HEADER, PAGE, STRIDE};

/// Pages of a slot, by slab class. Class `n` is place `n + 1`; the last holds a full block.
const CLASSES: [u64; 5] = [1, 2, 4, 8, STRIDE / PAGE];

/// How many classes there are.
pub(super) const PLACES: u8 = 5;
const _: () = assert!(CLASSES.len() == PLACES as usize);

/// A slot's place. `place` 0 is the content's own file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Loc {
    pub place: u8,
    pub slot: u64,
}

impl Loc {
    /// A slot of the content's own file.
    pub(super) fn own(slot: u64) -> Loc {
        Loc { place: 0, slot }
    }

    /// Whether it lies in a slab.
    pub(super) fn in_slab(self) -> bool {
        self.place > 0
    }

    /// Its first byte within its file.
    pub(super) fn offset(self) -> u64 {
        self.slot * self.stride()
    }

    /// Bytes from it to the next.
    pub(super) fn stride(self) -> u64 {
        match self.place {
            0 => STRIDE,
            n => CLASSES.get(usize::from(n) - 1).map_or(STRIDE, |p| p * PAGE),
        }
    }
}

/// The slab place for a block of `len` bytes (at most one block).
pub(super) fn slab_for(len: u64) -> u8 {
    let pages = (len + HEADER as u64).div_ceil(PAGE);
    let class = CLASSES.iter().position(|c| pages <= *c).unwrap_or(CLASSES.len() - 1);
    u8::try_from(class + 1).unwrap_or(u8::MAX)
}

/// Free slot numbers of one file.
#[derive(Default, Debug)]
pub(super) struct Alloc {
    next: u64,
    free: Vec<u64>,
}

impl Alloc {
    /// All but `used` are free.
    pub(super) fn new(mut used: Vec<u64>) -> Alloc {
        used.sort_unstable();
        let mut alloc = Alloc::default();
        for slot in used {
            alloc.free.extend(alloc.next..slot);
            alloc.next = alloc.next.max(slot + 1);
        }
        alloc.free.reverse();
        alloc
    }

    /// Gives the free pages of a content's own file to the disk.
    pub(super) fn trim(&self, path: &Path) -> Result<()> {
        let file = options().open(path)?;
        if file.metadata()?.len() > self.next * STRIDE {
            file.set_len(self.next * STRIDE)?;
        }
        self.free.iter().for_each(|slot| _ = punch(&file, slot * STRIDE, STRIDE));
        Ok(())
    }

    /// All from here on are free; below, none is known to be yet.
    fn behind(next: u64) -> Alloc {
        Alloc { next, free: Vec::new() }
    }

    pub(super) fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(super) fn give(&mut self, slot: u64) {
        debug_assert!(slot < self.next && !self.free.contains(&slot), "slot {slot} freed twice");
        self.free.push(slot);
    }
}

/// A file that is opened when it is wanted, and synced with its directory entry.
pub(super) struct Lazy {
    path: PathBuf,
    file: Mutex<Option<Arc<File>>>,
    /// The entry must still be synced: nothing says that an earlier process did.
    entry: AtomicBool,
    /// A sync has failed: the kernel may have dropped what it could not write, and a later sync would lie.
    failed: AtomicBool,
}

impl Lazy {
    pub(super) fn new(path: PathBuf) -> Lazy {
        Lazy { path, file: Mutex::new(None), entry: AtomicBool::new(true), failed: AtomicBool::new(false) }
    }

    /// The file, if it exists.
    pub(super) fn get(&self) -> Result<Option<Arc<File>>> {
        let mut slot = self.file.lock();
        if slot.is_none() {
            match options().open(&self.path) {
                Ok(f) => *slot = Some(Arc::new(f)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(slot.clone())
    }

    /// The file, made if need be.
    pub(super) fn make(&self) -> Result<Arc<File>> {
        if let Some(f) = self.get()? {
            return Ok(f);
        }
        let mut slot = self.file.lock();
        if let Some(f) = &*slot {
            return Ok(f.clone());
        }
        let open = || options().create(true).truncate(false).open(&self.path);
        let file = match (open(), self.path.parent()) {
            (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(dir)?;
                open()?
            }
            (other, _) => other?,
        };
        let file = Arc::new(file);
        *slot = Some(file.clone());
        Ok(file)
    }

    /// Brings data (and the entry, the first time) to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of this file failed").into());
        }
        let Some(file) = self.get()? else { return Ok(()) };
        if let Err(e) = file.sync_data() {
            self.failed.store(true, Ordering::Release);
            return Err(e.into());
        }
        if self.entry.load(Ordering::Acquire) {
            for dir in self.path.ancestors().skip(1).take(2) {
                File::open(dir)?.sync_all()?;
            }
            self.entry.store(false, Ordering::Release);
        }
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut o = OpenOptions::new();
    o.read(true).write(true).mode(0o600);
    o
}

/// The slabs of a store.
pub(super) struct Slabs(Vec<Slab>);

struct Slab {
    file: Lazy,
    stride: u64,
    alloc: Mutex<Alloc>,
}

impl Slabs {
    /// `ends`: among them the highest slot of each place that a row names.
    pub(super) fn new(dir: &Path, ends: &[Loc]) -> Slabs {
        let slab = |(n, pages): (usize, &u64)| {
            let mine = ends.iter().filter(|l| usize::from(l.place) == n + 1).map(|l| l.slot + 1);
            let next = mine.max().unwrap_or(0);
            let file = Lazy::new(dir.join(format!("slab-{pages:02}")));
            Slab { file, stride: pages * PAGE, alloc: Mutex::new(Alloc::behind(next)) }
        };
        Slabs(CLASSES.iter().enumerate().map(slab).collect())
    }

    /// The slots between those that rows named when the store was opened are free. Once: what was in use then is given
    /// back by whoever used it.
    pub(super) fn fill_gaps(&self, used: Vec<Loc>) {
        let mut by_place: Vec<Vec<u64>> = vec![Vec::new(); self.0.len()];
        for loc in used {
            if let Some(mine) = usize::from(loc.place).checked_sub(1).and_then(|n| by_place.get_mut(n)) {
                mine.push(loc.slot);
            }
        }
        for (slab, mine) in self.0.iter().zip(by_place) {
            let between = Alloc::new(mine).free;
            slab.alloc.lock().free.extend(between);
        }
    }

    fn slab(&self, place: u8) -> Result<&Slab> {
        let slab = usize::from(place).checked_sub(1).and_then(|n| self.0.get(n));
        slab.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no such slab").into())
    }

    pub(super) fn file(&self, place: u8) -> Result<&Lazy> {
        Ok(&self.slab(place)?.file)
    }

    /// A free slot for a block of `len` bytes.
    pub(super) fn take(&self, len: u64) -> Result<Loc> {
        let place = slab_for(len);
        Ok(Loc { place, slot: self.slab(place)?.alloc.lock().take() })
    }

    /// Gives the pages of free slots to the disk: a crash came before that.
    pub(super) fn trim(&self) -> Result<()> {
        for slab in &self.0 {
            let Some(file) = slab.file.get()? else { continue };
            let alloc = slab.alloc.lock();
            let stride = slab.stride;
            if file.metadata()?.len() > alloc.next * stride {
                file.set_len(alloc.next * stride)?;
            }
            alloc.free.iter().for_each(|slot| _ = punch(&file, slot * stride, stride));
        }
        Ok(())
    }

    /// Gives a slot back, and its pages to the disk.
    pub(super) fn give(&self, loc: Loc) {
        let Ok(slab) = self.slab(loc.place) else { return };
        if let Ok(Some(f)) = slab.file.get() {
            punch(&f, loc.offset(), loc.stride());
        }
        slab.alloc.lock().give(loc.slot);
    }
}

/// Gives pages to the disk. `false`: this filesystem makes no holes, and the pages wait for the slot's next use.
pub(super) fn punch(file: &File, offset: u64, len: u64) -> bool {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, offset, len).is_ok()
}

/// The first byte at or behind `from` that takes room on the disk, if there is one.
pub(super) fn next_data(file: &File, from: u64) -> Option<u64> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)).ok()
}

/// Where a content's own files are: `s` for staged blocks, `f` for fetched ones.
pub(super) fn own_path(root: &Path, cid: &Cid, kind: char) -> PathBuf {
    let name = hex::encode(cid);
    root.join(&name[..2]).join(format!("{name}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_fit_their_blocks() {
        for len in [0, 1, 4032, 4033, 8128, 8129, 30_000, 40_000, 65_536] {
            let loc = Loc { place: slab_for(len), slot: 3 };
            assert!(len + HEADER as u64 <= loc.stride(), "{len}");
            assert_eq!(loc.offset() % PAGE, 0);
        }
        assert_eq!((slab_for(4032), slab_for(4033), slab_for(65_536)), (1, 2, 5));
    }

    #[test]
    fn allocation_fills_holes_first() {
        let mut a = Alloc::new(vec![5, 1, 2]);
        assert_eq!([a.take(), a.take(), a.take(), a.take()], [0, 3, 4, 6]);
        a.give(3);
        assert_eq!([a.take(), a.take()], [3, 7]);
    }
}
