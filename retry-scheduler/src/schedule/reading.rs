//! What a delay topic's record says: deliveries, something newer, or poison.

use bytes::Bytes;
use hooklane_model::envelope::{DecodeError, Envelope};
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;

/// One delivery that waits, and the record it is written on as.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) endpoint: EndpointUid,
    pub(super) due: UnixMillis,
    pub(super) delayed_at: UnixMillis,
    /// The whole record, as it was read.
    pub(super) frame: Bytes,
}

/// What a record turned out to be.
#[derive(Debug)]
pub(super) enum Reading {
    /// Deliveries, in practice one.
    Deliveries(Vec<Item>),
    /// Written by a newer release: to wait with.
    Newer(DecodeError),
    /// Poison, and why.
    Unreadable(String),
}

/// Reads the value of a record.
pub(super) fn read(value: Option<&Bytes>) -> Reading {
    let Some(frame) = value else {
        return Reading::Unreadable("record without a value".to_owned());
    };
    match Envelope::decode(frame) {
        Ok((envelope, payload)) => Reading::Deliveries(items(&envelope, &payload, frame)),
        Err(error @ DecodeError::Newer { .. }) => Reading::Newer(error),
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// A delayed record has one target and is written on byte for byte. One with
/// more (no release writes it) is split, because each has its own due time
/// and may live in another lane.
fn items(envelope: &Envelope, payload: &Bytes, frame: &Bytes) -> Vec<Item> {
    let alone = envelope.targets.len() == 1;
    let frame_of = |target| match alone {
        true => frame.clone(),
        false => Bytes::from(envelope.unicast(target).encode(payload)),
    };
    let targets = envelope.targets.iter();
    targets
        .map(|target| Item {
            endpoint: target.endpoint,
            due: target.due,
            delayed_at: target.delayed_at,
            frame: frame_of(*target),
        })
        .collect()
}
