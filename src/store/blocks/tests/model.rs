//! Contents against vectors of bytes.

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u64),
    Truncate(u64),
    Seal,
    Commit,
    CommitDurable,
    Rollback,
    /// Two commits in one transaction that fails.
    RollbackTwice(u64, u64),
    /// The content goes out of use and comes back.
    Reopen,
    /// The process dies.
    Crash,
    Read(u64, u64),
    Uncache,
}

const MAX: u64 = 3 * block::BLOCK + 5000;

/// Offsets that like the edges of blocks.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..MAX,
        (0..4u64, -3i64..4).prop_map(|(b, d)| (b * block::BLOCK).saturating_add_signed(d)),
        0..100u64,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![1..200usize, 1..100_000usize, Just(4096), Just(B)];
    prop_oneof![
        8 => (offset(), len, any::<u64>()).prop_map(|(o, l, s)| Op::Write(o, l, s)),
        3 => offset().prop_map(Op::Truncate),
        2 => Just(Op::Seal),
        3 => Just(Op::Commit),
        1 => Just(Op::CommitDurable),
        2 => Just(Op::Rollback),
        1 => (offset(), any::<u64>()).prop_map(|(o, s)| Op::RollbackTwice(o, s)),
        1 => Just(Op::Reopen),
        1 => Just(Op::Crash),
        3 => (offset(), offset()).prop_map(|(a, b)| Op::Read(a, b)),
        1 => Just(Op::Uncache),
    ]
}

struct World {
    dir: TempDir,
    store: Option<Store>,
    content: Option<Arc<Content>>,
    id: ContentId,
    base: Vec<u8>,
    now: Vec<u8>,
    committed: Vec<u8>,
    dirty: bool,
}

fn put(v: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let end = offset as usize + data.len();
    v.resize(v.len().max(end), 0);
    v[offset as usize..end].copy_from_slice(data);
}

impl World {
    fn new(base_len: usize, limit: u64, size: u64) -> World {
        let (dir, store) = store();
        let base = noise(99, base_len);
        let b = cached(&store, 1, &base).id();
        let limit = limit.min(base_len as u64);
        let content = store.db().write(|tx| store.blocks().stage(tx, Some((b, limit)), size)).unwrap();
        let mut now = base[..limit as usize].to_vec();
        now.resize(size as usize, 0);
        let id = content.id();
        let committed = now.clone();
        World { dir, store: Some(store), content: Some(content), id, base, now, committed, dirty: false }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn content(&self) -> &Arc<Content> {
        self.content.as_ref().unwrap()
    }

    fn reopen(&mut self, crash: bool) {
        self.content = None;
        if crash {
            self.store = None;
            self.store = Some(open_at(self.dir.path()));
            self.store().blocks().sweep().unwrap();
        }
        self.content = Some(self.store().blocks().open(self.id).unwrap());
    }

    fn apply(&mut self, op: Op) {
        let c = self.content().clone();
        match op {
            Op::Write(offset, len, seed) => {
                let data = noise(seed, len);
                c.write(offset, &data).unwrap();
                put(&mut self.now, offset, &data);
                self.dirty = true;
            }
            Op::Truncate(size) => {
                c.truncate(size).unwrap();
                self.now.resize(size as usize, 0);
                self.dirty = true;
            }
            Op::Seal => c.seal().unwrap(),
            Op::Commit | Op::CommitDurable => {
                c.seal().unwrap();
                let db = self.store().db();
                if matches!(op, Op::Commit) {
                    db.write(|tx| c.commit(tx))
                } else {
                    db.write_durable(|tx| c.commit(tx))
                }
                .unwrap();
                self.committed = self.now.clone();
                self.dirty = false;
                assert!(!c.is_changed());
            }
            Op::Rollback => {
                c.seal().unwrap();
                let out: Result<()> = self.store().db().write(|tx| {
                    c.commit(tx)?;
                    Err(Error::Full)
                });
                assert!(out.is_err());
            }
            Op::RollbackTwice(offset, seed) => {
                c.seal().unwrap();
                let data = noise(seed, 3000);
                let out: Result<()> = self.store().db().write(|tx| {
                    c.commit(tx)?;
                    c.write(offset, &data)?;
                    c.seal()?;
                    c.commit(tx)?;
                    Err(Error::Full)
                });
                assert!(out.is_err());
                put(&mut self.now, offset, &data);
                self.dirty = true;
            }
            Op::Reopen if !self.dirty => {
                drop(c);
                self.reopen(false);
            }
            Op::Reopen => (),
            Op::Crash => {
                drop(c);
                self.reopen(true);
                self.now = self.committed.clone();
                self.dirty = false;
            }
            Op::Read(a, b) => {
                let range = a.min(b)..a.max(b);
                let got = seen(&c, range.clone(), &self.base).unwrap();
                let end = (range.end as usize).min(self.now.len());
                let want = self.now.get(range.start as usize..end).unwrap_or_default();
                assert!(got == want, "{range:?} differs");
            }
            Op::Uncache => self.store().blocks().0.plain.clear(),
        }
    }

    fn check(&self) {
        assert_eq!(self.content().size(), self.now.len() as u64);
        let got = seen(self.content(), 0..u64::MAX, &self.base).unwrap();
        if let Some(at) = (0..got.len()).find(|i| got[*i] != self.now[*i]) {
            panic!("differs at {at} of {}", got.len());
        }
    }

    /// The upload is confirmed: what is there must be right, the rest must be absent and can be filled.
    fn adopt(&mut self) {
        let c = self.content().clone();
        c.seal().unwrap();
        c.freeze();
        let blocks = self.store().blocks().clone();
        let out: Result<()> = self.store().db().write(|tx| {
            c.commit(tx)?;
            blocks.adopt(tx, c.id(), &version(2))?;
            Err(Error::Full)
        });
        assert!(out.is_err() && c.is_staged() && c.is_frozen());
        self.store().db().write(|tx| c.commit(tx)).unwrap();
        self.check();
        self.store().db().write(|tx| blocks.adopt(tx, c.id(), &version(2))).unwrap();
        assert!(!c.is_staged() && c.base().is_none());
        assert_eq!(blocks.usage().staged, 0);
        self.check_cached(&c);
        drop(c);
        self.reopen(true);
        let c = self.content().clone();
        let size = self.now.len() as u64;
        self.check_cached(&c);
        for r in c.missing(0..size).unwrap() {
            c.fill(r.start, &self.now[r.start as usize..r.end as usize]).unwrap();
        }
        assert_eq!(gaps(&c), vec![]);
        self.store().db().write_durable(|_| Ok(())).unwrap();
        drop(c);
        self.reopen(true);
        self.check();
        assert_eq!(gaps(self.content()), vec![]);
        self.content = None;
        self.store().blocks().evict(0, &std::collections::HashSet::new()).unwrap();
        assert_eq!(self.store().blocks().usage(), Usage::default());
        assert_eq!(own_bytes(self.dir.path()), 0);
    }

    fn check_cached(&self, c: &Content) {
        let size = self.now.len() as u64;
        let missing: crate::extent::ByteSet = c.missing(0..size).unwrap().into_iter().collect();
        assert_eq!(gaps(c).into_iter().collect::<crate::extent::ByteSet>(), missing);
        for piece in c.read(0..size).unwrap() {
            if let Piece::Data(at, b) = piece {
                assert!(b[..] == self.now[at as usize..at as usize + b.len()], "wrong bytes at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn equals_a_vector_of_bytes(
        base_len in prop_oneof![0..200usize, 0..200_000usize],
        limit in offset(),
        size in offset(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut world = World::new(base_len, limit, size);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.adopt();
    }
}
