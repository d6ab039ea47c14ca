//! How requests are signed, and with which secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::headers::header_name;
use crate::fields::{Fields, Findings};
use crate::secret::SecretRef;
use crate::time::UnixMillis;

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningScheme {
    /// Not at all.
    #[default]
    None,
    /// Standard Webhooks 1.0: `webhook-signature`, `v1` or `v1a` by the key.
    Standard,
    /// Hex HMAC-SHA256 of the body, as GitHub sends it.
    Github,
    /// `t=..,v1=..`, hex HMAC-SHA256 of time and body, as Stripe sends it.
    Stripe,
    /// Base64 HMAC-SHA256 of the body, as Shopify sends it.
    Shopify,
    /// Base64 HMAC-SHA1 of the URL and the form, or of the URL with the
    /// body's hash in it, as Twilio sends it.
    Twilio,
}

const SCHEMES: [(&str, SigningScheme); 6] = [
    ("standard", SigningScheme::Standard),
    ("github", SigningScheme::Github),
    ("stripe", SigningScheme::Stripe),
    ("shopify", SigningScheme::Shopify),
    ("twilio", SigningScheme::Twilio),
    ("none", SigningScheme::None),
];

impl SigningScheme {
    /// All schemes.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Standard,
        Self::Github,
        Self::Stripe,
        Self::Shopify,
        Self::Twilio,
    ];

    /// The header that carries the signature unless the endpoint names one;
    /// `None` where nothing is signed.
    #[must_use]
    pub fn default_header(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Standard => Some("webhook-signature"),
            Self::Github => Some("x-hub-signature-256"),
            Self::Stripe => Some("stripe-signature"),
            Self::Shopify => Some("x-shopify-hmac-sha256"),
            Self::Twilio => Some("x-twilio-signature"),
        }
    }

    /// Whether all valid secrets sign at once. Where not, the first one that
    /// is valid does, and a rotation has no overlap.
    #[must_use]
    pub fn signs_with_all(self) -> bool {
        matches!(self, Self::Standard | Self::Stripe)
    }
}

/// The `signing` object of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signing {
    /// How.
    pub scheme: SigningScheme,
    /// The header, lower case, where it is not the scheme's own.
    pub header: Option<String>,
    /// With what, the newest first.
    pub secrets: Vec<SigningSecret>,
}

/// One secret that signs, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSecret {
    /// What people call it; never sent.
    pub id: Option<String>,
    /// When it was made; tells people which is which.
    pub created_at: Option<UnixMillis>,
    /// From when on it signs; `None` is at once.
    pub not_before: Option<UnixMillis>,
    /// From when on it signs no more; `None` is never.
    pub expires_at: Option<UnixMillis>,
    /// Where it is.
    pub secret: SecretRef,
}

impl SigningSecret {
    /// A nameless one that signs at once, and until it is taken away.
    #[must_use]
    pub fn lasting(secret: SecretRef) -> Self {
        Self {
            id: None,
            created_at: None,
            not_before: None,
            expires_at: None,
            secret,
        }
    }

    /// When it signs.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity {
            from: self.not_before,
            until: self.expires_at,
        }
    }
}

/// When a secret signs: judged when the attempt is made, not when the delivery
/// was enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
}

impl Validity {
    /// Whether it signs at `now`.
    #[must_use]
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.from.is_none_or(|start| now >= start) && self.until.is_none_or(|end| now < end)
    }
}

/// Ten signatures are about 700 bytes of header; receivers try each.
const SECRETS_MAX: usize = 10;
/// Standard Webhooks 1.0: 24 to 64 bytes.
const STANDARD_SECRET: std::ops::RangeInclusive<usize> = 24..=64;
/// A shared secret below this can be guessed from one request.
const SHARED_SECRET_MIN: usize = 16;
/// HMAC hashes longer keys to its block size anyway.
const SHARED_SECRET_MAX: usize = 256;

impl Signing {
    /// Reads the `signing` field of an endpoint's spec. Without one nothing is
    /// signed: the writer of the configuration puts the default scheme into
    /// what is stored, so that no release reads the same record otherwise.
    pub(super) fn read(fields: &mut Fields, findings: &mut Findings) -> Self {
        let Some(mut object) = fields.object("signing", findings) else {
            return Self::default();
        };
        let scheme = if object.has("scheme") {
            object.word("scheme", &SCHEMES, findings)
        } else {
            let _absent = object.take("scheme");
            Some(SigningScheme::Standard)
        };
        let header = read_header(scheme, &mut object, findings);
        let path = object.path_of("secrets");
        let listed = object.list("secrets", findings).unwrap_or_default();
        object.finish(findings);
        if listed.len() > SECRETS_MAX {
            let reason = format!("has {} secrets; at most {SECRETS_MAX}", listed.len());
            findings.problem(&*path, reason);
        }
        let known = scheme.unwrap_or_default();
        let count = listed.len();
        let secrets: Vec<SigningSecret> = (0..)
            .zip(listed)
            .filter_map(|(i, value)| {
                let fields = Fields::of(value, format!("{path}[{i}]"), findings);
                read_secret(known, fields, findings)
            })
            .collect();
        let problem = match known {
            SigningScheme::None if count > 0 && scheme.is_some() => {
                Some("is for schemes that sign; `none` does not")
            }
            SigningScheme::None => None,
            // The writer makes one.
            SigningScheme::Standard if count == 0 => None,
            _ if count == 0 => Some("is required: name at least one secret"),
            _ if secrets.len() == count && secrets.iter().all(|s| s.expires_at.is_some()) => {
                Some("one of them must not expire, or deliveries end up without a signature")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            findings.problem(path, problem);
        }
        Self {
            scheme: known,
            header,
            secrets,
        }
    }
}

fn read_header(
    scheme: Option<SigningScheme>,
    object: &mut Fields,
    findings: &mut Findings,
) -> Option<String> {
    let path = object.path_of("header");
    let given = object.text("header", findings)?;
    let problem = match scheme {
        Some(SigningScheme::Standard) => "cannot be chosen for `standard`, which names it",
        Some(SigningScheme::None) => "is for schemes that sign; `none` does not",
        _ => match header_name(&given) {
            Ok(name) => return Some(name),
            Err(problem) => problem,
        },
    };
    findings.problem(path, problem);
    None
}

fn read_secret(
    scheme: SigningScheme,
    mut fields: Fields,
    findings: &mut Findings,
) -> Option<SigningSecret> {
    let path = fields.path_of("value");
    let id = fields.text("id", findings);
    let created_at = read_time("createdAt", &mut fields, findings);
    let not_before = read_time("notBefore", &mut fields, findings);
    let expires_at = read_time("expiresAt", &mut fields, findings);
    if let (Some(start), Some(end)) = (not_before, expires_at)
        && start >= end
    {
        let reason = "is not before expiresAt, so the secret never signs";
        findings.problem(fields.path_of("notBefore"), reason);
    }
    let secret = SecretRef::read(&mut fields, findings);
    fields.finish(findings);
    let secret = secret?;
    if let Some(clear) = secret.inline()
        && let Err(problem) = check_form(scheme, clear.expose())
    {
        findings.problem(path, problem);
    }
    Some(SigningSecret {
        id,
        created_at,
        not_before,
        expires_at,
        secret,
    })
}

fn read_time(
    field: &'static str,
    fields: &mut Fields,
    findings: &mut Findings,
) -> Option<UnixMillis> {
    let text = fields.text(field, findings)?;
    let time = UnixMillis::from_rfc3339(&text);
    if time.is_none() {
        let reason = "expected an RFC 3339 time such as 2026-11-25T12:00:00Z";
        findings.problem(fields.path_of(field), reason);
    }
    time
}

/// The key in a Standard Webhooks secret.
#[derive(Debug)]
pub enum StandardKey {
    /// `whsec_`: shared, 24 to 64 bytes.
    Symmetric(Zeroizing<Vec<u8>>),
    /// `whsk_`: the seed of an ed25519 key pair, and its public key where the
    /// secret holds it as well.
    Asymmetric(Zeroizing<Vec<u8>>),
}

impl StandardKey {
    /// Reads `whsec_...` or `whsk_...`.
    ///
    /// # Errors
    /// What is wrong with it, without a part of it.
    pub fn parse(secret: &[u8]) -> Result<Self, &'static str> {
        let decode = |text: &[u8]| {
            let bytes = STANDARD.decode(text).map(Zeroizing::new);
            bytes.map_err(|_shows_a_byte| "is not base64 after its prefix")
        };
        let secret = secret.trim_ascii();
        if let Some(rest) = secret.strip_prefix(b"whsec_") {
            let key = decode(rest)?;
            return if STANDARD_SECRET.contains(&key.len()) {
                Ok(Self::Symmetric(key))
            } else {
                Err("must hold 24 to 64 bytes after `whsec_`, in base64")
            };
        }
        if let Some(rest) = secret.strip_prefix(b"whsk_") {
            let key = decode(rest)?;
            return if matches!(key.len(), 32 | 64) {
                Ok(Self::Asymmetric(key))
            } else {
                Err("must hold 32 bytes (a seed) or 64 (seed and public key) after `whsk_`")
            };
        }
        Err("must begin with `whsec_` (HMAC-SHA256) or `whsk_` (ed25519)")
    }
}

/// What can be said of a secret's form before it is used.
fn check_form(scheme: SigningScheme, secret: &[u8]) -> Result<(), &'static str> {
    match scheme {
        SigningScheme::None => Ok(()),
        SigningScheme::Standard => StandardKey::parse(secret).map(|_key| ()),
        _ if secret.len() < SHARED_SECRET_MIN => Err("is shorter than 16 bytes: it can be guessed"),
        _ if secret.len() > SHARED_SECRET_MAX => Err("is longer than 256 bytes"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
