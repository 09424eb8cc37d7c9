//! The account's master key as words.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::Error;

/// A valid English BIP39 mnemonic. Shown and logged by nothing; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// Reads words as people and files give them: any case, any white space, any Unicode form.
    ///
    /// # Errors
    /// The number of words, the position of a misspelt one, or the checksum.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut normal = std::borrow::Cow::Owned(text.to_lowercase());
        bip39::Mnemonic::normalize_utf8_cow(&mut normal);
        let mut joined = Zeroizing::new(String::with_capacity(normal.len()));
        for word in normal.split_whitespace() {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(word);
        }
        let parsed = bip39::Mnemonic::parse_in_normalized(bip39::Language::English, &joined);
        normal.to_mut().zeroize();
        parsed.map(Mnemonic).map_err(|e| match e {
            bip39::Error::BadWordCount(n) => Error::WordCount(n),
            bip39::Error::UnknownWord(i) => Error::UnknownWord(i + 1),
            _ => Error::Checksum,
        })
    }

    /// The words, single spaces between them.
    #[must_use]
    pub fn phrase(&self) -> Zeroizing<String> {
        let mut phrase = Zeroizing::new(String::with_capacity(256));
        for word in self.0.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        phrase
    }

    /// The BIP39 seed without a passphrase: 2048 rounds of PBKDF2, so keep it.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed_normalized(""))
    }
}

impl Drop for Mnemonic {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(…)")
    }
}
