//! The patterns of LIKE (section 3.4.3): compiled once, matched without backtracking beyond the last `%`.

use super::{Exhausted, Fuel};

/// `head % middle % middle % tail`; without any `%` the head is all there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Like {
    head: Segment,
    rest: Option<(Box<[Segment]>, Segment)>,
}

/// What stands between two `%`: it has a fixed number of characters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Segment {
    pieces: Vec<Piece>,
    characters: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// So many `_`.
    Any(usize),
}

impl Like {
    /// Any text is a pattern. `\%` and `\_` are literal; any other backslash stands for itself.
    pub(super) fn new(pattern: &str) -> Self {
        let mut segments = vec![Segment::default()];
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let last = segments.len() - 1;
            match character {
                '%' => segments.push(Segment::default()),
                '_' => segments[last].push_any(),
                '\\' => match characters.next_if(|next| matches!(next, '%' | '_')) {
                    Some(escaped) => segments[last].push(escaped),
                    None => segments[last].push('\\'),
                },
                other => segments[last].push(other),
            }
        }
        let tail = (segments.len() > 1).then(|| segments.pop()).flatten();
        let mut segments = segments.into_iter();
        let head = segments.next().unwrap_or_default();
        let middle = segments.filter(|segment| segment.characters > 0).collect();
        Self {
            head,
            rest: tail.map(|tail| (middle, tail)),
        }
    }

    /// Whether all of the text matches. Takes as many steps as text and pattern have characters, multiplied only where `_`
    /// stands between two `%`; each step is paid for.
    pub(super) fn matches(&self, text: &str, fuel: &mut Fuel) -> Result<bool, Exhausted> {
        let Some(mut left) = self.head.strip(text) else {
            return Ok(false);
        };
        let Some((middle, tail)) = &self.rest else {
            return Ok(left.is_empty());
        };
        for segment in middle {
            match segment.find(left, fuel)? {
                Some(behind) => left = behind,
                None => return Ok(false),
            }
        }
        Ok(tail.ends(left))
    }
}

impl Segment {
    fn push(&mut self, character: char) {
        self.characters += 1;
        match self.pieces.last_mut() {
            Some(Piece::Literal(text)) => text.push(character),
            _ => self.pieces.push(Piece::Literal(character.into())),
        }
    }

    fn push_any(&mut self) {
        self.characters += 1;
        match self.pieces.last_mut() {
            Some(Piece::Any(count)) => *count += 1,
            _ => self.pieces.push(Piece::Any(1)),
        }
    }

    /// What is behind the segment where the text starts with it.
    fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.pieces.iter().try_fold(text, |text, piece| match piece {
            Piece::Literal(literal) => text.strip_prefix(literal.as_str()),
            Piece::Any(count) => skip(text, *count),
        })
    }

    fn ends(&self, text: &str) -> bool {
        match &*self.pieces {
            [] => true,
            [Piece::Literal(literal)] => text.ends_with(literal.as_str()),
            _ => {
                let start = text.char_indices().rev().nth(self.characters - 1);
                start.is_some_and(|(at, _)| self.strip(&text[at..]).is_some())
            }
        }
    }

    /// What is behind the first place where the segment fits. The first is as good as any later one: more text is left.
    fn find<'t>(&self, text: &'t str, fuel: &mut Fuel) -> Result<Option<&'t str>, Exhausted> {
        if let [Piece::Literal(literal)] = &*self.pieces {
            fuel.burn(text.len())?;
            return Ok(text.find(literal.as_str()).map(|at| &text[at + literal.len()..]));
        }
        for (at, _) in text.char_indices() {
            fuel.burn(1 + self.characters / 8)?;
            if let Some(behind) = self.strip(&text[at..]) {
                return Ok(Some(behind));
            }
        }
        Ok(None)
    }
}

/// The text behind so many characters, if it has them.
fn skip(text: &str, count: usize) -> Option<&str> {
    let mut characters = text.chars();
    for _ in 0..count {
        characters.next()?;
    }
    Some(characters.as_str())
}
