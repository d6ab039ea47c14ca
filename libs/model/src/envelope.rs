//! The internal record: one payload and its targets in one lane.
//!
//! A record of the deliveries and delay topics is a frame
//! `magic | codec | schema version | bincode body | payload`. The payload is
//! the event's bytes as they stood in the source topic and is never decoded
//! or re-encoded. This is the only module that knows the frame.
//!
//! bincode is not self-describing: a new field is a new schema version, and a
//! reader for it ships one release before the first writer. A record *newer*
//! than this reader is told apart from an unreadable one, because the first
//! must wait and only the second is poison.

use bincode::{Decode, Encode};
use bytes::Bytes;
use thiserror::Error;

use crate::id::{DeliveryId, EndpointUid, SubscriptionUid};
use crate::time::UnixMillis;

/// First byte of every frame: `H`.
const MAGIC: u8 = 0x48;
/// bincode 2, little-endian, variable-length integers.
const CODEC_BINCODE: u8 = 1;
/// The newest schema this build reads, and the one it writes.
pub const SCHEMA_VERSION: u8 = 1;
/// The most a decoded body may take. A target is about 60 bytes and a target
/// list at most [`TARGETS_MAX`]; the rest is the event's attributes, which
/// Kafka's own record limit bounds.
const BODY_MAX: usize = 2 << 20;

/// The most targets in one envelope; more become further chunks.
pub const TARGETS_MAX: usize = 64;

/// What internal topics must allow per record beyond the source's limit: the
/// frame, a full target list (at most 32 KiB) and the event's attributes.
pub const OVERHEAD_MAX: usize = 128 << 10;

/// How a delivery came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// From ingest, in one run of reading the source topic.
    Ingest {
        /// Changes when the source's offsets start over or are reset, so that
        /// source marks of different runs are never compared.
        run: u64,
    },
    /// Sent again because a person chose to.
    Replay {
        /// The replay's id.
        id: u128,
    },
}

/// What an event said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct EventHead {
    /// Whose event it is; `None` on a shared source.
    pub tenant: Option<String>,
    /// CloudEvents `source`, else the topic.
    pub source: String,
    /// CloudEvents `id`, else `topic/partition/offset`.
    pub id: String,
    /// CloudEvents `type` or what the source's rules found; may be empty.
    pub event_type: String,
    /// The media type of the payload.
    pub content_type: Option<String>,
    /// Stable hash of the ordering key, if the event has one.
    pub key_hash: Option<u64>,
    /// W3C trace context of the event.
    pub traceparent: Option<String>,
    /// The other CloudEvents attributes, by name, sorted.
    pub attributes: Vec<(String, String)>,
}

/// Where the event lies in its source topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SourcePosition {
    /// Topic name.
    pub topic: String,
    /// The topic's own id, where the client tells it; 0 when it does not.
    pub topic_id: u128,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Which part of an event's targets in this lane an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Chunk {
    /// From 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
}

/// The configuration the writer had applied, so that a reader that is behind
/// waits instead of calling an endpoint unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ConfigStamp {
    /// Identity of the config topic's history; 0 when it has none yet.
    pub epoch: u128,
    /// Offset after the last config record applied.
    pub offset: i64,
}

/// One delivery inside an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Target {
    /// Identity of the delivery.
    pub delivery: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointUid,
    /// Why it goes there.
    pub subscription: SubscriptionUid,
    /// Number of the attempt to make next, from 1. Parking spends none.
    pub attempt: u16,
    /// Not before; 0 = at once.
    pub due: UnixMillis,
    /// When it was last given a due time; tells how late it may be.
    pub delayed_at: UnixMillis,
    /// How many times it was parked since its last attempt.
    pub spills: u16,
}

/// The body of a frame: everything but the payload.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// How it came to be.
    pub origin: Origin,
    /// What the event said about itself.
    pub event: EventHead,
    /// Where the event lies.
    pub position: SourcePosition,
    /// Which part of the targets this is.
    pub chunk: Chunk,
    /// The configuration the fan-out was made with.
    pub config: ConfigStamp,
    /// When ingest read the event; what maxAge counts from.
    pub first_seen: UnixMillis,
    /// The deliveries.
    pub targets: Vec<Target>,
}

/// Why a record is not an envelope this build can read.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not a Hooklane frame.
    #[error("not a hooklane record: {0}")]
    NotAFrame(&'static str),
    /// Written by a newer release. Not poison: wait for the upgrade.
    #[error(
        "record has codec {codec} schema version {version}, newer than the {SCHEMA_VERSION} this release reads"
    )]
    Newer {
        /// Codec byte.
        codec: u8,
        /// Schema version byte.
        version: u8,
    },
    /// The body does not decode.
    #[error("envelope body of schema version {version}")]
    Body {
        /// Schema version byte.
        version: u8,
        /// What bincode says.
        #[source]
        source: bincode::error::DecodeError,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BODY_MAX>()
}

impl Envelope {
    /// The frame of this envelope around `payload`.
    #[must_use]
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(256 + 64 * self.targets.len() + payload.len());
        frame.extend([MAGIC, CODEC_BINCODE, SCHEMA_VERSION]);
        bincode::encode_into_std_write(self, &mut frame, config())
            .expect("writing to a Vec cannot fail and every field is encodable");
        frame.extend_from_slice(payload);
        frame
    }

    /// Reads a frame; the payload shares the frame's memory.
    ///
    /// # Errors
    /// [`DecodeError::Newer`] for a record to wait with, anything else for
    /// one that is poison.
    pub fn decode(frame: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let &[magic, codec, version, ..] = frame.as_ref() else {
            return Err(DecodeError::NotAFrame("shorter than its header"));
        };
        if magic != MAGIC {
            return Err(DecodeError::NotAFrame("wrong magic byte"));
        }
        if codec > CODEC_BINCODE || version > SCHEMA_VERSION {
            return Err(DecodeError::Newer { codec, version });
        }
        if codec == 0 || version == 0 {
            return Err(DecodeError::NotAFrame("codec or schema version 0"));
        }
        let body = &frame[3..];
        let (envelope, taken): (Self, usize) = bincode::decode_from_slice(body, config())
            .map_err(|source| DecodeError::Body { version, source })?;
        if envelope.targets.is_empty() {
            return Err(DecodeError::NotAFrame("no targets"));
        }
        Ok((envelope, frame.slice(3 + taken..)))
    }

    /// The same event for one of its targets only, as retries carry it.
    #[must_use]
    pub fn unicast(&self, target: Target) -> Self {
        Self {
            targets: vec![target],
            chunk: Chunk { index: 0, count: 1 },
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
