//! JPEG: decoded as a whole, in code without `unsafe`.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::shrink::Shrink;
use super::{Error, Picture, Result, check, orient};

/// Bytes that the decoder holds for a pixel: the result's; of a progressive picture the coefficients, too.
const BASELINE: u64 = 3;
const PROGRESSIVE: u64 = 3 + 6;

pub(super) fn decode(bytes: &[u8], most: u32) -> Result<Picture> {
    let frame = frame(bytes).ok_or_else(|| Error::Broken("it has no frame".to_owned()))?;
    check(frame.width.into(), frame.height.into(), if frame.progressive { PROGRESSIVE } else { BASELINE })?;
    let options = DecoderOptions::default().set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let broken = |e: zune_jpeg::errors::DecodeErrors| Error::Broken(format!("{e:?}"));
    decoder.decode_headers().map_err(broken)?;
    let info = decoder.info().ok_or_else(|| Error::Broken("it has no header".to_owned()))?;
    if (info.width, info.height) != (frame.width, frame.height) {
        return Err(Error::Broken("it has several frames".to_owned()));
    }
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (space, step) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(broken)?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    if pixels.len() != width * height * step {
        return Err(Error::Broken("it does not have the pixels it should".to_owned()));
    }
    let mut shrink = Shrink::new(info.width.into(), info.height.into(), most);
    let mut row = Vec::with_capacity(width * 4);
    for line in pixels.chunks_exact(width * step) {
        row.clear();
        line.chunks_exact(step).for_each(|p| match p {
            [grey] => row.extend([*grey, *grey, *grey, 255]),
            [red, green, blue] => row.extend([*red, *green, *blue, 255]),
            _ => {}
        });
        shrink.row(&row);
    }
    let noted = decoder.exif().map_or(1, |exif| orient::of(exif));
    Ok(orient::upright(shrink.finish(), noted))
}

/// What a picture says of itself before its data.
struct Frame {
    width: u16,
    height: u16,
    progressive: bool,
}

/// The first frame's head. Segments up to there are passed over by their lengths.
fn frame(bytes: &[u8]) -> Option<Frame> {
    let mut at = 2;
    loop {
        let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?));
        if *bytes.get(at)? != 0xff {
            return None;
        }
        match *bytes.get(at + 1)? {
            // Filling.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            // The end, or data without a frame.
            0xd9 | 0xda => return None,
            kind @ (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) => {
                let progressive = !matches!(kind, 0xc0 | 0xc1);
                return Some(Frame { height: short(at + 5)?, width: short(at + 7)?, progressive });
            }
            _ => at += 2 + usize::from(short(at + 2)?.max(2)),
        }
    }
}
