//! Events and their producer, which is nothing of the pipeline's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hooklane_kafka::producer::{Outgoing, PollThread, Producer};
use hooklane_kafka::settings::{ClientSettings, Profile};

use super::{DEADLINE, SOURCE_PARTITIONS};

/// The CloudEvents source of all events.
pub(crate) const EVENT_SOURCE: &str = "/shop";

/// A CloudEvent of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) event_type: String,
    pub(crate) payload: Vec<u8>,
}

impl Event {
    pub(crate) fn new(id: impl Into<String>, tenant: &str, event_type: &str) -> Self {
        let id = id.into();
        let payload =
            format!("{{\"id\":\"{id}\",  \"text\":\"as written \\u00e9 é\"}}").into_bytes();
        Self {
            id,
            tenant: tenant.to_owned(),
            event_type: event_type.to_owned(),
            payload,
        }
    }

    pub(crate) fn payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            payload: payload.into(),
            ..self
        }
    }
}

/// Writes events to the source topic, by key to its partitions.
pub(crate) struct Events {
    producer: Producer,
    topic: String,
    stored: Arc<AtomicUsize>,
    // Reports also have to be served while nobody flushes.
    _reports: PollThread,
}

impl Events {
    pub(super) fn new(settings: &ClientSettings, topic: &str) -> Self {
        let stored = Arc::new(AtomicUsize::new(0));
        let count = stored.clone();
        let producer = Producer::new(settings, &Profile::default(), move |report| {
            // A panic here would be lost; what is not counted fails the flush.
            if report.result.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let producer = producer.unwrap();
        let reports = producer.poll_on_thread("events").unwrap();
        Self {
            producer,
            topic: topic.to_owned(),
            stored,
            _reports: reports,
        }
    }

    /// Sends an event in binary mode, without waiting.
    pub(crate) fn send(&self, event: &Event) {
        let headers: [(&str, &[u8]); 6] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", event.id.as_bytes()),
            ("ce_source", EVENT_SOURCE.as_bytes()),
            ("ce_type", event.event_type.as_bytes()),
            ("content-type", b"application/json"),
            ("tenant", event.tenant.as_bytes()),
        ];
        let hash = event.id.bytes().fold(0i32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(i32::from(byte))
        });
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(hash.rem_euclid(SOURCE_PARTITIONS)),
            key: Some(event.tenant.as_bytes()),
            value: Some(&event.payload),
            headers: &headers,
            timestamp: None,
        };
        self.producer.send(&record, 0).unwrap();
    }

    /// Sends events and waits until they are stored.
    pub(crate) fn store(&self, events: &[Event]) {
        let before = self.stored.load(Ordering::SeqCst);
        for event in events {
            self.send(event);
        }
        assert!(
            self.producer.flush(DEADLINE),
            "events are not stored in time"
        );
        assert_eq!(self.stored.load(Ordering::SeqCst), before + events.len());
    }

    /// Sends events from a thread at a rate, until it is told to stop.
    pub(crate) fn load(
        &self,
        per_second: u32,
        make: impl Fn(usize) -> Event + Send + 'static,
    ) -> Load {
        let sender = Events {
            producer: self.producer.clone(),
            topic: self.topic.clone(),
            stored: self.stored.clone(),
            _reports: self.producer.poll_on_thread("load").unwrap(),
        };
        let (stop, stopped) = sync_channel::<()>(1);
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let thread = std::thread::spawn(move || {
            let (begin, mut events) = (Instant::now(), Vec::new());
            loop {
                // The pace is by the clock: a late turn is made up for.
                let due = begin
                    + Duration::from_secs(1) * u32::try_from(events.len()).unwrap() / per_second;
                match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
                let event = make(events.len());
                sender.send(&event);
                events.push(event);
                count.store(events.len(), Ordering::SeqCst);
            }
            assert!(
                sender.producer.flush(DEADLINE),
                "the load is not stored in time"
            );
            events
        });
        Load { stop, sent, thread }
    }
}

/// Events that are being sent.
pub(crate) struct Load {
    stop: SyncSender<()>,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Event>>,
}

impl Load {
    /// How many were sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Ends the load; returns all it sent, once it is stored.
    pub(crate) fn stop(self) -> Vec<Event> {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}
