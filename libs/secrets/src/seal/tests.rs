use proptest::prelude::*;

use super::*;
use crate::{FormatError, SystemEntropy};

/// k1 is the bytes 0 to 31, k2 32 to 63.
const KEYS: &str = "k1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
                    k2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";
const VALUE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PLACE: Place<'static> = Place {
    tenant: "acme",
    endpoint: 0xe,
};

/// `VALUE` at `PLACE` under k1, all random bytes being 100, 101, 102, ...
/// Computed by other means: HChaCha20 written out in Python, checked against
/// the vector of draft-irtf-cfrg-xchacha, and ChaCha20-Poly1305 of OpenSSL.
const GOLDEN: &str = "hks1.k1.6465666768696a6b6c6d6e6f70717273.rK2ur7CxsrO0tba3uLm6u7y9vr_AwcLDD\
                      BIBg7CUeRmCf1-VEDtYPrVo89AOcPOKqPYfFxZPmeYu05OUVZnjrpCWDKSKnKa_.lJWWl5iZmp\
                      ucnZ6foKGio6SlpqeoqaqrRbKdtNpmgtnGBU8EKbr_SYnfqqrPVWrIjSLd-JDzscxIeh4cacBQ\
                      RP7fl2J0j-q6p9LnwmDG";

/// Bytes that go up by one.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

fn ring(writing: &str) -> Keyring {
    Keyring::parse(&format!("{KEYS}writing: {writing}")).unwrap()
}

fn secret() -> Secret {
    Secret::from(VALUE.to_owned())
}

#[test]
fn the_form_is_the_golden_one() {
    let sealed = seal(&ring("k1"), &PLACE, &secret(), &mut Counting(100)).unwrap();
    assert_eq!(sealed.to_string(), GOLDEN);
    let read = Sealed::parse(GOLDEN).unwrap();
    assert_eq!(read, sealed);
    // Which key writes is of no matter to reading.
    let opened = open(&ring("k2"), &PLACE, &read).unwrap();
    assert_eq!(opened.expose_text(), Some(VALUE));
}

#[test]
fn every_bit_of_the_text_matters() {
    let ring = ring("k1");
    for at in 0..GOLDEN.len() {
        for bit in 0..7 {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8(bytes).unwrap();
            let opened = Sealed::parse(&text)
                .ok()
                .and_then(|sealed| open(&ring, &PLACE, &sealed).ok());
            assert!(opened.is_none(), "bit {bit} of character {at}: {text}");
        }
    }
}

#[test]
fn every_prefix_and_every_addition_is_refused() {
    for end in 0..GOLDEN.len() {
        let part = Sealed::parse(&GOLDEN[..end]);
        let opened = part
            .ok()
            .and_then(|sealed| open(&ring("k1"), &PLACE, &sealed).ok());
        assert!(opened.is_none(), "{end} characters");
    }
    for more in [".", "A", "AAAA", "=", " ", "\n"] {
        let text = format!("{GOLDEN}{more}");
        let opened = Sealed::parse(&text)
            .ok()
            .and_then(|sealed| open(&ring("k1"), &PLACE, &sealed).ok());
        assert!(opened.is_none(), "{more:?}");
    }
}

#[test]
fn it_opens_at_its_place_alone() {
    let sealed = Sealed::parse(GOLDEN).unwrap();
    let refused = OpenError::Refused(KeyId::parse("k1").unwrap());
    let (tenant, endpoint, version) = (PLACE.tenant, PLACE.endpoint, sealed.version);
    for (tenant, endpoint, version) in [
        ("", endpoint, version),
        ("acm", endpoint, version),
        ("acmf", endpoint, version),
        ("acme\0", endpoint, version),
        (tenant, endpoint + 1, version),
        (tenant, endpoint << 8, version),
        (tenant, endpoint, version + 1),
        (tenant, version, endpoint),
    ] {
        let place = Place { tenant, endpoint };
        let mut moved = sealed.clone();
        moved.version = version;
        let result = open(&ring("k1"), &place, &moved);
        assert_eq!(result.map(|_| ()), Err(refused.clone()), "{place:?}");
    }
}

#[test]
fn what_is_bound_cannot_be_cut_otherwise() {
    let of = |parts: &[&[u8]], tenant| bound(parts, &Place { tenant, ..PLACE }, 5);
    // Joined without lengths these are the same bytes.
    assert_ne!(of(&[b"a", b"bc"], "d"), of(&[b"ab", b"c"], "d"));
    assert_ne!(of(&[b"a"], "bc"), of(&[b"ab"], "c"));
    assert_ne!(of(&[b"a", b""], "b"), of(&[b"a"], "b"));
}

#[test]
fn a_missing_key_is_named_and_its_return_cures_it() {
    let sealed = Sealed::parse(GOLDEN).unwrap();
    let other = "writing: k2\nk2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let other = Keyring::parse(other).unwrap();
    let error = open(&other, &PLACE, &sealed).unwrap_err();
    assert_eq!(error.to_string(), "key k1 is not in the key file");
    assert!(open(&ring("k2"), &PLACE, &sealed).is_ok());
    // Another key under the same id is not the key.
    let replaced = "writing: k1\nk1: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let replaced = Keyring::parse(replaced).unwrap();
    let error = open(&replaced, &PLACE, &sealed).unwrap_err();
    assert!(matches!(error, OpenError::Refused(_)), "{error:?}");
}

#[test]
fn a_rewrap_changes_the_key_and_keeps_the_body() {
    let sealed = Sealed::parse(GOLDEN).unwrap();
    let moved = rewrap(&ring("k2"), &PLACE, &sealed, &mut SystemEntropy);
    let moved = moved.unwrap().unwrap();
    assert_eq!(moved.key_id().as_str(), "k2");
    assert_eq!(moved.body, sealed.body);
    let k2 = "writing: k2\nk2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let opened = open(&Keyring::parse(k2).unwrap(), &PLACE, &moved).unwrap();
    assert!(opened.same_as(&secret()));
    // Claiming another key for the same bytes opens nothing.
    let claimed = GOLDEN.replace(".k1.", ".k2.");
    assert!(open(&ring("k1"), &PLACE, &Sealed::parse(&claimed).unwrap()).is_err());
}

#[test]
fn a_damaged_secret_is_not_brought_along() {
    let mut sealed = Sealed::parse(GOLDEN).unwrap();
    *sealed.body.last_mut().unwrap() ^= 1;
    assert!(rewrap(&ring("k2"), &PLACE, &sealed, &mut SystemEntropy).is_err());
}

#[test]
fn the_same_value_is_never_the_same_text() {
    let once = || seal(&ring("k1"), &PLACE, &secret(), &mut SystemEntropy).unwrap();
    let (one, two) = (once(), once());
    assert_ne!(one.wrapped, two.wrapped);
    assert_ne!(one.body, two.body);
}

#[test]
fn versions_are_told_apart() {
    for (text, expected) in [
        ("", FormatError::Prefix),
        ("whsec_abc", FormatError::Prefix),
        ("hks0.k1.a.b", FormatError::Prefix),
        ("hks2.k1.a.b", FormatError::Newer),
        ("hks1", FormatError::Part("key id")),
        ("hks1.K.a.b", FormatError::Part("key id")),
        ("hks1.k1", FormatError::Part("version")),
        ("hks1.k1.+a", FormatError::Part("version")),
        (
            "hks1.k1.00000000000000000000000000000001",
            FormatError::Part("wrapped key"),
        ),
        (
            "hks1.k1.00000000000000000000000000000001.AAAA.AAAA",
            FormatError::Part("wrapped key"),
        ),
    ] {
        assert_eq!(Sealed::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn a_value_beyond_the_bound_is_refused_and_one_at_it_is_not() {
    let of = |bytes| {
        seal(
            &ring("k1"),
            &PLACE,
            &Secret::new(vec![7; bytes]),
            &mut Counting(0),
        )
    };
    assert!(matches!(of(VALUE_BYTES_MAX + 1), Err(SealError::TooLong)));
    let text = of(VALUE_BYTES_MAX).unwrap().to_string();
    assert!(open(&ring("k1"), &PLACE, &Sealed::parse(&text).unwrap()).is_ok());
}

proptest! {
    #[test]
    fn what_is_sealed_opens(value in proptest::collection::vec(any::<u8>(), 0..300), tenant in ".{0,20}", endpoint: u128) {
        let place = Place { tenant: &tenant, endpoint };
        let value = Secret::new(value);
        let text = seal(&ring("k2"), &place, &value, &mut SystemEntropy).unwrap().to_string();
        let opened = open(&ring("k1"), &place, &Sealed::parse(&text).unwrap()).unwrap();
        prop_assert!(opened.same_as(&value));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(hks[0-9]{1,3}\\.)?.{0,200}") {
        if let Ok(sealed) = Sealed::parse(&text) {
            prop_assert_eq!(sealed.to_string(), text);
        }
    }
}
