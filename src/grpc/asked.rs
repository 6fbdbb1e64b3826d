//! What calls that change something say beside what they want: who asks, why, and under which id the call can be repeated.

use super::convert;
use crate::error::Result;

const LONGEST_REQUEST_ID: usize = 128;
const LONGEST_REASON: usize = 1_000;

/// The id, or a new one.
pub(super) fn request_id(id: String) -> Result<String> {
    check_length(&id, LONGEST_REQUEST_ID, "request_id")?;
    Ok(match id.is_empty() {
        true => uuid::Uuid::now_v7().simple().to_string(),
        false => id,
    })
}

/// May be empty.
pub(super) fn reason(reason: String) -> Result<String> {
    check_length(&reason, LONGEST_REASON, "reason")?;
    Ok(reason)
}

fn check_length(text: &str, most: usize, field: &str) -> Result<()> {
    match text.chars().count() > most {
        true => Err(convert::invalid(field, format!("has at most {most} characters"))),
        false => Ok(()),
    }
}
