//! Shrinking, row by row: each pixel of the result is the mean of the area it stands for.

use super::Picture;

/// A picture on its way.
pub(super) struct Shrink {
    from: (u64, u64),
    to: (u64, u64),
    /// Rows taken.
    taken: u64,
    /// The present row at the new width: colours times opacity, and opacity, times the width they come from.
    row: Vec<[u64; 4]>,
    /// The same of all of it. Below 2^48 a value, for up to 2^32 pixels.
    all: Vec<[u64; 4]>,
}

/// Where a step of a line of `from` goes on one of `to` (no longer): the first place and its part, and the rest of the
/// next place. The parts of a place add up to `from`.
fn places(at: u64, from: u64, to: u64) -> (u64, u64, u64) {
    let start = at * to;
    let place = start / from;
    let first = (start + to).min((place + 1) * from) - start;
    (place, first, to - first)
}

/// A count that was a `usize` or fits one.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Shrink {
    /// From so many pixels, of which there are some, to `most` in either direction; never to more.
    pub fn new(width: u32, height: u32, most: u32) -> Self {
        let (w, h, most) = (u64::from(width), u64::from(height), u64::from(most.max(1)));
        let longest = w.max(h);
        let fit = |n: u64| if longest <= most { n } else { (n * most / longest).max(1) };
        let to = (fit(w), fit(h));
        let (row, all) = (vec![[0; 4]; index(to.0)], vec![[0; 4]; index(to.0 * to.1)]);
        Shrink { from: (w, h), to, taken: 0, row, all }
    }

    /// The next row, four bytes a pixel. Rows beyond the height are passed over.
    pub fn row(&mut self, pixels: &[u8]) {
        if self.taken >= self.from.1 {
            return;
        }
        self.row.fill([0; 4]);
        for (x, pixel) in (0..self.from.0).zip(pixels.chunks_exact(4)) {
            let opacity = u64::from(pixel[3]);
            let colour = |n: usize| u64::from(pixel[n]) * opacity;
            let value = [colour(0), colour(1), colour(2), opacity];
            let (place, first, rest) = places(x, self.from.0, self.to.0);
            add(&mut self.row, index(place), value, first);
            add(&mut self.row, index(place) + 1, value, rest);
        }
        let (place, first, rest) = places(self.taken, self.from.1, self.to.1);
        let width = self.row.len();
        for (x, value) in self.row.iter().enumerate() {
            add(&mut self.all, index(place) * width + x, *value, first);
            add(&mut self.all, (index(place) + 1) * width + x, *value, rest);
        }
        self.taken += 1;
    }

    /// What has become of it. Rows that did not come are transparent.
    pub fn finish(self) -> Picture {
        let area = self.from.0 * self.from.1;
        let byte = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
        let mut pixels = Vec::with_capacity(self.all.len() * 4);
        for [red, green, blue, opacity] in self.all {
            // Rounded; what cannot be seen has no colour.
            let colour = |sum: u64| byte((sum + opacity / 2).checked_div(opacity).unwrap_or(0));
            pixels.extend([colour(red), colour(green), colour(blue), byte((opacity + area / 2) / area)]);
        }
        let dimension = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Picture { width: dimension(self.to.0), height: dimension(self.to.1), pixels }
    }
}

fn add(sums: &mut [[u64; 4]], at: usize, value: [u64; 4], times: u64) {
    if times == 0 {
        return;
    }
    if let Some(sum) = sums.get_mut(at) {
        sum.iter_mut().zip(value).for_each(|(sum, v)| *sum += v * times);
    }
}
