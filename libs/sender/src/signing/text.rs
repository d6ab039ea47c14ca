//! Numbers and bytes as text, without an allocation where that is easy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decimal digits of a number.
#[derive(Debug)]
pub(super) struct Decimal {
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    pub(super) fn of(mut number: u64) -> Self {
        const DIGITS: &[u8; 10] = b"0123456789";
        let mut decimal = Self {
            digits: [b'0'; 20],
            from: 19,
        };
        loop {
            decimal.digits[decimal.from] = DIGITS[usize::try_from(number % 10).unwrap_or(0)];
            number /= 10;
            if number == 0 {
                return decimal;
            }
            decimal.from -= 1;
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }

    pub(super) fn push_to(&self, text: &mut String) {
        text.extend(self.as_bytes().iter().copied().map(char::from));
    }
}

/// Appends `bytes` in lower-case hex.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Appends `bytes` in base64 with padding.
pub(super) fn push_base64(text: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 1_614_265_330, u64::MAX] {
            let text = number.to_string();
            assert_eq!(Decimal::of(number).as_bytes(), text.as_bytes());
        }
    }
}
