//! One-time codes from an authenticator's secret (RFC 6238: SHA-1, six digits, 30 s).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

/// Seconds a code is good for.
const STEP: u64 = 30;

/// The code at a moment (seconds since 1970). `None`: the secret is not base32, or empty.
#[must_use]
pub fn code(secret: &str, now: u64) -> Option<String> {
    let key = base32(secret).filter(|key| !key.is_empty())?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).ok()?;
    mac.update(&(now / STEP).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let word = digest.get(at..at + 4)?.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    Some(format!("{:06}", (word & 0x7fff_ffff) % 1_000_000))
}

/// As authenticators show it: any case, blanks and dashes between, padding or not.
fn base32(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.trim_end_matches(['=', ' ', '\n', '\r']).bytes() {
        let value = match letter.to_ascii_uppercase() {
            b' ' | b'-' => continue,
            l @ b'A'..=b'Z' => l - b'A',
            l @ b'2'..=b'7' => l - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B: the last six of its eight digits.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (now, want) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(secret, now).as_deref(), Some(want));
        }
        assert_eq!(code("gezd gnbv-gy3t qojq gezd gnbv gy3t qojq", 59).as_deref(), Some("287082"));
        assert_eq!(code("", 59), None);
        assert_eq!(code("no base32!", 59), None);
    }
}
