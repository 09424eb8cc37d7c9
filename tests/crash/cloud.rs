//! The account's tree as any other client of it sees it.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use inxtfs::api::Gateway;
use inxtfs::remote::Remote;
use inxtfs::remote::internxt::{Internxt, Options};
use inxtfs::remote::session::{self, Credentials, Login, Secrets, SecretsError};
use inxtfs::types::{Kind, NodeId, Row, Urgency};

use crate::tree::{Entry, Tree};
use crate::world::{EMAIL, World};

struct InMemory(Mutex<Option<Credentials>>);

impl Secrets for InMemory {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError> {
        *self.0.lock().unwrap() = Some(credentials.clone());
        Ok(())
    }
    fn forget(&self) -> Result<(), SecretsError> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

/// Everything below the drive's root, downloaded and decrypted.
pub fn tree(world: &World) -> Tree {
    let gateway = Gateway::parse(&world.gateway()).unwrap();
    world.block_on(async {
        let login = Login { email: EMAIL.to_owned(), password: "demo".into(), totp: None, backup_key: None };
        let credentials = session::login(&gateway, login).await.unwrap();
        let secrets = Arc::new(InMemory(Mutex::new(Some(credentials))));
        let remote = Internxt::connect(secrets, Options::default()).unwrap();
        let mut tree = Tree::default();
        let mut folders: Vec<(NodeId, String)> = vec![(remote.account().root, String::new())];
        while let Some((id, prefix)) = folders.pop() {
            for row in remote.list(&id).await.unwrap() {
                let path = format!("{prefix}{}", row.name.display());
                let entry = match row.kind {
                    Kind::Folder => {
                        folders.push((row.id.clone(), format!("{path}/")));
                        Entry::Dir
                    }
                    Kind::File => Entry::file(bytes(&remote, &row, &path).await),
                };
                assert!(tree.0.insert(path.clone(), entry).is_none(), "{path} is there twice");
            }
        }
        tree
    })
}

async fn bytes(remote: &Internxt, row: &Row, path: &str) -> Vec<u8> {
    let Some(version) = &row.content else {
        assert_eq!(row.size, 0, "{path}: bytes without content");
        return Vec::new();
    };
    let mut stream = remote.read(version, row.size, 0..row.size, Urgency::Now).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap_or_else(|e| panic!("{path}: {e}")));
    }
    all
}
