//! The backup key file.

/// The words.
pub struct Mnemonic;

/// Reads one.
///
/// # Errors
/// Not a backup key.
pub fn parse(_text: &str) -> Result<Mnemonic, std::io::Error> {
    Err(std::io::Error::other("not a backup key"))
}
