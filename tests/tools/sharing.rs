//! What processes of one host do with the same files at the same time, and what they are told of each other.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{FlockOperation, SeekFrom, fcntl_lock, flock, seek};
use rustix::io::Errno;

use super::world::{Sent, World};
use crate::dice::Dice;
use crate::programs::{sh, try_sh};

fn both(path: &std::path::Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn two_processes_that_append_lose_no_byte() {
    let world = World::new();
    let path = world.path("log");
    let script = "for who in A B; do
            (head -c 300000 /dev/zero | tr '\\0' $who | dd bs=777 oflag=append conv=notrunc status=none of=\"$1\") &
        done; wait";
    sh(script, &[&path]);
    let bytes = fs::read(&path).unwrap();
    let count = |who: u8| bytes.iter().filter(|b| **b == who).count();
    assert_eq!((bytes.len(), count(b'A'), count(b'B')), (600_000, 300_000, 300_000));
    world.drain();
    assert!(world.uploaded("log") == bytes);
}

#[test]
fn locks_of_both_kinds_hold_between_processes() {
    let world = World::new();
    let path = world.path("locked");
    let file = both(&path);
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(flock(both(&path), FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK));
    assert_eq!(try_sh("flock -n \"$1\" true", &[&path]).status.code(), Some(1));
    flock(&file, FlockOperation::Unlock).unwrap();
    sh("flock -n \"$1\" true", &[&path]);
    // Of the other kind those of one process do not see each other.
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let lock = "import fcntl,sys\ntry: fcntl.lockf(open(sys.argv[1],'r+'), fcntl.LOCK_EX|fcntl.LOCK_NB)\n\
                except BlockingIOError: sys.exit(7)";
    let python = || Command::new("python3").args(["-c", lock]).arg(&path).status().unwrap().code();
    assert_eq!(python(), Some(7));
    drop(file);
    assert_eq!(python(), Some(0), "a close gives them up");
}

#[test]
fn of_many_that_create_one_name_exclusively_one_wins() {
    let world = World::new();
    for round in 0..20 {
        let path = world.path(&format!("lock {round}"));
        let won: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        usize::from(OpenOptions::new().write(true).create_new(true).open(&path).is_ok())
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
}

#[test]
fn what_one_process_writes_to_a_shared_mapping_another_reads_from_its_own() {
    let world = World::new();
    let bytes = Dice::new(1).bytes(200_000);
    world.put("shared", &bytes);
    let path = world.path("shared");
    let script = "import mmap,sys\nf=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0)\nprint('ready',flush=True)\n\
                  for line in sys.stdin:\n m[150000:150005]=b'hello' if line=='write\\n' else m[150000:150005]\n \
                  print(m[150000:150005],flush=True)";
    let start = || {
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        python.spawn().unwrap()
    };
    let (mut writer, mut reader) = (start(), start());
    let told = |child: &mut std::process::Child, bytes: usize| {
        let mut answer = vec![0; bytes];
        child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    assert_eq!((told(&mut writer, 6), told(&mut reader, 6)), ("ready\n".to_owned(), "ready\n".to_owned()));
    let line = "b'hello'\n";
    writer.stdin.as_mut().unwrap().write_all(b"write\n").unwrap();
    assert_eq!(told(&mut writer, line.len()), line);
    reader.stdin.as_mut().unwrap().write_all(b"read\n").unwrap();
    assert_eq!(told(&mut reader, line.len()), line);
    let mut seen = [0; 5];
    File::open(&path).unwrap().read_exact_at(&mut seen, 150_000).unwrap();
    assert_eq!(&seen, b"hello");
    for mut child in [writer, reader] {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
    let mut wanted = bytes;
    wanted[150_000..150_005].copy_from_slice(b"hello");
    world.drain();
    assert!(world.uploaded("shared") == wanted);
}

#[test]
fn a_file_without_a_name_lives_while_it_is_open_and_is_never_sent() {
    let world = World::new();
    let path = world.path("gone");
    let file = both(&path);
    file.write_all_at(b"content", 0).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 1);
    fs::remove_file(&path).unwrap();
    assert_eq!((file.metadata().unwrap().nlink(), file.metadata().unwrap().len()), (0, 7));
    // What is renamed over goes on as well.
    fs::write(&path, b"second").unwrap();
    let second = File::open(&path).unwrap();
    fs::write(world.path("third"), b"third").unwrap();
    fs::rename(world.path("third"), &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
    let mut bytes = [0; 6];
    second.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"second");
    file.write_all_at(b"more", 7).unwrap();
    let mark = world.mark();
    drop((file, second));
    world.drain();
    assert_eq!((world.sent(mark), world.names()), (Sent::ONE_CREATE, vec!["gone".to_owned()]));
    assert_eq!(world.uploaded("gone"), b"third");
}

#[test]
fn ranges_are_copied_and_files_have_no_holes() {
    let world = World::new();
    let bytes = Dice::new(2).bytes(300_000);
    world.put("from", &bytes);
    let (from, to) = (File::open(world.path("from")).unwrap(), both(&world.path("to")));
    let (mut at, mut to_at) = (70_001, 5);
    while at < 300_000 {
        let left = usize::try_from(300_000 - at).unwrap();
        assert_ne!(rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut to_at), left), Ok(0));
    }
    let mut wanted = vec![0; 5];
    wanted.extend_from_slice(&bytes[70_001..]);
    assert!(fs::read(world.path("to")).unwrap() == wanted);
    to.set_len(1 << 20).unwrap();
    assert_eq!(seek(&to, SeekFrom::Data(500_000)), Ok(500_000));
    assert_eq!(seek(&to, SeekFrom::Hole(0)), Ok(1 << 20));
    assert_eq!(seek(&to, SeekFrom::Data(1 << 20)), Err(Errno::NXIO));
}

#[test]
fn inotify_tells_of_what_other_processes_do_here() {
    let world = World::new();
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let all = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    inotify::add_watch(&watch, world.root(), all).unwrap();
    let script =
        "cd \"$1\" && echo x >new && mv new moved && echo y >>moved && mkdir dir && rm moved && rmdir dir";
    sh(script, &[world.root()]);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let mut told = BTreeSet::new();
    loop {
        match reader.next() {
            Ok(event) => {
                let name = event.file_name().unwrap().to_str().unwrap().to_owned();
                told.insert((name, (event.events() & !ReadFlags::ISDIR).bits()));
            }
            Err(Errno::AGAIN) => break,
            Err(e) => panic!("{e}"),
        }
    }
    for (name, what) in [
        ("new", ReadFlags::CREATE),
        ("new", ReadFlags::CLOSE_WRITE),
        ("moved", ReadFlags::MOVED_TO),
        ("moved", ReadFlags::CLOSE_WRITE),
        ("moved", ReadFlags::DELETE),
        ("dir", ReadFlags::CREATE),
        ("dir", ReadFlags::DELETE),
    ] {
        assert!(told.contains(&(name.to_owned(), what.bits())), "{name} {what:?}: {told:?}");
    }
}
