//! Produces the events at their pace, and writes down beforehand what must
//! come of each: by asking every subscription in turn, not by the index that
//! ingest uses, so that the two can be held against each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hooklane_kafka::producer::{Outgoing, Producer, SendError};
use hooklane_kafka::settings::Profile;
use hooklane_model::envelope::EventHead;
use hooklane_model::filter::{Data, Document};
use hooklane_model::id::DeliveryId;

use super::board::{SharedBoard, lock};
use super::error::DemoError;
use super::events::{EVENT_SOURCE, Event, Events};
use super::kafka::{EVENT_PARTITIONS, Kafka};
use super::setup::Setup;

/// How long the last events may take to be stored.
const FLUSH: Duration = Duration::from_secs(10);
/// Turns of the loop while it waits for the next event's time.
const TURN: Duration = Duration::from_millis(5);
const JSON: &str = "application/json";

/// What was produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fed {
    /// Events given to the producer.
    pub(super) sent: u64,
    /// Of these, those the broker stored.
    pub(super) stored: u64,
    /// What went wrong with the others, once.
    pub(super) problem: Option<String>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicBool,
    stored: AtomicU64,
}

/// The thread that produces.
pub(super) struct Feeder {
    shared: Arc<Shared>,
    thread: JoinHandle<Fed>,
}

struct Work {
    producer: Producer,
    topic: String,
    setup: Setup,
    board: SharedBoard,
    shared: Arc<Shared>,
}

impl Feeder {
    /// Starts with the first event at once; `rate` a second, at most `limit`.
    ///
    /// # Errors
    /// When there is no producer or no thread.
    pub(super) fn start(
        kafka: &Kafka,
        setup: Setup,
        events: Events,
        (rate, limit): (u32, usize),
        board: &SharedBoard,
    ) -> Result<Self, DemoError> {
        let shared = Arc::new(Shared::default());
        let reports = shared.clone();
        let settings = &kafka.cluster.settings;
        let producer = Producer::new(settings, &Profile::default(), move |report| {
            match report.result {
                Ok(_) => drop(reports.stored.fetch_add(1, Ordering::Relaxed)),
                Err(error) => tracing::error!(%error, "an event was not stored"),
            }
        })?;
        let work = Work {
            producer,
            topic: kafka.events.clone(),
            setup,
            board: board.clone(),
            shared: shared.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("demo-feeder".to_owned())
            .spawn(move || work.run(events, rate, limit))
            .map_err(DemoError::Thread)?;
        Ok(Self { shared, thread })
    }

    /// Whether there are no more events.
    pub(super) fn is_done(&self) -> bool {
        self.shared.done.load(Ordering::Relaxed) || self.thread.is_finished()
    }

    /// Ends the production and waits until what was sent is stored.
    ///
    /// # Errors
    /// When the thread panicked.
    pub(super) fn stop(self) -> Result<Fed, DemoError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| DemoError::Service {
            service: "the producer of events",
            reason: "it panicked".to_owned(),
        })
    }
}

impl Work {
    fn run(self, mut events: Events, rate: u32, limit: usize) -> Fed {
        let mut fed = Fed::default();
        let began = Instant::now();
        let period = Duration::from_secs(1) / rate.max(1);
        let mut due = began;
        for index in 0..limit {
            let Some(event) = events.get(index) else {
                break;
            };
            while Instant::now() < due && !self.stopped() {
                self.producer
                    .poll(TURN.min(due.saturating_duration_since(Instant::now())));
            }
            if self.stopped() {
                break;
            }
            due += period;
            if let Err(problem) = self.send(index, &event) {
                fed.problem = Some(problem);
                break;
            }
            fed.sent += 1;
        }
        self.shared.done.store(true, Ordering::Relaxed);
        if !self.producer.flush(FLUSH) {
            fed.problem = Some("the broker did not store the last events in time".to_owned());
        }
        fed.stored = self.shared.stored.load(Ordering::Relaxed);
        fed
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn send(&self, index: usize, event: &Event) -> Result<(), String> {
        let wanted = deliveries(&self.setup, event);
        lock(&self.board).produced(&wanted, Instant::now());
        let headers: [(&str, &[u8]); 6] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", event.id.as_bytes()),
            ("ce_source", EVENT_SOURCE.as_bytes()),
            ("ce_type", event.event_type.as_bytes()),
            ("content-type", JSON.as_bytes()),
            ("tenant", event.tenant.as_bytes()),
        ];
        let partition = i32::try_from(index % 1_000_000).unwrap_or(0) % EVENT_PARTITIONS;
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(partition),
            key: None,
            value: Some(&event.payload),
            headers: &headers,
            timestamp: None,
        };
        loop {
            match self.producer.send(&record, index) {
                Ok(()) => return Ok(()),
                // The broker is slower than the pace; then so are we.
                Err(SendError::QueueFull) if !self.stopped() => self.producer.poll(TURN),
                Err(error) => return Err(format!("event {} was not sent: {error}", event.id)),
            }
        }
    }
}

/// Who must get the event, and under which delivery id.
fn deliveries(setup: &Setup, event: &Event) -> Vec<(usize, DeliveryId)> {
    let head = EventHead {
        tenant: Some(event.tenant.to_owned()),
        source: EVENT_SOURCE.to_owned(),
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        content_type: Some(JSON.to_owned()),
        ..EventHead::default()
    };
    let data = Data::json(&event.payload);
    let document = Document::new(&head, &data);
    let wanting = setup
        .interests
        .iter()
        .filter(|(_, interest)| interest.wants(setup.source, &document));
    wanting
        .map(|(role, interest)| {
            let subscription = interest.subscription;
            let id = DeliveryId::derive(event.tenant, EVENT_SOURCE, &event.id, subscription);
            (*role, id)
        })
        .collect()
}
