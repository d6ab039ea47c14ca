//! Finding a value in whatever form it was written down.

use std::fmt::Write;

/// A value that must not be seen.
#[derive(Debug)]
pub struct PlantedSecret {
    /// What a test calls it.
    pub name: &'static str,
    /// As a person gives it.
    pub given: String,
    /// What is secret: what is given, and the key in it.
    secret: Vec<Vec<u8>>,
}

impl PlantedSecret {
    /// A secret that is used as it is written.
    #[must_use]
    pub fn text(name: &'static str, text: &str) -> Self {
        Self {
            name,
            given: text.to_owned(),
            secret: vec![text.as_bytes().to_vec()],
        }
    }

    /// A secret of Standard Webhooks with this key.
    #[must_use]
    pub fn whsec(name: &'static str, key: &str) -> Self {
        let encoded = base64(key.as_bytes());
        Self {
            name,
            given: format!("whsec_{encoded}"),
            // The prefix is everybody's.
            secret: vec![key.as_bytes().to_vec(), encoded.into_bytes()],
        }
    }

    /// A private key, given as PEM: its lines, and what they hold.
    #[must_use]
    pub fn private_key(name: &'static str, pem: &str, der: &[u8]) -> Self {
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        let lines = lines.map(|line| line.as_bytes().to_vec());
        Self {
            name,
            given: pem.to_owned(),
            secret: lines.chain([der.to_vec()]).collect(),
        }
    }

    /// The forms of this value that `text` holds.
    #[must_use]
    pub fn traces_in(&self, text: &str) -> Vec<String> {
        let forms = self.secret.iter().flat_map(|secret| forms(secret));
        forms
            .filter(|(_, form)| text.contains(form))
            .map(|(what, form)| format!("{what} {form}"))
            .collect()
    }
}

/// What `secret` may look like.
fn forms(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let hex: String = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all that is written");
        hex
    });
    let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("plain", String::from_utf8_lossy(bytes).into_owned()),
        ("escaped", bytes.escape_ascii().to_string()),
        ("hex", hex.clone()),
        ("hex", hex.to_uppercase()),
        ("debug", decimal.join(", ")),
        ("debug", decimal.join(",")),
        ("url", url_encoded(bytes, b"-._~")),
        ("url", url_encoded(bytes, b"-._~/:?&=+!*'()")),
        ("url", url_encoded(bytes, b"-._~").to_lowercase()),
    ];
    // In base64 a text looks different at each of three places; what its
    // neighbours have a part in is cut off.
    for before in 0..3 {
        let encoded = base64(&[&vec![0; before][..], bytes].concat());
        let encoded = encoded.trim_end_matches('=');
        let start = [0, 2, 3][before];
        let end = encoded.len() - usize::from(!(before + bytes.len()).is_multiple_of(3));
        let core = &encoded[start..end];
        forms.push(("base64", core.to_owned()));
        forms.push(("base64url", core.replace('+', "-").replace('/', "_")));
    }
    forms
}

fn url_encoded(bytes: &[u8], plain: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all that is written");
        }
        text
    })
}

/// `bytes` in base64, standard and padded.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            if place <= chunk.len() {
                let [.., sign] = ((all >> (18 - 6 * place)) & 63).to_be_bytes();
                text.push(char::from(SIGNS[usize::from(sign)]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the search finds what it is there to find.
    /// Method: the value planted in each form, between other bytes.
    #[test]
    fn a_planted_value_is_found_in_every_form() {
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        let canary = PlantedSecret::text("planted", "canary:a/b?c&d=e+f");
        let bytes = "canary:a/b?c&d=e+f";
        let mut planted = vec![
            bytes.to_owned(),
            "63616e6172793a612f623f6326643d652b66".to_owned(),
            "63616E6172793A612F623F6326643D652B66".to_owned(),
            "canary%3Aa%2Fb%3Fc%26d%3De%2Bf".to_owned(),
            format!("{:?}", bytes.as_bytes()),
        ];
        for before in ["", "x", "xy", "xyz"] {
            for after in ["", "z", "zy", "zyx"] {
                planted.push(base64(format!("{before}{bytes}{after}").as_bytes()));
            }
        }
        for text in planted {
            let found = canary.traces_in(&format!("before {text} after"));
            assert!(!found.is_empty(), "{text}");
        }
        assert!(canary.traces_in("canary:a/b?c&d=e+g").is_empty());
        let pem = "-----BEGIN PRIVATE KEY-----\nAAECAwQF\nBgcICQoL\n-----END PRIVATE KEY-----\n";
        let der: Vec<u8> = (0..12).collect();
        let key = PlantedSecret::private_key("key", pem, &der);
        for text in [
            "x BgcICQoL y",
            "000102030405060708090a0b",
            &format!("{der:?}"),
        ] {
            assert!(!key.traces_in(text).is_empty(), "{text}");
        }
        assert!(key.traces_in("-----BEGIN PRIVATE KEY-----").is_empty());
    }
}
