//! Sleep and shutdown, by a login manager of the test's own.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bus::Bus;
use crate::world::{World, eventually};

const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// A delay that somebody has: what it is for, and the other end of what they hold.
struct Given {
    what: String,
    mode: String,
    end: UnixStream,
}

impl Given {
    fn is_held(&mut self) -> bool {
        matches!(self.end.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

#[derive(Clone, Default)]
struct Manager(Arc<Mutex<Vec<Given>>>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: &str, _who: &str, _why: &str, mode: &str) -> zbus::zvariant::OwnedFd {
        let (end, theirs) = UnixStream::pair().unwrap();
        end.set_nonblocking(true).unwrap();
        self.0.lock().push(Given { what: what.to_owned(), mode: mode.to_owned(), end });
        OwnedFd::from(theirs).into()
    }
}

/// A system whose login manager tells who delays what.
fn system() -> (World, Bus, Manager, zbus::Connection) {
    let mut world = World::logged_in();
    let bus = Bus::start(&world);
    world.set("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    let manager = Manager::default();
    let connection = world.block_on(async {
        let connection = bus.connection().await;
        connection.object_server().at(PATH, manager.clone()).await.unwrap();
        connection.request_name("org.freedesktop.login1").await.unwrap();
        connection
    });
    (world, bus, manager, connection)
}

#[test]
fn what_was_saved_just_before_the_system_sleeps_is_sent_before_it_does() {
    let (world, _bus, manager, connection) = system();
    world.mount_with(&["--writeback-delay", "50s"]);
    let online = || world.status()["status"]["session"]["state"] == "online";
    eventually("it is online", online);
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    eventually("it holds a delay", || manager.0.lock().iter_mut().any(Given::is_held));
    {
        let given = manager.0.lock();
        assert_eq!(given.len(), 1);
        assert_eq!((given[0].what.as_str(), given[0].mode.as_str()), ("sleep:shutdown", "delay"));
    }
    assert_eq!(world.status()["status"]["totals"]["items"], 1);
    world.block_on(async {
        connection.emit_signal(None::<()>, PATH, MANAGER, "PrepareForSleep", &(true,)).await.unwrap();
    });
    eventually("it lets go", || !manager.0.lock().iter_mut().any(Given::is_held));
    assert_eq!(world.status()["status"]["totals"]["items"], 0, "and has sent it before");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn who_has_nothing_to_send_delays_nobody() {
    let (world, _bus, manager, _connection) = system();
    world.mount_with(&["--writeback-delay", "10s"]);
    eventually("it is online", || world.status()["status"]["session"]["state"] == "online");
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    eventually("it holds a delay", || manager.0.lock().iter_mut().any(Given::is_held));
    world.on_drive("flush", &[]).expect(0);
    eventually("it lets go", || !manager.0.lock().iter_mut().any(Given::is_held));
    world.on_drive("pause", &[]).expect(0);
    let given = manager.0.lock().len();
    fs::write(world.drive().join("b.txt"), "b").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(manager.0.lock().len(), given, "what is paused would not be sent");
    world.on_drive("umount", &["--detach"]).expect(0);
}
