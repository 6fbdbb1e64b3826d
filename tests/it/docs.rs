//! The documentation keeps up with the code: what is listed there is what there is.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn docs_list_every_reason_of_an_error_with_its_code() {
    let listed = read("docs/errors.md");
    let listed: BTreeSet<(String, String)> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(reason, rest)| (reason.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(
        listed,
        served(),
        "docs/errors.md (left) and the table in src/grpc/status.rs (right) differ"
    );
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            let target = top().join(&page).with_file_name("").join(file);
            assert!(target.exists(), "{page} links to {link}, which is not there");
        }
    }
}

/// The Markdown files at the top and in docs/.
fn pages() -> Vec<String> {
    let files = |folder: &'static str| {
        let entries = fs::read_dir(top().join(folder)).expect("a folder of the checkout");
        entries.map(move |entry| format!("{folder}{}", entry.expect("an entry").file_name().display()))
    };
    let pages: Vec<_> = files("")
        .chain(files("docs/"))
        .filter(|name| name.ends_with(".md"))
        .collect();
    assert!(pages.len() > 4, "few pages were found: {pages:?}");
    pages
}

/// Rows such as `Reason::LogFull => ("LOG_FULL", Code::ResourceExhausted),`.
fn served() -> BTreeSet<(String, String)> {
    let source = read("src/grpc/status.rs");
    let rows = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Reason::")?.split_once("(\""));
    let rows = rows.filter_map(|(_, row)| row.strip_suffix("),")?.split_once("\", Code::"));
    rows.map(|(reason, code)| (reason.to_owned(), screaming(code)))
        .collect()
}

/// `ResourceExhausted` as RESOURCE_EXHAUSTED.
fn screaming(name: &str) -> String {
    let mut screaming = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !screaming.is_empty() {
            screaming.push('_');
        }
        screaming.extend(letter.to_uppercase());
    }
    screaming
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
