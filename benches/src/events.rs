//! The events of all scenarios: JSON objects of a given size.

use crate::sink::SENT_AT;

/// A payload of exactly `size` bytes, or the least there can be. `sent_at`
/// stands where the sink looks for it; 0 in scenarios that don't time.
pub(crate) fn payload(sent_at: u64, size: usize) -> Vec<u8> {
    let mut text = format!("{SENT_AT}{sent_at},\"orderId\":\"o-4711\",\"total\":199,\"note\":\"");
    let end = "\"}";
    let fill = size.saturating_sub(text.len() + end.len());
    text.extend(std::iter::repeat_n('x', fill));
    text.push_str(end);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_the_size_asked_for() {
        for size in [100, 1024] {
            let payload = payload(7, size);
            assert_eq!(payload.len(), size);
            let read: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!(read["sentAt"], 7);
        }
    }
}
