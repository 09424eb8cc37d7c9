//! Login, logout, whoami; exit codes and what they say.

use crate::world::{EMAIL, World};

#[test]
fn login_whoami_logout() {
    let world = World::new();
    world.run(["whoami"]).expect(3);
    let ran = world.login(EMAIL, "demo").expect(0);
    assert!(ran.out.contains(EMAIL), "{}", ran.out);
    let who: serde_json::Value =
        serde_json::from_str(&world.run(["whoami", "--json"]).expect(0).out).unwrap();
    assert_eq!(who["email"], EMAIL);
    assert_eq!(who["online"], true);
    assert_eq!(who["gateway"], world.gateway(), "the login remembers its service");
    world.run(["logout"]).expect(0);
    let ran = world.run(["whoami"]).expect(3);
    assert!(ran.err.contains("inxtfs login"), "{}", ran.err);
}

#[test]
fn a_wrong_password_is_tried_once_and_told() {
    let world = World::new();
    let mark = world.log().mark();
    let ran = world.login(EMAIL, "not it").expect(4);
    assert!(ran.err.contains("password is wrong"), "{}", ran.err);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/auth/cli/login/access"), 1);
    world.run(["whoami"]).expect(3);
}

#[test]
fn plan_code_and_network_have_numbers_of_their_own() {
    let mut world = World::new();
    world.login("free@inxtfs.local", "demo").expect(5);
    let ran = world.login("tfa@inxtfs.local", "demo").expect(4);
    assert!(ran.err.contains("--totp"), "{}", ran.err);
    world.login(EMAIL, "demo").expect(0);
    world.cut_network();
    let who: serde_json::Value =
        serde_json::from_str(&world.run(["whoami", "--json"]).expect(0).out).unwrap();
    assert_eq!((&who["email"], &who["online"]), (&EMAIL.into(), &false.into()));
    world.run(["logout"]).expect(0);
}

#[test]
fn the_password_is_in_no_argument_and_the_login_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::logged_in();
    let dir = world.path(".config/inxtfs");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        let bytes = std::fs::read(entry.path()).unwrap();
        let email = EMAIL.as_bytes();
        assert!(!bytes.windows(email.len()).any(|w| w == email), "{entry:?} is readable");
    }
}

#[test]
fn commands_without_a_mount_say_so() {
    let world = World::logged_in();
    assert!(world.run(["status"]).expect(0).out.contains("No mount"));
    world.run(["flush"]).expect(12);
    world.on_drive("umount", &[]).expect(12);
    world.run(["mount", "/nonexistent/folder"]).expect(7);
    world.run(["mount"]).expect(2);
    world.run(["status", "--json"]).expect(0);
}
