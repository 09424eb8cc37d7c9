//! Who opens a file: programs that nobody waits for are known by their names.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use super::proc;

/// Indexers and makers of thumbnails. A star stands for any ending.
const KNOWN: [&str; 21] = [
    "updatedb*",
    "plocate*",
    "locate*",
    "tracker-*",
    "localsearch*",
    "baloo_file*",
    "recollindex",
    "zeitgeist*",
    "tumbler*",
    "pool-tumblerd",
    "thumbnail*",
    "ffmpegthumb*",
    "totem-video-thu*",
    "gdk-pixbuf-thum*",
    "evince-thumb*",
    "gnome-thumb*",
    "gnome-desktop-t*",
    "gsf-office-thumb*",
    "kdegraphics-thum*",
    "glycin-*",
    // The workers of KDE have one name; what one does is named here, see `proc`.
    "thumbnail.so",
];

/// The kernel cuts a program's name.
const NAME_MAX: usize = 15;
/// Processes remembered, and for how long: names change and numbers are used again.
const PROCESSES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
const LIFE: Duration = Duration::from_secs(1);

/// Tells background readers from others.
pub(super) struct Readers {
    names: Vec<String>,
    seen: Mutex<LruCache<u32, (Instant, bool)>>,
}

impl Readers {
    /// The known ones, and those named besides.
    pub(super) fn new(more: &[String]) -> Self {
        let names = KNOWN.iter().map(|n| (*n).to_owned()).chain(more.iter().cloned()).collect();
        Readers { names, seen: Mutex::new(LruCache::new(PROCESSES)) }
    }

    /// Whether the thread is one of a program that nobody waits for.
    pub(super) fn is_background(&self, thread: u32) -> bool {
        let now = Instant::now();
        if let Some((at, is)) = self.seen.lock().get(&thread)
            && now.duration_since(*at) < LIFE
        {
            return *is;
        }
        // The kernel's own requests come from 0.
        let is = thread != 0 && proc::names_of(thread).iter().any(|name| self.knows(name));
        self.seen.lock().put(thread, (now, is));
        is
    }

    fn knows(&self, name: &str) -> bool {
        let cut = |pattern: &str| pattern.get(..NAME_MAX).unwrap_or(pattern).to_owned();
        self.names.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(&cut(start)),
            None => name == cut(pattern),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_kernel_cuts_them() {
        let readers = Readers::new(&["my-photo-indexer-daemon".to_owned(), "scan*".to_owned()]);
        for name in [
            "tracker-miner-f",
            "baloo_file_extr",
            "updatedb.plocat",
            "tumblerd",
            "glycin-image-rs",
            "gnome-desktop-t",
            "thumbnail.so",
            "my-photo-indexe",
            "scanner",
        ] {
            assert!(readers.knows(name), "{name}");
        }
        for name in ["cat", "my-photo", "mpv", "bash", "tracker", "kioworker", "nautilus"] {
            assert!(!readers.knows(name), "{name}");
        }
    }

    #[test]
    fn a_thread_is_known_by_its_own_name_or_its_programs() {
        let here = std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned();
        let me = std::fs::read_link("/proc/thread-self").unwrap();
        let id: u32 = me.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(Readers::new(&[here]).is_background(id));
        let own = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap().trim().to_owned();
        assert!(Readers::new(&[own]).is_background(id));
        assert!(!Readers::new(&[]).is_background(id));
        assert!(!Readers::new(&[String::new()]).is_background(0));
    }
}
