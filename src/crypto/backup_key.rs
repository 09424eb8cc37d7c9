//! The backup key file of the web app: bare words (old), or JSON that holds them (new).

use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Error, Mnemonic};

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct File {
    mnemonic: String,
}

/// Reads either format. Other members of the JSON (private keys) are not looked at.
///
/// # Errors
/// [`Error::NotABackupKey`] for anything that does not look like one; otherwise what is wrong with
/// the words.
pub fn parse(text: &str) -> Result<Mnemonic, Error> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        let file: File = serde_json::from_str(text).map_err(|_| Error::NotABackupKey)?;
        return Mnemonic::parse(&file.mnemonic);
    }
    let words = text.split_whitespace().count();
    let wordlike = text.chars().all(|c| c.is_alphabetic() || c.is_whitespace());
    if !wordlike || !(9..=27).contains(&words) {
        return Err(Error::NotABackupKey);
    }
    Mnemonic::parse(text)
}
