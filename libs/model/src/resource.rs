//! What people declare: sources, endpoints, subscriptions.
//!
//! A manifest (`apiVersion: hooklane/v1`, kind, metadata, spec) is read field
//! by field, so that all problems of a file come at once with their paths.
//! What a person writes is `spec`; what Hooklane adds (uid, generation, times,
//! resolved offsets) is metadata it owns.

mod endpoint;
mod manifest;
mod metadata;
mod source;
mod subscription;

pub use endpoint::{
    Auth, BreakerPolicy, ClientAuthentication, ClientCertificate, CustomHeaders, Endpoint,
    EndpointSpec, Fingerprint, OAuth2, OnExhausted, Ordering, PayloadFormat, RateLimit,
    RetryPolicy, Signing, SigningScheme, SigningSecret, StandardKey, Tls, TlsVersion, Validity,
    Verification, check_credential,
};
pub use manifest::{
    Document, Kind, Manifest, ParseError, Strictness, parse_value, parse_yaml, spec_path,
};
pub use metadata::{Metadata, ResourceKey, SHARED_TENANT};
pub use source::{Format, KeyRule, Source, SourceSpec, StartFrom, TenantRule, ValueRule};
pub use subscription::{Binding, Subscription, SubscriptionSpec};
