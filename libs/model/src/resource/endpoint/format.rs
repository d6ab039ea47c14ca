//! What an endpoint's requests carry as their body.

/// The form of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadFormat {
    /// The event's bytes as they stand in the source topic.
    #[default]
    Raw,
    /// Standard Webhooks: a JSON object of `type`, `timestamp` and `data`.
    Standard,
    /// CloudEvents over HTTP: attributes as `ce-` headers, data as the body.
    CloudEventsBinary,
    /// CloudEvents over HTTP: one JSON object.
    CloudEventsStructured,
}

/// The words in manifests.
pub(super) const FORMATS: [(&str, PayloadFormat); 4] = [
    ("raw", PayloadFormat::Raw),
    ("standard", PayloadFormat::Standard),
    ("cloudevents-binary", PayloadFormat::CloudEventsBinary),
    (
        "cloudevents-structured",
        PayloadFormat::CloudEventsStructured,
    ),
];
