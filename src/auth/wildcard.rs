//! `Wildcard`: names of principals and values of claims, where `*` stands for anything, nothing included.

/// A text that others match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard(Vec<String>);

impl Wildcard {
    pub fn new(text: &str) -> Self {
        Self(text.split('*').map(str::to_owned).collect())
    }

    pub fn matches(&self, text: &str) -> bool {
        let (first, rest) = match &self.0[..] {
            [] => return text.is_empty(),
            [only] => return text == only,
            [first, rest @ ..] => (first, rest),
        };
        let (last, middle) = rest
            .split_last()
            .map_or(("", rest), |(last, middle)| (last.as_str(), middle));
        let Some(mut text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            match text.find(part.as_str()) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (text, good, bad) in [
            ("a", &["a"][..], &["", "aa", "A"][..]),
            ("*", &["", "a", "a:b/c"], &[]),
            ("a*", &["a", "ab"], &["ba", ""]),
            ("*a", &["a", "ba"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["acb", "ab"]),
            (
                "spiffe://shop/*/billing",
                &["spiffe://shop/x/billing"],
                &["spiffe://shop/billing"],
            ),
            ("", &[""], &["a"]),
        ] {
            for name in good {
                assert!(Wildcard::new(text).matches(name), "{text} {name}");
            }
            for name in bad {
                assert!(!Wildcard::new(text).matches(name), "{text} {name}");
            }
        }
    }
}
