use std::time::Duration;

use super::*;

fn small_world() -> Arc<World> {
    World::new(vec![AccountSpec::new("a@b.test", "pw", Tier::Ultimate)])
}

fn root_names(world: &World, lag: Duration) -> Vec<String> {
    let mut inner = world.lock();
    let root = inner.account(0).root;
    let view = inner.view(lag);
    view.folders.children(root).map(|row| row.plain_name.clone()).collect()
}

fn add_folder(world: &World, name: &str) {
    let mut inner = world.lock();
    let root = inner.account(0).root;
    let template = inner.primary().folders.children(root).next().unwrap().clone();
    let now = inner.stamp();
    let id = inner.next_folder_id();
    let row = FolderRow {
        id,
        uuid: Uuid::new_v4(),
        plain_name: name.to_owned(),
        updated: now,
        ..(*template).clone()
    };
    inner.put_folder(row);
}

#[test]
fn a_lagging_view_sees_older_rows_until_the_lag_has_passed() {
    let world = small_world();
    let lag = Duration::from_secs(60);
    assert_eq!(root_names(&world, lag), ["Family", "Personal"]);
    add_folder(&world, "new");
    assert_eq!(root_names(&world, lag), ["Family", "Personal"]);
    world.advance(Duration::from_secs(61));
    assert_eq!(root_names(&world, lag), ["Family", "Personal", "new"]);
    add_folder(&world, "newer");
    assert_eq!(root_names(&world, Duration::ZERO), ["Family", "Personal", "new", "newer"]);
}

#[test]
fn a_saved_world_comes_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let specs = || vec![AccountSpec::new("a@b.test", "pw", Tier::Ultimate)];
    let world = World::open(dir.path(), specs()).unwrap();
    add_folder(&world, "kept");
    world.change_password("a@b.test", "other");
    world.save().unwrap();
    let before = world.accounts();
    drop(world);

    let again = World::open(dir.path(), specs()).unwrap();
    assert_eq!(root_names(&again, Duration::ZERO), ["Family", "Personal", "kept"]);
    assert_eq!(again.accounts()[0].password, "other");
    assert_eq!(again.accounts()[0].root, before[0].root);
    assert_eq!(again.accounts().len(), 1);
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["drive.json"]);
}

#[test]
fn a_damaged_file_is_an_error_and_not_an_empty_drive() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("drive.json"), "{").unwrap();
    assert!(World::open(dir.path(), Vec::new()).is_err());
}

#[test]
fn tokens_end_with_their_life_and_with_the_password() {
    let world = small_world();
    let token = world.issue_token("A@B.test", Duration::from_secs(60)).unwrap();
    assert_eq!(world.account_of_token(&token).unwrap(), world.accounts()[0].uuid);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.account_of_token(&token), None);

    let token = world.issue_token("a@b.test", Duration::from_secs(600)).unwrap();
    world.advance(Duration::from_secs(2));
    world.change_password("a@b.test", "new");
    assert_eq!(world.account_of_token(&token), None);
}

#[test]
fn buckets_and_network_users_lead_to_their_account() {
    let world = World::new(Vec::new());
    let demo = world.accounts()[0].clone();
    assert_eq!(demo.email, "demo@inxtfs.local");
    assert_eq!(world.bucket_owner(&demo.bucket), Some(demo.uuid.clone()));
    assert_eq!(world.bucket_owner("000000000000000000000000"), None);
    let small = world.account_by_bridge_user("small@inxtfs.local").unwrap();
    assert_eq!(small.max_space, 10 << 20);
}
