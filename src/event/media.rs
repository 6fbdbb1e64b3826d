//! Media types: their syntax (RFC 2045, section 5.1) and what they say about data.

/// What a content type says about the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `*/json` or `*/*+json`.
    Json,
    /// Other text: `text/*`, `application/xml`, `*/*+xml`.
    Text,
    /// `application/protobuf`: bytes of one message, if a `dataschema` names its type.
    Protobuf,
    Other,
}

/// What a content type means, whatever its case and its parameters.
pub(crate) fn media(content_type: &str) -> Media {
    let (kind, subtype) = essence(content_type).split_once('/').unwrap_or_default();
    if is(subtype, "json") || ends_with(subtype, "+json") {
        Media::Json
    } else if is(kind, "text") || ends_with(subtype, "+xml") || (is(kind, "application") && is(subtype, "xml")) {
        Media::Text
    } else if is(kind, "application") && is(subtype, "protobuf") {
        Media::Protobuf
    } else {
        Media::Other
    }
}

/// `type/subtype` without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether this is a media type: `type/subtype`, then parameters `; name=value` with tokens or quoted strings as values.
pub(crate) fn is_media_type(text: &str) -> bool {
    let after_type = after_token(text.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
    let mut rest = match after_type.and_then(after_token) {
        None => return false,
        Some(rest) => rest,
    };
    while !rest.is_empty() {
        match after_parameter(rest) {
            None => return false,
            Some(after) => rest = after,
        }
    }
    true
}

fn after_parameter(text: &[u8]) -> Option<&[u8]> {
    let name = skip_blanks(skip_blanks(text).strip_prefix(b";")?);
    let value = after_token(name)?.strip_prefix(b"=")?;
    match value.strip_prefix(b"\"") {
        None => after_token(value),
        Some(quoted) => after_quoted(quoted),
    }
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| is_token(**byte)).count();
    (len > 0).then(|| &text[len..])
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return text.get(at + 1..),
            b'\\' => at += 2,
            0x20..=0x7e | b'\t' => at += 1,
            _ => return None,
        }
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let len = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[len..]
}

fn is_token(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(
            byte,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'='
        )
}

fn is(text: &str, lower: &str) -> bool {
    text.eq_ignore_ascii_case(lower)
}

fn ends_with(text: &str, lower: &str) -> bool {
    let (text, lower) = (text.as_bytes(), lower.as_bytes());
    text.len() >= lower.len() && text[text.len() - lower.len()..].eq_ignore_ascii_case(lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn media_types_have_their_syntax() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "text/plain;a=b;c=\"d;\\\" e\" ; f=g",
            "application/vnd.a.b+json",
            "application/protobuf; messageType=a.B",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "json",
            "/json",
            "application/",
            "not a mime",
            "a/b;",
            "a/b; c",
            "a/b; c=",
            "a/b;c=\"d",
            "a/b;c=\"d\\",
            "a/b\n",
            "a/b;c=\"ä\"",
            "a/b/c",
            "a/b ",
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }

    #[test]
    fn meaning_ignores_case_and_parameters() {
        for (content_type, expected) in [
            ("application/json", Media::Json),
            ("Application/JSON", Media::Json),
            ("application/foo+json; charset=utf-8", Media::Json),
            ("x/json", Media::Json),
            ("application/jsonx", Media::Other),
            ("text/plain;charset=utf-8", Media::Text),
            ("TEXT/csv", Media::Text),
            ("application/xml", Media::Text),
            ("application/soap+XML", Media::Text),
            ("application/protobuf; messageType=a.B", Media::Protobuf),
            ("application/yaml", Media::Other),
            ("json", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(media(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(text in ".*") {
            let _ = (is_media_type(&text), media(&text));
        }
    }
}
