//! `Pattern`: which topics or event types are meant, by a glob over dot-separated segments or by a regular expression.
//!
//! `*` is one segment, `**` is any number of them, none included; everything else is literal and both ends are anchored. A
//! name without dots is one segment. `re:` starts a regular expression (crate `regex`: linear time) that must match the
//! whole name.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// A pattern that can be matched.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    Literal,
    Segments(Vec<Segment>),
    Regex(Regex),
}

#[derive(Clone)]
enum Segment {
    Literal(String),
    /// `*`
    One,
    /// `**`
    Any,
}

impl Pattern {
    /// The longest pattern, in bytes.
    pub const MAX_LEN: usize = 1000;

    /// Reads a pattern; an error says the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern must not be empty".into());
        }
        if text.len() > Self::MAX_LEN {
            return Err(format!(
                "a pattern has at most {} bytes; this has {}",
                Self::MAX_LEN,
                text.len()
            ));
        }
        let matcher = match text.strip_prefix("re:") {
            Some(expression) => Matcher::Regex(anchored(expression)?),
            None if text.contains('*') => Matcher::Segments(text.split('.').map(segment).collect::<Result<_, _>>()?),
            None => Matcher::Literal,
        };
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }

    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Literal => self.text == name,
            Matcher::Segments(segments) => segments_match(segments, name),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }

    /// Whether it is sure to match whatever the other does. Of regular expressions little is sure.
    pub fn covers(&self, other: &Self) -> bool {
        if self.text == other.text || self.text == "**" {
            return true;
        }
        match (&self.matcher, &other.matcher) {
            (_, Matcher::Literal) => self.matches(&other.text),
            (Matcher::Segments(wide), Matcher::Segments(narrow)) => segments_cover(wide, narrow),
            _ => false,
        }
    }

    /// Whether it is a name, and matches nothing else.
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Literal)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Any),
        text if text.contains('*') => Err(format!(
            "in a pattern, * and ** stand for whole segments between dots, not for part of one as in {text:?}; use re: \
             with a regular expression for that"
        )),
        text => Ok(Segment::Literal(text.to_owned())),
    }
}

/// The expression, made to match whole names. It is compiled alone first, so that it cannot close the group around it.
fn anchored(expression: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(256 * 1024)
            .dfa_size_limit(256 * 1024)
            .nest_limit(32)
            .build()
    };
    build(expression)
        .and_then(|_| build(&format!(r"\A(?:{expression})\z")))
        .map_err(|error| format!("not a regular expression that can be used: {error}"))
}

/// As if the narrow pattern were a name, in which `**` is matched by `**` alone.
fn segments_cover(wide: &[Segment], narrow: &[Segment]) -> bool {
    // Whether what is looked at of the wide one covers the first so many of the narrow one.
    let mut covered = vec![false; narrow.len() + 1];
    covered[0] = true;
    for segment in wide {
        let before = covered.clone();
        for count in 0..covered.len() {
            covered[count] = match (segment, count.checked_sub(1)) {
                (Segment::Any, last) => before[count] || last.is_some_and(|last| covered[last]),
                (_, None) => false,
                (Segment::One, Some(last)) => before[last] && !matches!(narrow[last], Segment::Any),
                (Segment::Literal(text), Some(last)) => {
                    before[last] && matches!(&narrow[last], Segment::Literal(same) if same == text)
                }
            };
        }
    }
    covered[narrow.len()]
}

/// Matches from the left; on a mismatch the last `**` takes one segment more. Quadratic at worst.
fn segments_match(segments: &[Segment], name: &str) -> bool {
    let (mut at, mut rest) = (0, Some(name));
    let mut last_any = None;
    loop {
        match (segments.get(at), rest) {
            (Some(Segment::Any), _) => {
                at += 1;
                last_any = Some((at, rest));
                continue;
            }
            (None, None) => return true,
            (Some(expected), Some(name)) => {
                let (head, tail) = split(name);
                if matches!(expected, Segment::One) || matches!(expected, Segment::Literal(text) if text == head) {
                    (at, rest) = (at + 1, tail);
                    continue;
                }
            }
            _ => {}
        }
        match last_any {
            Some((after, Some(name))) => {
                let tail = split(name).1;
                last_any = Some((after, tail));
                (at, rest) = (after, tail);
            }
            _ => return false,
        }
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('.')
        .map_or((name, None), |(head, tail)| (head, Some(tail)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect(text)
    }

    #[test]
    fn patterns_match_whole_names() {
        for (text, good, bad) in [
            ("a.b", &["a.b"][..], &["a", "a.b.c", "axb", "x.a.b", ""][..]),
            ("*", &["UserCreatedEvent", "a"], &["a.b"]),
            ("a.*", &["a.b"], &["a", "a.b.c", "b.a"]),
            ("*.b", &["a.b"], &["b", "a.a.b"]),
            ("a.**", &["a", "a.b", "a.b.c"], &["b", "ab", "b.a"]),
            ("**.c", &["c", "a.c", "a.b.c", "c.c"], &["c.a", "ac"]),
            ("a.**.c", &["a.c", "a.b.c", "a.c.b.c"], &["a", "c", "a.c.b"]),
            ("**", &["a", "a.b", "..."], &[]),
            (
                "**.a.**.b.*",
                &["a.b.c", "x.a.y.b.z", "a.b.a.b.b"],
                &["a.b", "b.a.c", "a.x.c"],
            ),
            ("re:order|orders.*", &["order", "orders.x"], &["order.x", "preorder"]),
            ("re:(?i)a", &["A", "a"], &["ab", "a\n"]),
        ] {
            let pattern = pattern(text);
            for name in good {
                assert!(pattern.matches(name), "{text} should match {name}");
            }
            for name in bad {
                assert!(!pattern.matches(name), "{text} should not match {name}");
            }
        }
    }

    #[test]
    fn only_names_are_literal() {
        assert!(pattern("io.shop.orders.resource").is_literal());
        for text in ["*", "a.**", "re:a"] {
            assert!(!pattern(text).is_literal(), "{text}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_used_say_why() {
        let long = "a".repeat(1001);
        for bad in [
            "",
            "a*",
            "a.b*.c",
            "***",
            "re:(",
            "re:a)(b",
            "re:(?x)a #",
            r"re:\w{1000}",
            &long,
        ] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_long() {
        let text = ["**.a"; 200].join(".");
        assert!(!pattern(&text).matches(&["a"; 50_000].join(".").replace("a.a", "a.b")));
    }

    /// The definition, word by word.
    fn slow(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=name.len()).any(|skip| slow(rest, &name[skip..])),
            ([first, rest @ ..], [head, tail @ ..]) => (*first == "*" || first == head) && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_definition(text in "(a|b|[*]|[*]{2})([.](a|b|[*]|[*]{2})){0,6}", name in "[ab]([.][ab]){0,6}") {
            let expected = slow(&text.split('.').collect::<Vec<_>>(), &name.split('.').collect::<Vec<_>>());
            prop_assert_eq!(pattern(&text).matches(&name), expected, "{} {}", text, name);
        }

        #[test]
        fn any_text_gets_a_verdict(text in "(re:)?.{0,30}", name in ".{0,30}") {
            let _ = Pattern::new(&text).map(|pattern| pattern.matches(&name));
        }
    }
}
