//! The desktop's keyring: the Secret Service of GNOME Keyring, KWallet, KeePassXC and others.
//!
//! A secret crosses the bus as it is: who can listen there is the user, who could ask for it just as well. Nobody is made to
//! answer a prompt: what is locked is told to be so, at once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use zbus::Connection;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Type, Value};
use zeroize::Zeroizing;

use super::{Attributes, Error, Service, errand, is_none, no_bus};

const NAME: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";

/// As the service has it.
#[derive(Serialize, Deserialize, Type)]
struct Secret {
    session: OwnedObjectPath,
    parameters: Vec<u8>,
    value: Vec<u8>,
    content_type: String,
}

/// Whether something can be kept there now.
///
/// # Errors
/// It cannot: there is none, or it is locked, or it does not answer.
pub fn check() -> Result<(), Error> {
    errand(|| async { Keyring::open().await?.collection().await.map(drop) })
}

/// The secret of the item with these attributes; `None` if an open keyring has none.
///
/// # Errors
/// Whether there is one cannot be told, or it is locked.
pub fn get(attributes: Attributes) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    errand(|| async move {
        let keyring = Keyring::open().await?;
        let (open, locked) = keyring.search(&attributes).await?;
        if let Some(item) = open.first() {
            return keyring.secret(item).await.map(Some);
        }
        if !locked.is_empty() {
            return Err(Error::Locked);
        }
        // A locked one may not even tell what it has.
        keyring.collection().await.map(|_| None)
    })
}

/// Keeps a secret under these attributes, in place of another there.
///
/// # Errors
/// It is not kept.
pub fn put(attributes: Attributes, label: String, secret: Zeroizing<Vec<u8>>) -> Result<(), Error> {
    errand(|| async move {
        let keyring = Keyring::open().await?;
        let collection = keyring.collection().await?;
        keyring.create(&collection, &attributes, &label, &secret).await
    })
}

/// Removes what has these attributes. Nothing there is success.
///
/// # Errors
/// Something may be there still.
pub fn remove(attributes: Attributes) -> Result<(), Error> {
    errand(|| async move {
        let keyring = Keyring::open().await?;
        let (open, locked) = keyring.search(&attributes).await?;
        for item in &open {
            let prompt: OwnedObjectPath = keyring.service.ask(item, ITEM, "Delete", &()).await?;
            keyring.unprompted(&prompt).await?;
        }
        if locked.is_empty() { Ok(()) } else { Err(Error::Locked) }
    })
}

struct Keyring {
    service: Service,
    session: OwnedObjectPath,
}

impl Keyring {
    async fn open() -> Result<Self, Error> {
        let bus = Connection::session().await.map_err(|e| no_bus(&e))?;
        let service = Service { bus, name: NAME };
        let (_, session): (OwnedValue, OwnedObjectPath) =
            service.ask(ROOT, SERVICE, "OpenSession", &("plain", Value::from(""))).await?;
        Ok(Keyring { service, session })
    }

    /// The one that opens with the login on the desktop, or else the one that programs are to use; it is open.
    async fn collection(&self) -> Result<OwnedObjectPath, Error> {
        for alias in ["login", "default"] {
            let path: OwnedObjectPath = self.service.ask(ROOT, SERVICE, "ReadAlias", &(alias,)).await?;
            if is_none(&path) {
                continue;
            }
            let locked = self.service.property(&path, COLLECTION, "Locked").await?;
            return if bool::try_from(locked).unwrap_or(true) { Err(Error::Locked) } else { Ok(path) };
        }
        Err(Error::Absent("it has no collection yet".to_owned()))
    }

    /// Items that are open, and items that are locked.
    async fn search(
        &self,
        attributes: &Attributes,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>), Error> {
        self.service.ask(ROOT, SERVICE, "SearchItems", &(attributes,)).await
    }

    async fn secret(&self, item: &OwnedObjectPath) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut secrets: HashMap<OwnedObjectPath, Secret> =
            self.service.ask(ROOT, SERVICE, "GetSecrets", &(vec![item], &self.session)).await?;
        // It may have been locked just now.
        secrets.remove(item).map(|secret| Zeroizing::new(secret.value)).ok_or(Error::Locked)
    }

    async fn create(
        &self,
        collection: &OwnedObjectPath,
        attributes: &Attributes,
        label: &str,
        secret: &[u8],
    ) -> Result<(), Error> {
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Value::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Value::from(attributes.clone())),
        ]);
        let secret = Secret {
            session: self.session.clone(),
            parameters: Vec::new(),
            value: secret.to_vec(),
            content_type: "text/plain".to_owned(),
        };
        let args = (properties, &secret, true);
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
            self.service.ask(collection, COLLECTION, "CreateItem", &args).await?;
        self.unprompted(&prompt).await
    }

    /// What would wait for a person is not waited for.
    async fn unprompted(&self, prompt: &OwnedObjectPath) -> Result<(), Error> {
        if is_none(prompt) {
            return Ok(());
        }
        let _ = self.service.tell(prompt, PROMPT, "Dismiss", &()).await;
        Err(Error::Locked)
    }
}
