//! What file managers call the drive, and the icon they give it.

use crate::fs::Fs;

/// Where they look.
pub(super) const NAME: &str = ".xdg-volume-info";

impl Fs {
    pub(super) fn volume_info(&self) -> String {
        // A line ends a value.
        let email: String = self.remote.account().email.chars().filter(|c| !c.is_control()).collect();
        format!("[Volume Info]\nName=Internxt Drive ({email})\nIcon=folder-remote\n")
    }
}
