//! Names: how the service's two columns become one display name, and back.
//!
//! The service keeps a file's name as `plainName` and `type` and compares both byte for byte; the
//! split is a convention of each client, so several rows can carry one display name.

/// A name as the service stores it. Folders never have an extension.
#[derive(
    Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize,
)]
pub struct RemoteName {
    /// `plainName`.
    pub stem: String,
    /// `type`; missing, null and empty are one and the same to the service, and `None` here.
    pub ext: Option<String>,
}

/// The longest name Linux takes, in bytes.
pub const NAME_MAX: usize = 255;

/// Why a name is refused before anything is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Over [`NAME_MAX`] bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// The service cannot hold it: not UTF-8, only blanks, NUL, or `\` in a folder's name.
    #[error("the service cannot store this name")]
    Unstorable,
}

impl RemoteName {
    /// A folder's name, or a file's that has no extension.
    #[must_use]
    pub fn whole(name: &str) -> Self {
        RemoteName { stem: name.to_owned(), ext: None }
    }

    /// From the two columns; an empty extension is none.
    #[must_use]
    pub fn from_columns(stem: &str, ext: Option<&str>) -> Self {
        RemoteName { stem: stem.to_owned(), ext: ext.filter(|e| !e.is_empty()).map(str::to_owned) }
    }

    /// Splits a file's display name so that it survives the round trip through the service: at the
    /// last dot, unless a part would be empty, blank or (the extension) hold white space.
    #[must_use]
    pub fn split(display: &str) -> Self {
        match display.rfind('.') {
            Some(dot) if splits_well(&display[..dot], &display[dot + 1..]) => {
                RemoteName { stem: display[..dot].to_owned(), ext: Some(display[dot + 1..].to_owned()) }
            }
            _ => RemoteName::whole(display),
        }
    }

    /// Every pair of columns that shows as `display`: the whole name, and a split at each dot.
    #[must_use]
    pub fn all_splits(display: &str) -> Vec<Self> {
        let at_dots = display.match_indices('.').filter(|(i, _)| i + 1 < display.len()).map(|(i, _)| {
            RemoteName { stem: display[..i].to_owned(), ext: Some(display[i + 1..].to_owned()) }
        });
        std::iter::once(RemoteName::whole(display)).chain(at_dots).collect()
    }

    /// What the user sees.
    #[must_use]
    pub fn display(&self) -> String {
        match &self.ext {
            Some(ext) => format!("{}.{ext}", self.stem),
            None => self.stem.clone(),
        }
    }
}

fn splits_well(stem: &str, ext: &str) -> bool {
    !stem.trim().is_empty() && !ext.is_empty() && !ext.contains(char::is_whitespace)
}

/// Whether a directory of a POSIX system can show `display`.
#[must_use]
pub fn is_showable(display: &str) -> bool {
    !display.is_empty()
        && display != "."
        && display != ".."
        && display.len() <= NAME_MAX
        && !display.contains(['/', '\0'])
}

/// A showable, unique stand-in for a name that cannot be shown or is taken: the showable rest of it
/// with the row's identity before the extension. Injective, since `id` is; never pushed.
#[must_use]
pub fn alias(display: &str, id: &str) -> String {
    let clean: String = display.chars().map(|c| if c == '/' || c == '\0' { '_' } else { c }).collect();
    let clean = match clean.as_str() {
        "" | "." | ".." => "unnamed",
        other => other,
    };
    let RemoteName { stem, ext } = RemoteName::split(clean);
    let mut tail = format!(" ({id})");
    if let Some(ext) = ext.filter(|e| e.len() <= 32) {
        tail.push('.');
        tail.push_str(&ext);
    }
    let mut end = stem.len().min(NAME_MAX - tail.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &stem[..end])
}

/// Checks a name a local program wants to give, and returns it as text.
///
/// # Errors
/// [`NameError`]; the limits are those of Linux (255 bytes), which lie below the service's own
/// (288 bytes for folders, 650 characters for files), and of the service's validation.
pub fn check(name: &[u8], folder: bool) -> Result<&str, NameError> {
    if name.len() > NAME_MAX {
        return Err(NameError::TooLong);
    }
    let name = std::str::from_utf8(name).map_err(|_| NameError::Unstorable)?;
    let refused = name.trim().is_empty() || name.contains(['/', '\0']) || (folder && name.contains('\\'));
    if refused { Err(NameError::Unstorable) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_follow_the_codec_that_round_trips() {
        let cases = [
            ("a.txt", "a", Some("txt")),
            ("a.tar.gz", "a.tar", Some("gz")),
            (".bashrc", ".bashrc", None),
            ("noext", "noext", None),
            ("foo.", "foo.", None),
            ("Mr. X", "Mr. X", None),
            (" .x", " .x", None),
            ("..", "..", None),
        ];
        for (display, stem, ext) in cases {
            let name = RemoteName::split(display);
            assert_eq!((name.stem.as_str(), name.ext.as_deref()), (stem, ext), "{display:?}");
            assert_eq!(name.display(), display);
        }
    }

    #[test]
    fn all_splits_show_the_same_name_and_include_the_own_one() {
        for display in ["a.b.c", ".a", "a.", "a", "a..b"] {
            let all = RemoteName::all_splits(display);
            assert!(all.iter().all(|n| n.display() == display), "{display:?}: {all:?}");
            assert!(all.contains(&RemoteName::split(display)));
        }
    }

    #[test]
    fn aliases_are_showable_and_differ_by_identity() {
        let id = "1797165f-0000-4000-8000-000000000001";
        for display in ["", ".", "..", "a/b", "nul\0x", &"x".repeat(300), &"é".repeat(200), "a.txt"] {
            let one = alias(display, id);
            assert!(is_showable(&one), "{one:?}");
            assert_ne!(one, alias(display, "1797165f-0000-4000-8000-000000000002"));
        }
        assert_eq!(alias("a.txt", "id"), "a (id).txt");
    }

    #[test]
    fn names_the_service_refuses_are_refused_here() {
        assert_eq!(check(&[b'x'; 256], false), Err(NameError::TooLong));
        assert_eq!(check(b"  ", false), Err(NameError::Unstorable));
        assert_eq!(check(b"a\\b", true), Err(NameError::Unstorable));
        assert_eq!(check(b"a\\b", false), Ok("a\\b"));
        assert_eq!(check(b"\xff", false), Err(NameError::Unstorable));
    }
}
