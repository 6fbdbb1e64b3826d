//! The rules of the texts in an event: strings, URIs and the required attributes.

use bytestring::ByteString;
use fluent_uri::UriRef;

use super::SPEC_VERSION;

/// A rule that a value breaks, in words.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// `id` and `type`: a string that is not empty.
pub(crate) fn required(text: &str) -> Checked {
    if text.is_empty() {
        return Err("is missing; it must be a string that is not empty".into());
    }
    string(text)
}

pub(crate) fn source(text: &str) -> Checked {
    if text.is_empty() {
        return Err("is missing; it must be a URI-reference that is not empty, such as /orders".into());
    }
    uri_reference(text)
}

pub(crate) fn spec_version(text: &str) -> Checked {
    match text {
        SPEC_VERSION => Ok(()),
        "" => Err("is missing; it must be \"1.0\"".into()),
        other => Err(format!("must be \"1.0\", not {:?}", shortened(other))),
    }
}

/// A string (section "Type System"): no control characters and no noncharacters.
pub(crate) fn string(text: &str) -> Checked {
    if is_plain(text.as_bytes()) {
        return Ok(());
    }
    match text.chars().find(|&c| is_forbidden(c)) {
        None => Ok(()),
        Some(c) => Err(format!(
            "contains U+{:04X}; control characters and noncharacters are not allowed in strings",
            u32::from(c)
        )),
    }
}

/// RFC 3986, section 4.1.
pub(crate) fn uri_reference(text: &str) -> Checked {
    if text.bytes().all(is_path_byte) || UriRef::parse(text).is_ok() {
        return Ok(());
    }
    Err(
        "must be a URI-reference (RFC 3986), such as /orders or https://shop.example/orders; other characters are \
         percent-encoded"
            .into(),
    )
}

/// A URI with a scheme. A fragment is let through, though RFC 3986, section 4.3, has none.
pub(crate) fn uri(text: &str) -> Checked {
    match UriRef::parse(text) {
        Ok(uri) if uri.has_scheme() => Ok(()),
        _ => Err("must be an absolute URI (RFC 3986), such as https://shop.example/orders".into()),
    }
}

/// At most the first 64 characters, for a message.
pub(crate) fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

/// The first 64 characters of bytes that should be text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(bytes)).escape_debug().to_string()
}

/// Text that shares the bytes, if they are UTF-8.
pub(crate) fn from_bytes(bytes: &bytes::Bytes) -> Option<ByteString> {
    ByteString::try_from(bytes.clone()).ok()
}

fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn is_forbidden(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// Unreserved characters and `/`: in whatever order, they are a URI-reference.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_refuse_control_characters_and_noncharacters() {
        for good in [
            "", "a b", "\u{a0}", "äöü", "日本", "😀", "\u{FDCF}", "\u{FDF0}", "\u{FFFD}",
        ] {
            assert_eq!(string(good), Ok(()), "{good:?}");
        }
        for bad in [
            "\0",
            "a\nb",
            "\u{7f}",
            "\u{80}",
            "\u{9f}",
            "\u{FDD0}",
            "\u{FDEF}",
            "\u{FFFE}",
            "\u{1FFFF}",
            "\u{10FFFF}",
        ] {
            assert!(string(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sources_are_uri_references() {
        for good in [
            "/",
            "orders",
            "https://github.com/lightapi/light-portal",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "mailto:a@b.example",
            "//host/a",
            "?q",
            "#f",
            "topic:a.b",
            "1-555-123-4567",
            "/a%20b",
        ] {
            assert_eq!(source(good), Ok(()), "{good}");
        }
        for bad in ["", "ht tp://%%zz", "a b", "/ä", "/%zz", "1a:b", "a\nb", "<a>"] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn uris_have_a_scheme() {
        for good in ["https://a.example/b?c#d", "urn:a:b", "a:"] {
            assert_eq!(uri(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "type.googleapis.com/a.B", "a b:c"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_parser(text in "[A-Za-z0-9/._~-]{1,30}") {
            prop_assert!(UriRef::parse(text.as_str()).is_ok());
        }

        #[test]
        fn any_text_gets_a_verdict(text in ".*") {
            let _ = (string(&text), uri_reference(&text), uri(&text), shown(text.as_bytes()));
        }
    }
}
