//! What people want to know of a certificate: whose it is and how long.
//!
//! For warnings and for showing, never for trust: what is trusted, rustls
//! decides. So this reads the few fields it needs and calls everything that
//! it does not know unreadable.

use std::fmt;

use hooklane_model::pem::Pem;
use hooklane_model::time::UnixMillis;

/// Whose a certificate is and how long it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject as `CN=..., O=...`; empty where the names stand elsewhere.
    pub subject: String,
    /// The first moment it is valid at.
    pub not_before: UnixMillis,
    /// The last one.
    pub not_after: UnixMillis,
}

const INTEGER: u8 = 0x02;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Attribute types below 2.5.4, as RFC 4514 abbreviates them.
const NAMES: [(u8, &str); 6] = [
    (3, "CN"),
    (6, "C"),
    (7, "L"),
    (8, "ST"),
    (10, "O"),
    (11, "OU"),
];

/// RFC 5280: a certificate that does not end.
const NO_END: &str = "9999-12-31T23:59:59Z";
const NO_END_MILLIS: UnixMillis = UnixMillis(253_402_300_799_000);

impl Certificate {
    /// Reads DER; `None` if that is not what it is.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Reader(der);
        let mut certificate = Reader(outer.take(SEQUENCE)?);
        let mut fields = Reader(certificate.take(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?;
        let (_algorithm, _issuer) = (fields.take(SEQUENCE)?, fields.take(SEQUENCE)?);
        let mut validity = Reader(fields.take(SEQUENCE)?);
        Some(Self {
            not_before: time(&mut validity)?,
            not_after: time(&mut validity)?,
            subject: name(Reader(fields.take(SEQUENCE)?))?,
        })
    }

    /// All certificates of a PEM text, in order; `None` for those that cannot
    /// be read.
    #[must_use]
    pub fn read_all(pem: &[u8]) -> Vec<Option<Self>> {
        let pem = Pem::parse(pem).unwrap_or_default();
        let certificates = pem.certificates.iter();
        certificates.map(|der| Self::read(der)).collect()
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_str() {
            "" => f.write_str("(no subject)"),
            subject => f.write_str(subject),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|it| it.1)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            // A certificate has less than 16 MiB.
            long @ 0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
                let length = digits.iter().fold(0, |n, d| n << 8 | usize::from(*d));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time(from: &mut Reader<'_>) -> Option<UnixMillis> {
    let (tag, digits) = from.next()?;
    let digits = std::str::from_utf8(digits).ok()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2);
    let (month, day) = (two(0)?, two(2)?);
    let (hour, minute, second) = (two(4)?, two(6)?, two(8)?);
    if rest.get(10..) != Some("Z") {
        return None;
    }
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    if text == NO_END {
        return Some(NO_END_MILLIS);
    }
    UnixMillis::from_rfc3339(&text)
}

fn name(mut from: Reader<'_>) -> Option<String> {
    let mut text = String::new();
    while !from.0.is_empty() {
        let mut together = Reader(from.take(SET)?);
        while !together.0.is_empty() {
            let mut attribute = Reader(together.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_ID)?;
            let (tag, value) = attribute.next()?;
            let [0x55, 0x04, kind] = kind else { continue };
            let known = NAMES.iter().find(|(number, _)| number == kind);
            let (Some((_, label)), UTF8_STRING | PRINTABLE_STRING | IA5_STRING) = (known, tag)
            else {
                continue;
            };
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(label);
            text.push('=');
            // A tenant's text on an operator's terminal.
            let value = String::from_utf8_lossy(value);
            let shown = value.chars().map(|c| if c.is_control() { '?' } else { c });
            text.extend(shown);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn der(name: &[(DnType, &str)], years: (i32, i32)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.not_before = date_time_ymd(years.0, 2, 29);
        params.not_after = date_time_ymd(years.1, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn subject_and_validity_in_both_forms_of_time() {
        let name = [
            (DnType::OrganizationName, "Acme, Inc."),
            (DnType::CommonName, "hook\u{1b}[31mlane"),
        ];
        let read = Certificate::read(&der(&name, (2024, 2060))).unwrap();
        assert_eq!(read.to_string(), "O=Acme, Inc., CN=hook?[31mlane");
        assert_eq!(read.not_before.to_rfc3339(), "2024-02-29T00:00:00.000Z");
        assert_eq!(read.not_after.to_rfc3339(), "2060-12-31T00:00:00.000Z");
        let read = Certificate::read(&der(&[], (1996, 2049))).unwrap();
        assert_eq!(read.to_string(), "(no subject)");
        assert_eq!(read.not_before.to_rfc3339(), "1996-02-29T00:00:00.000Z");
        assert_eq!(read.not_after.to_rfc3339(), "2049-12-31T00:00:00.000Z");
        let no_end = time(&mut Reader(b"\x18\x0f99991231235959Z"));
        assert_eq!(no_end, Some(NO_END_MILLIS));
    }

    #[test]
    fn what_is_cut_or_changed_is_unreadable_or_another_and_ends_nothing() {
        let whole = der(&[(DnType::CommonName, "a")], (2024, 2060));
        for end in 0..whole.len() {
            assert_eq!(Certificate::read(&whole[..end]), None, "{end}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut changed = whole.clone();
            for _ in 0..=random.usize(..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            // It returns, whatever it says.
            let _read = Certificate::read(&changed);
        }
    }
}
