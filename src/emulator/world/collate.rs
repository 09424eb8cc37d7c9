//! The display order of `sort=plainName`: an ICU-like collation with numeric order.

use std::cmp::Ordering;

/// Punctuation in the order of the Unicode root collation.
const MARKS: &str = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone)]
enum Weight {
    Blank(char),
    Mark(usize),
    Symbol(char),
    Number(u128),
    Letter(char),
}

/// A sort key. Ties between cases put the lower case first, as ICU does.
#[derive(PartialEq, Eq, Debug, Clone)]
pub(crate) struct Key {
    weights: Vec<Weight>,
    raw: String,
}

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        let mut weights = Vec::with_capacity(name.len());
        let mut chars = name.chars().peekable();
        while let Some(char) = chars.next() {
            let weight = if let Some(first) = char.to_digit(10) {
                let mut number = u128::from(first);
                while let Some(next) = chars.peek().and_then(|next| next.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(u128::from(next));
                    chars.next();
                }
                Weight::Number(number)
            } else if char.is_whitespace() || char.is_control() {
                Weight::Blank(char)
            } else if let Some(place) = MARKS.find(char) {
                Weight::Mark(place)
            } else if char.is_alphabetic() {
                Weight::Letter(char.to_lowercase().next().unwrap_or(char))
            } else {
                Weight::Symbol(char)
            };
            weights.push(weight);
        }
        Self { weights, raw: name.to_owned() }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let case = || {
            let flip = |name: &str| name.chars().map(|char| (char.is_uppercase(), char)).collect::<Vec<_>>();
            flip(&self.raw).cmp(&flip(&other.raw))
        };
        self.weights.cmp(&other.weights).then_with(case)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_like_the_recordings() {
        let mut names = vec!["file10", "b", "B", "o.x", "o_", "file2", "", " lead", ".", "..", " ", "a"];
        names.sort_by_key(|name| Key::new(name));
        assert_eq!(names, ["", " ", " lead", ".", "..", "a", "b", "B", "file2", "file10", "o_", "o.x"]);
    }
}
