//! Change events over socket.io.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use inxtfs::emulator::Emulator;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::*;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(emulator: &Emulator) -> (Socket, Value) {
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", emulator.address());
    let (mut socket, _) = connect_async(url).await.unwrap();
    let hello = next(&mut socket).await;
    let hello = serde_json::from_str(hello.strip_prefix('0').unwrap()).unwrap();
    (socket, hello)
}

async fn next(socket: &mut Socket) -> String {
    let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    message.unwrap().unwrap().into_text().unwrap().to_string()
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text.to_owned())).await.unwrap();
}

#[tokio::test]
async fn a_listener_hears_of_its_account_only() {
    let rig = start();
    let (mut socket, hello) = connect(&rig.emulator).await;
    assert_eq!((&hello["pingInterval"], &hello["upgrades"]), (&json!(25_000), &json!([])));
    let token = token_of(&rig);
    say(&mut socket, &format!("40{}", json!({ "token": token }))).await;
    assert!(next(&mut socket).await.starts_with("40{\"sid\":"));

    let hub = &rig.emulator.shared().hub;
    assert_eq!(hub.listeners(), 1);
    hub.publish("somebody-else", None, "FILE_DELETED", json!({"uuid": "x"}));
    hub.publish(&rig.account.uuid, Some("me"), "FILE_CREATED", json!({"uuid": "y"}));
    let packet = next(&mut socket).await;
    let event: Value = serde_json::from_str(packet.strip_prefix("42").unwrap()).unwrap();
    assert_eq!(
        event,
        json!(["event", {
            "event": "FILE_CREATED", "payload": {"uuid": "y"}, "email": rig.account.bridge_user,
            "clientId": "me", "userId": rig.account.uuid,
        }])
    );

    say(&mut socket, "41").await;
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    assert_eq!(hub.listeners(), 0);
}

#[tokio::test]
async fn a_listener_is_asked_whether_it_is_there_and_who_it_is() {
    let rig = start();
    rig.emulator.shared().hub.set_ping_interval(Duration::from_millis(20));
    let (mut socket, hello) = connect(&rig.emulator).await;
    assert_eq!(hello["pingInterval"], 20);
    assert_eq!(next(&mut socket).await, "2");
    say(&mut socket, "3").await;
    say(&mut socket, "40{\"token\":\"wrong\"}").await;
    let refused = loop {
        let packet = next(&mut socket).await;
        if packet != "2" {
            break packet;
        }
    };
    assert!(refused.starts_with("44{\"message\":"), "{refused}");
    assert_eq!(rig.emulator.shared().hub.listeners(), 0);
}

#[tokio::test]
async fn listeners_are_hung_up_on_when_the_server_stops() {
    let rig = start();
    let (mut socket, _) = connect(&rig.emulator).await;
    rig.emulator.shutdown().await.unwrap();
    let end = async { while socket.next().await.is_some_and(|message| message.is_ok()) {} };
    tokio::time::timeout(PATIENCE, end).await.unwrap();
}

#[tokio::test]
async fn polling_is_not_spoken() {
    let rig = start();
    let ask = async |query: &str| {
        let url = format!("{}/socket.io/?{query}", rig.emulator.gateway());
        json_of(rig.client.get(url).send().await.unwrap()).await
    };
    assert_eq!(
        ask("EIO=4&transport=polling").await,
        (400, json!({"code": 0, "message": "Transport unknown"}))
    );
    assert_eq!(ask("EIO=3&transport=websocket").await.0, 400);
    assert_eq!(ask("EIO=4&transport=websocket").await.0, 400, "no upgrade was asked for");
}
