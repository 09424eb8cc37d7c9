//! Sets the stage for an exchange: what the recording presupposes but does not show.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::compare::is_uuid;
use crate::play::Player;

/// Exchanges that lost a race: reads do not see what was written just before.
const RACES: &[(usize, usize)] = &[(71, 71), (108, 109), (425, 426)];

/// Wrong logins of one account before the one that finds it blocked; the recording keeps the first.
const BLOCKED: usize = 329;

pub async fn before(player: &mut Player, index: usize) {
    let exchange = player.exchanges()[index].clone();
    if exchange["path"].as_str().is_some_and(|path| path.ends_with("/access"))
        && let Some(user) = exchange["request"]["email"].as_str()
    {
        player.learn_salt(user).await;
    }
    if player.service(index) == "drive" && exchange["status"].as_u64() != Some(404) {
        furnish(player, index).await;
    }
    if let Some((from, to)) = RACES.iter().find(|(from, _)| *from == index) {
        for index in *from..=*to {
            furnish(player, index).await;
        }
        player.emulator.shared().knobs.set_replica_lag(Duration::from_secs(3600));
    }
    match index {
        71 => {
            let folder = player.names.live("1f009d6b-1e27-40fb-8e81-2aef6629417f").unwrap();
            let body = json!({ "plainName": "race", "parentFolderUuid": folder });
            player.ask(Method::POST, "/folders", &body).await;
        }
        18 => first_uploads(player).await,
        40 => first_deletions(player).await,
        BLOCKED => fail_logins(player, 9).await,
        371 => player.start_upload("e278c1af-ad73-4ee5-a2c8-64b8783cc535", 5).await,
        434 => {
            let knobs = player.emulator.shared().knobs.clone();
            knobs.set_url_life(Duration::from_secs(1));
            player.start_upload("56ba46c3-a778-4248-abbb-dca35fce21f5", 5).await;
            player.emulator.shared().world.advance(Duration::from_secs(5));
        }
        _ => {}
    }
}

pub fn after(player: &Player, index: usize) {
    if RACES.iter().any(|(_, to)| *to == index) {
        player.emulator.shared().knobs.set_replica_lag(Duration::ZERO);
    }
}

const MIDDLE: &str = "c17be016-e28f-448f-ae55-439b7eee0d52";
const MOVED: &str = "6e468d64-21b5-4dbc-88d0-51c4173b3765";

/// The uploads of the first session of which only the rows were recorded, later, in the feeds.
async fn first_uploads(player: &mut Player) {
    let folder = player.names.live("745a13af-75e0-4fbd-8386-b9a12eb790a1").unwrap().to_owned();
    let bucket = player.network_account("test").bucket;
    let uploads = [
        ("8991da26-d85c-4b94-a0f9-2763a0b8b6a9", "zero", "txt", 0),
        (MIDDLE, "m5", "bin", 5_242_880),
        ("1c05cf23-4836-46a6-9dda-ea14e5bdf7c4", "m120", "bin", 125_829_120),
    ];
    for (uuid, name, kind, size) in uploads {
        let mut body = json!({
            "plainName": name, "type": kind, "folderUuid": folder, "size": size, "encryptVersion": "03-aes",
            "bucket": bucket,
        });
        if size > 0 {
            body["fileId"] = json!("aaaaaaaaaaaaaaaaaaaaaaaa");
        }
        let answer = player.ask(Method::POST, "/files", &body).await;
        player.names.learn(uuid, answer["uuid"].as_str().unwrap());
    }
}

/// And what it deleted at its end.
async fn first_deletions(player: &Player) {
    for uuid in [MIDDLE, MOVED] {
        let file = player.names.live(uuid).unwrap();
        player.ask(Method::DELETE, &format!("/files/{file}"), &json!({})).await;
    }
}

async fn fail_logins(player: &Player, count: usize) {
    let user = "essential@internxt.local";
    let body = json!({ "email": user, "password": player.sealed_password(user, "wrong") });
    let url = format!("{}/drive/auth/cli/login/access", player.emulator.gateway());
    for _ in 0..count {
        let response =
            reqwest::Client::builder().no_proxy().build().unwrap().post(&url).json(&body).send().await;
        assert_eq!(response.unwrap().status(), 401);
    }
}

/// Makes the items a request names and no recorded call has made.
async fn furnish(player: &mut Player, index: usize) {
    let exchange = player.exchanges()[index].clone();
    let text = format!("{} {}", exchange["path"], exchange["request"]);
    let uuids =
        text.split(|char: char| !char.is_ascii_hexdigit() && char != '-').filter(|word| is_uuid(word));
    for uuid in uuids.map(str::to_owned).collect::<Vec<_>>() {
        if player.names.live(&uuid).is_none() {
            make(player, index, &uuid).await;
        }
    }
}

/// The first recorded row of a uuid, at or after an exchange.
fn described(player: &Player, index: usize, uuid: &str) -> Option<Value> {
    fn search(value: &Value, uuid: &str) -> Option<Value> {
        match value {
            Value::Object(map) if map.get("uuid").is_some_and(|found| found == uuid) => Some(value.clone()),
            Value::Object(map) => map.values().find_map(|value| search(value, uuid)),
            Value::Array(list) => list.iter().find_map(|value| search(value, uuid)),
            _ => None,
        }
    }
    player.exchanges()[index..].iter().find_map(|exchange| search(&exchange["response"], uuid))
}

async fn make(player: &mut Player, index: usize, uuid: &str) {
    let Some(row) = described(player, index, uuid) else {
        return make_bare(player, index, uuid).await;
    };
    let parent = row["folderUuid"].as_str().or(row["parentUuid"].as_str()).unwrap().to_owned();
    if player.names.live(&parent).is_none() {
        Box::pin(make(player, index, &parent)).await;
    }
    let renamed =
        ["plainName", "name"].iter().any(|key| player.exchanges()[index]["request"].get(key).is_some());
    let name = if renamed { uuid } else { row["plainName"].as_str().unwrap() };
    let parent = player.names.live(&parent).unwrap();
    let answer = if row["type"] == "folder" {
        let body = json!({ "plainName": name, "parentFolderUuid": parent });
        player.ask(Method::POST, "/folders", &body).await
    } else {
        let object = row["fileId"].as_str().unwrap_or("aaaaaaaaaaaaaaaaaaaaaaaa");
        let size: u64 = row["size"].as_str().and_then(|size| size.parse().ok()).unwrap_or(10).max(10);
        let body = json!({
            "plainName": name, "type": row["type"], "folderUuid": parent, "size": size, "fileId": object,
            "bucket": player.names.translate(row["bucket"].as_str().unwrap()), "encryptVersion": "03-aes",
            "modificationTime": row["modificationTime"], "creationTime": row["creationTime"],
        });
        player.ask(Method::POST, "/files", &body).await
    };
    player.names.learn(uuid, answer["uuid"].as_str().unwrap());
    if row["type"] == "folder" {
        fill(player, index, uuid).await;
    }
}

/// Files that are later seen in a folder nothing was recorded to be created in.
async fn fill(player: &mut Player, index: usize, folder: &str) {
    let inside: Vec<String> = player.exchanges()[index..]
        .iter()
        .filter(|exchange| exchange["method"] == "GET" && exchange["response"]["folderUuid"] == folder)
        .filter_map(|exchange| exchange["response"]["uuid"].as_str().map(str::to_owned))
        .collect();
    for uuid in inside {
        if player.names.live(&uuid).is_none() {
            Box::pin(make(player, index, &uuid)).await;
        }
    }
}

/// A file of which only refused calls were recorded: it must only be there.
async fn make_bare(player: &mut Player, index: usize, uuid: &str) {
    let path = player.exchanges()[index]["path"].as_str().unwrap();
    let refused =
        player.exchanges()[index]["status"].as_u64().is_some_and(|status| status == 409 || status == 500);
    if !refused || !path.starts_with("/drive/files/") {
        return;
    }
    let folder = player.names.live("e9cdaf34-6a84-4aaf-bff4-e129f5582935").unwrap();
    let body = json!({
        "plainName": uuid, "type": "t", "folderUuid": folder, "size": 10, "fileId": "aaaaaaaaaaaaaaaaaaaaaaaa",
        "bucket": player.network_account("test").bucket, "encryptVersion": "03-aes",
    });
    let answer = player.ask(Method::POST, "/files", &body).await;
    player.names.learn(uuid, answer["uuid"].as_str().unwrap());
}
