//! Small pictures: made of large ones, and put where desktops look for them.
//!
//! What is decoded comes from anywhere. Its dimensions and what it would take are looked at before anything of it is
//! decoded; what is kept of it is pixels, encoded anew.

mod desktop;
mod jpeg;
mod orient;
mod png;
mod shrink;
#[cfg(test)]
mod tests;

pub use desktop::{Desktop, uri_of};
pub use png::Note;

/// Bytes of a file that is looked at, at most.
pub const FILE_MAX: u64 = 32 << 20;
/// Memory for decoding one, at most.
const MEMORY_MAX: u64 = 96 << 20;
/// Pixels that are looked at, at most, which is a matter of time; and of one line.
const PIXELS_MAX: u64 = 100_000_000;
const LINE_MAX: u64 = 65_535;

/// Why there is no picture. For the log only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither of the two formats.
    #[error("it is neither a PNG nor a JPEG picture")]
    Unknown,
    /// It would take more than it is worth.
    #[error("a picture of {0} by {1} pixels takes too much to decode")]
    TooLarge(u64, u64),
    /// It ends early, or makes no sense.
    #[error("the picture cannot be decoded: {0}")]
    Broken(String),
    /// The small one cannot be written.
    #[error("the picture cannot be encoded: {0}")]
    Unwritable(String),
}

/// What the calls of this room return.
pub type Result<T> = std::result::Result<T, Error>;

/// A small picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    /// Four bytes a pixel: red, green, blue, opacity.
    pixels: Vec<u8>,
}

impl Picture {
    /// Decodes, as large as it is but for being shrunk to `most` pixels in either direction, and turned as its camera
    /// was held.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn decode(bytes: &[u8], most: u32) -> Result<Picture> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => png::decode(bytes, most),
            [0xff, 0xd8, ..] => jpeg::decode(bytes, most),
            _ => Err(Error::Unknown),
        }
    }

    /// The same, `most` pixels in either direction; never larger than it is.
    #[must_use]
    pub fn within(&self, most: u32) -> Picture {
        if self.width.max(self.height) <= most {
            return self.clone();
        }
        let row = self.width as usize * 4;
        let mut shrink = shrink::Shrink::new(self.width, self.height, most);
        self.pixels.chunks_exact(row).for_each(|pixels| shrink.row(pixels));
        shrink.finish()
    }

    /// As a PNG with notes in it, in their order.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub fn to_png(&self, notes: &[Note]) -> Result<Vec<u8>> {
        png::encode(self, notes)
    }

    /// How wide and how high it is.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// Refuses what takes too much: `each` bytes a pixel.
fn check(width: u64, height: u64, each: u64) -> Result<()> {
    let pixels = width.saturating_mul(height);
    if pixels == 0 {
        return Err(Error::Broken("it has no pixels".to_owned()));
    }
    if width.max(height) > LINE_MAX || pixels > PIXELS_MAX || pixels.saturating_mul(each) > MEMORY_MAX {
        return Err(Error::TooLarge(width, height));
    }
    Ok(())
}
