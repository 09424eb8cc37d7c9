//! The little cryptography the service itself does: envelopes, password hashes, tokens, TOTP.
//!
//! Written apart from [`crate::crypto`] on purpose: a mistake made once must not cancel itself out.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The constant every client of the service ships.
pub(crate) const APP_SECRET: &str = "6KYQBP847D4ATSFA";

const MAGIC: &[u8; 8] = b"Salted__";

/// `EVP_BytesToKey` with MD5 and one round: 32 bytes of key, 16 of IV.
fn key_and_iv(pass: &[u8], salt: &[u8]) -> ([u8; 32], [u8; 16]) {
    let mut material = Vec::with_capacity(48);
    let mut last: Vec<u8> = Vec::new();
    while material.len() < 48 {
        let mut md5 = Md5::new();
        md5.update(&last);
        md5.update(pass);
        md5.update(salt);
        last = md5.finalize().to_vec();
        material.extend_from_slice(&last);
    }
    let (mut key, mut iv) = ([0; 32], [0; 16]);
    key.copy_from_slice(&material[..32]);
    iv.copy_from_slice(&material[32..48]);
    (key, iv)
}

/// Seals text in a `Salted__` envelope, as lower-case hex.
pub(crate) fn seal(text: &str, pass: &str, salt: [u8; 8]) -> String {
    let (key, iv) = key_and_iv(pass.as_bytes(), &salt);
    let sealed =
        cbc::Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt_padded_vec::<Pkcs7>(text.as_bytes());
    hex::encode([MAGIC.as_slice(), &salt, &sealed].concat())
}

/// Opens a `Salted__` envelope; `None` if it is malformed or the passphrase is wrong.
pub(crate) fn open(envelope: &str, pass: &str) -> Option<String> {
    let bytes = hex::decode(envelope).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?;
    let (salt, sealed) = rest.split_at_checked(8)?;
    let (key, iv) = key_and_iv(pass.as_bytes(), salt);
    let text =
        cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into()).decrypt_padded_vec::<Pkcs7>(sealed).ok()?;
    String::from_utf8(text).ok()
}

/// The password hash the clients send: hex of PBKDF2-HMAC-SHA1, 10 000 rounds, 32 bytes.
pub(crate) fn password_hash(password: &str, salt: &[u8]) -> String {
    let mut hash = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, 10_000, &mut hash);
    hex::encode(hash)
}

/// SHA-256 of text, raw.
pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn hmac_sha256(secret: &str, text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    mac.map(|mut mac| {
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    })
    .unwrap_or_default()
}

/// A signed HS256 token.
pub(crate) fn sign(claims: &Value, secret: &str) -> String {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let body = URL_SAFE_NO_PAD.encode(claims.to_string());
    let unsigned = format!("{head}.{body}");
    let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(secret, &unsigned));
    format!("{unsigned}.{signature}")
}

/// The claims of a token whose signature holds. Expiry is the caller's business.
pub(crate) fn verify(token: &str, secret: &str) -> Option<Value> {
    let (unsigned, signature) = token.rsplit_once('.')?;
    let (_, body) = unsigned.split_once('.')?;
    let given = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if given != hmac_sha256(secret, unsigned) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

/// Decodes RFC 4648 base32, upper case, padding optional.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0u32, 0u32, Vec::new());
    for char in text.trim_end_matches('=').bytes() {
        let value = match char {
            b'A'..=b'Z' => char - b'A',
            b'2'..=b'7' => char - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// The six digits of a TOTP secret (base32) at a time step of 30 s.
pub(crate) fn totp(secret: &str, step: u64) -> Option<String> {
    let key = base32(secret)?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).ok()?;
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let start = usize::from(hash[19] & 0xf);
    let word = u32::from_be_bytes([hash[start], hash[start + 1], hash[start + 2], hash[start + 3]]);
    Some(format!("{:06}", (word & 0x7fff_ffff) % 1_000_000))
}

/// Base64 that looks like ciphertext: `length` pseudo-random bytes grown from a seed.
pub(crate) fn noise(seed: u64, length: usize) -> String {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&splitmix(&mut state).to_le_bytes());
    }
    bytes.truncate(length);
    STANDARD.encode(bytes)
}

/// One step of the splitmix64 generator.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The weak ETag of the service's web framework: length in hex and a part of the SHA-1 in base64.
pub(crate) fn etag(body: &[u8]) -> String {
    let hash = STANDARD.encode(Sha1::digest(body));
    format!("W/\"{:x}-{}\"", body.len(), &hash[..27])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_open_with_their_passphrase_only() {
        let sealed = seal("word word", "demo", [7; 8]);
        assert!(sealed.starts_with("53616c7465645f5f0707"));
        assert_eq!(open(&sealed, "demo").as_deref(), Some("word word"));
        assert_ne!(open(&sealed, "dem0").as_deref(), Some("word word"));
        assert_eq!(seal(&"0".repeat(64), APP_SECRET, [0; 8]).len(), 192);
        assert_eq!(seal(&"0".repeat(32), APP_SECRET, [0; 8]).len(), 128);
    }

    #[test]
    fn opens_a_recorded_envelope() {
        let recorded = "53616c7465645f5f24337b5b06cd9cbc9e8440c50e814308b4c792245dfd428794b50a732ed865f\
                        11b77c2b9e25f9bff73e7b079d8952e5908b8fc1806516c4f";
        let salt = open(recorded, APP_SECRET).unwrap();
        assert_eq!(salt.len(), 32);
        assert!(hex::decode(salt).is_ok());
    }

    #[test]
    fn tokens_are_refused_after_tampering() {
        let token = sign(&serde_json::json!({"sub": "a"}), "secret");
        assert_eq!(verify(&token, "secret").unwrap()["sub"], "a");
        assert!(verify(&token, "other").is_none());
        assert!(verify("nonsense", "secret").is_none());
    }

    #[test]
    fn totp_matches_the_rfc() {
        // RFC 6238, appendix B: SHA-1, time 59 and 1111111109, last six digits.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert_eq!(totp(secret, 1).as_deref(), Some("287082"));
        assert_eq!(totp(secret, 1_111_111_109 / 30).as_deref(), Some("081804"));
    }

    #[test]
    fn etags_match_a_recorded_one() {
        assert_eq!(etag(br#"{"files":[]}"#), "W/\"c-6WwUVK4nyhbg0SVvUUqWNvGXOYI\"");
    }
}
