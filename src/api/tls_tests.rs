//! Whom TLS trusts: the system, or what `SSL_CERT_FILE` names. The environment is a process's own, so
//! the question is put to a child of this very test program.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::testing::hasty;
use super::*;

const GATEWAY: &str = "INXTFS_TEST_GATEWAY";

/// What the child says of the server.
async fn ask(gateway: &str) {
    let gateway = Gateway::parse(gateway).unwrap();
    let http = Http::new(gateway, ClientId::random(), Tuning { tries: 1, ..hasty() }).unwrap();
    match http.send(&Bearer::new("t"), &drive::space_limit()).await {
        Ok(limit) => println!("trusted {:?}", limit.max_space_bytes),
        Err(e) => println!("refused {:?}", e.class()),
    }
}

/// Runs the one test below again, in a process of its own.
async fn run_child(gateway: &str, roots: Option<&std::path::Path>) -> String {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "api::tls_tests::roots_named_by_the_environment_are_trusted_and_others_are_not",
            "--nocapture",
        ])
        .env(GATEWAY, gateway);
    match roots {
        Some(roots) => command.env("SSL_CERT_FILE", roots),
        None => command.env_remove("SSL_CERT_FILE"),
    };
    String::from_utf8(command.output().await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn roots_named_by_the_environment_are_trusted_and_others_are_not() {
    if let Ok(gateway) = std::env::var(GATEWAY) {
        return ask(&gateway).await;
    }
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    http::install_provider();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // Whoever does not trust us hangs up.
            let Ok(mut tls) = acceptor.accept(socket).await else { continue };
            let mut asked = [0; 4096];
            let _ = tls.read(&mut asked).await;
            let body = r#"{"maxSpaceBytes":5}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = tls.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    let with = run_child(&gateway, Some(&roots)).await;
    assert!(with.contains("trusted Some(5)"), "{with}");
    let without = run_child(&gateway, None).await;
    assert!(without.contains("refused NotSent"), "{without}");
    server.abort();
}
