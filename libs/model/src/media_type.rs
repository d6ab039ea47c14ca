//! What a content type says of the data: one rule for who reads an event and
//! for who delivers it, so that data which filters see as JSON is sent as JSON.

use std::borrow::Cow;

/// JSON as it is written where nothing else is said.
pub const JSON: &str = "application/json";
/// A CloudEvent with its attributes and data in one JSON object.
pub const CLOUDEVENT: &str = "application/cloudevents+json";

/// The media type without parameters, in lower case.
#[must_use]
pub fn essence(content_type: &str) -> Cow<'_, str> {
    let end = content_type.find(';').unwrap_or(content_type.len());
    let text = content_type[..end].trim();
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// Whether data of this content type is JSON, by RFC 6839's suffix too.
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == JSON || essence == "text/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn essences_and_json() {
        for (content_type, expected, json) in [
            ("application/json", JSON, true),
            (" Application/JSON ; charset=utf-8", JSON, true),
            ("text/json", "text/json", true),
            (
                "application/vnd.acme+JSON",
                "application/vnd.acme+json",
                true,
            ),
            ("Application/CloudEvents+json;x=y;z", CLOUDEVENT, true),
            ("application/jsonl", "application/jsonl", false),
            ("text/plain; a=application/json", "text/plain", false),
            (
                "application/octet-stream",
                "application/octet-stream",
                false,
            ),
            (";application/json", "", false),
            ("", "", false),
        ] {
            assert_eq!(essence(content_type), expected, "{content_type}");
            assert_eq!(is_json(content_type), json, "{content_type}");
        }
    }
}
