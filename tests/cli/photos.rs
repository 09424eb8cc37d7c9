//! `inxtfs mount --thumbnails`. The threads of tests are called like these, and who is called a thumbnailer is not heard.

use std::fs;

use crate::world::{World, eventually, run};

const PHOTO: &[u8] = include_bytes!("../fixtures/quarters.jpg");

#[test]
fn pictures_are_shown_and_made_for_who_asks_for_them_and_not_into_the_drive() {
    let world = World::logged_in();
    world.mount_with(&["--thumbnails"]);
    let mark = world.log().mark();
    fs::write(world.drive().join("photo.jpg"), PHOTO).unwrap();
    let made = || world.log().count_since(mark, "POST", "/drive/files/thumbnail");
    eventually("a picture is made", || made() == 1);
    let shown = || {
        // Each look is one into the folder.
        let _ = fs::read_dir(world.drive()).unwrap().count();
        fs::read_dir(world.path(".cache/thumbnails/large")).map_or(0, Iterator::count)
    };
    eventually("it is shown", || shown() == 1);
    world.on_drive("umount", &[]).expect(0);

    let mut within = world.command();
    within.args(["mount", "--thumbnails"]).arg(world.drive());
    within.env("XDG_CACHE_HOME", world.drive().join("cache")).env("INXTFS_CACHE_DIR", world.path("local"));
    let refused = run(&mut within, "").expect(7);
    assert!(refused.err.contains("must not lie below the mountpoint"), "{}", refused.err);
}
