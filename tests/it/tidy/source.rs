//! Rust sources as tokens: what a file names, its functions, and which of its lines are tests.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One file of the checkout.
pub(crate) struct Source {
    /// From the top of the checkout, such as `src/log/headers.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// All tokens, groups flattened into their brackets; comments are gone, and so is what strings say.
    tokens: Vec<Token>,
    /// Tokens of `#[cfg(test)] mod … { … }`.
    tests: Vec<Range<usize>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// A path that a file names, such as `crate::log::Log`; the groups of `use` lines are taken apart.
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::of(path.to_str().expect("names here are ASCII"), text)
    }

    pub(crate) fn of(path: &str, text: String) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        Self {
            path: path.to_owned(),
            tests: test_modules(&tokens),
            tokens,
            text,
        }
    }

    /// Where the module stands: `log::embedded::journal`; the crate's root is empty.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        if matches!(path, "lib" | "main") {
            return Vec::new();
        }
        path.split('/').map(str::to_owned).collect()
    }

    pub(crate) fn is_main(&self) -> bool {
        self.path == "src/main.rs"
    }

    /// Whether the whole file is for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Lines outside of test modules.
    pub(crate) fn lines(&self) -> usize {
        let of_tests: usize = self.tests.iter().map(|range| self.lines_of(range)).sum();
        self.text.lines().count() - of_tests
    }

    /// Functions outside of test modules.
    pub(crate) fn functions(&self) -> Vec<Function> {
        self.code_positions()
            .filter(|&at| self.is(at, "fn") && !self.is(at + 1, "("))
            .filter_map(|at| {
                let end = self.end_of_item(at)?;
                Some(Function {
                    name: self.tokens[at + 1].text.clone(),
                    line: self.tokens[at].line,
                    lines: self.lines_of(&(at..end + 1)),
                })
            })
            .collect()
    }

    /// Lines where these tokens follow each other, in code that is not a test.
    pub(crate) fn in_code(&self, pattern: &[&str]) -> Vec<usize> {
        self.find(pattern, self.code_positions())
    }

    /// The same in tests.
    pub(crate) fn in_tests(&self, pattern: &[&str]) -> Vec<usize> {
        self.find(pattern, (0..self.tokens.len()).filter(|&at| self.in_test(at)))
    }

    /// Each path in code that is not a test.
    pub(crate) fn named(&self) -> Vec<Named> {
        let mut found = Vec::new();
        let mut behind = 0;
        for at in self.code_positions() {
            if at >= behind && is_word(&self.tokens[at]) && self.follows(at + 1, &[":", ":"]) {
                behind = self.path_tree(at, &[], &mut found);
            }
        }
        found
    }

    /// Reads a path or a tree of paths, and gives the position behind it.
    fn path_tree(&self, mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens[at].line;
        loop {
            if self.is(at, "{") {
                return self.path_group(at, &segments, found);
            }
            segments.push(self.tokens[at].text.clone());
            at += 1;
            if !self.follows(at, &[":", ":"]) {
                break;
            }
            at += 2;
        }
        found.push(Named { segments, line });
        if self.is(at, "as") { at + 2 } else { at }
    }

    fn path_group(&self, open: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
        let end = self.closing(open);
        let mut at = open + 1;
        while at < end {
            let comma = self.path_tree(at, prefix, found);
            at = comma + 1;
        }
        end + 1
    }

    /// Where the body of an item ends; `None` = it has none.
    fn end_of_item(&self, start: usize) -> Option<usize> {
        let mut at = start;
        loop {
            match self.tokens.get(at)?.text.as_str() {
                "{" => return Some(self.closing(at)),
                ";" => return None,
                "(" | "[" => at = self.closing(at) + 1,
                _ => at += 1,
            }
        }
    }

    /// The bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }

    fn find(&self, pattern: &[&str], positions: impl Iterator<Item = usize>) -> Vec<usize> {
        positions
            .filter(|&at| self.follows(at, pattern))
            .map(|at| self.tokens[at].line)
            .collect()
    }

    fn code_positions(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.tokens.len()).filter(|&at| !self.in_test(at))
    }

    fn in_test(&self, at: usize) -> bool {
        self.is_test() || self.tests.iter().any(|range| range.contains(&at))
    }

    fn follows(&self, at: usize, pattern: &[&str]) -> bool {
        pattern.iter().enumerate().all(|(i, text)| self.is(at + i, text))
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    fn lines_of(&self, range: &Range<usize>) -> usize {
        self.tokens[range.end - 1].line - self.tokens[range.start].line + 1
    }
}

/// The top of the checkout.
pub(crate) fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, by name.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(Path::new(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(top().join(folder)).expect("a folder of the checkout") {
        let path = folder.join(entry.expect("an entry").file_name());
        if top().join(&path).is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(ident) => add(tokens, ident.to_string(), line),
            TokenTree::Punct(punct) => add(tokens, punct.as_char(), line),
            TokenTree::Literal(_) => add(tokens, '"', line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::Parenthesis | Delimiter::None => ('(', ')'),
                };
                add(tokens, open, line);
                flatten(group.stream(), tokens);
                add(tokens, close, group.span_close().end().line);
            }
        }
    }
}

fn add(tokens: &mut Vec<Token>, text: impl Into<String>, line: usize) {
    tokens.push(Token {
        text: text.into(),
        line,
    });
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn test_modules(tokens: &[Token]) -> Vec<Range<usize>> {
    let pattern = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    (0..tokens.len())
        .filter(|&at| texts[at..].starts_with(&pattern))
        .filter(|&at| texts.get(at + pattern.len() + 1) == Some(&"{"))
        .map(|at| at..closing(tokens, at + pattern.len() + 1) + 1)
        .collect()
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    (open..tokens.len())
        .find(|&at| {
            match tokens[at].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            depth == 0
        })
        .expect("a file that parses has matching brackets")
}
