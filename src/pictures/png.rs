//! PNG: read row by row, so that size costs time and no memory; written with notes.

use std::io::Cursor;

use png::text_metadata::{ITXtChunk, TEXtChunk};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Limits, Transformations};

use super::shrink::Shrink;
use super::{Error, MEMORY_MAX, Picture, Result, check, orient};

/// Bytes that an interlaced picture takes for a pixel.
const INTERLACED: u64 = 4;

/// What a PNG says besides its pixels: a key and a text, both ASCII.
#[derive(Clone, Copy, Debug)]
pub enum Note<'a> {
    /// As everybody reads it.
    Plain(&'a str, &'a str),
    /// As text of any language, which programs that know but the plain kind pass over.
    International(&'a str, &'a str),
}

pub(super) fn decode(bytes: &[u8], most: u32) -> Result<Picture> {
    let limits = Limits { bytes: usize::try_from(MEMORY_MAX).unwrap_or(usize::MAX) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let broken = |e: png::DecodingError| Error::Broken(e.to_string());
    let head = decoder.read_header_info().map_err(broken)?;
    let (width, height, interlaced) = (head.width, head.height, head.interlaced);
    check(width.into(), height.into(), if interlaced { INTERLACED } else { 0 })?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let step = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => 1,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => 2,
        (ColorType::Rgb, BitDepth::Eight) => 3,
        (ColorType::Rgba, BitDepth::Eight) => 4,
        other => return Err(Error::Broken(format!("it has pixels of an unexpected kind: {other:?}"))),
    };
    let mut shrink = Shrink::new(width, height, most);
    let mut row = Vec::new();
    if interlaced {
        let size = reader.output_buffer_size().ok_or(Error::TooLarge(width.into(), height.into()))?;
        let mut pixels = vec![0; size];
        let line = reader.next_frame(&mut pixels).map_err(broken)?.line_size;
        for line in pixels.chunks_exact(line.max(1)) {
            shrink.row(opaque(line, step, &mut row));
        }
    } else {
        for _ in 0..height {
            let Some(line) = reader.next_row().map_err(broken)? else { break };
            shrink.row(opaque(line.data(), step, &mut row));
        }
    }
    let noted = reader.info().exif_metadata.as_deref().map_or(1, orient::of);
    Ok(orient::upright(shrink.finish(), noted))
}

/// A line with four bytes a pixel.
fn opaque<'a>(line: &[u8], step: usize, row: &'a mut Vec<u8>) -> &'a [u8] {
    row.clear();
    for pixel in line.chunks_exact(step) {
        row.extend(match pixel {
            [grey] => [*grey, *grey, *grey, 255],
            [grey, opacity] => [*grey, *grey, *grey, *opacity],
            [red, green, blue] => [*red, *green, *blue, 255],
            [red, green, blue, opacity] => [*red, *green, *blue, *opacity],
            _ => [0; 4],
        });
    }
    row
}

pub(super) fn encode(picture: &Picture, notes: &[Note]) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| Error::Unwritable(e.to_string());
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, picture.width, picture.height);
    let solid = picture.pixels.chunks_exact(4).all(|p| p[3] == 255);
    encoder.set_color(if solid { ColorType::Rgb } else { ColorType::Rgba });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    for note in notes {
        match *note {
            Note::Plain(key, text) => writer.write_text_chunk(&TEXtChunk::new(key, text)),
            Note::International(key, text) => writer.write_text_chunk(&ITXtChunk::new(key, text)),
        }
        .map_err(failed)?;
    }
    if solid {
        let colours: Vec<u8> = picture.pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        writer.write_image_data(&colours).map_err(failed)?;
    } else {
        writer.write_image_data(&picture.pixels).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(out)
}
