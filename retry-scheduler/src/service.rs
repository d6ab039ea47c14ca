//! Puts the scheduler together, runs it and takes it apart.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hooklane_kafka::consumer::{ConsumerError, GroupConsumer};
use hooklane_kafka::producer::ProducerError;
use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::topics::{TopicCheck, TopicsError};
use hooklane_model::topic::TopicNames;
use hooklane_service::lifecycle::Phase;
use hooklane_service::metrics::MetricsError;
use hooklane_service::run::ServiceContext;
use thiserror::Error;

use crate::config::Config;
use crate::lanes;
use crate::metrics::Metrics;
use crate::owner::{Outbox, Owner, OwnerError, Parts};
use crate::schedule::Schedule;
use crate::topics::{self, Topics};

/// A loop that shows no life for this long is stuck. The longest it may take
/// is a hand-over and two questions to the brokers.
const STUCK: Duration = Duration::from_secs(30);

/// What a reader of delay topics fetches ahead: little, because every pause
/// throws it away, and its own queues hold 256 KiB a partition anyway.
const READ_AHEAD: [(&str, &str); 3] = [
    ("fetch.message.max.bytes", "262144"),
    ("queued.max.messages.kbytes", "8192"),
    ("queued.min.messages", "1000"),
];

/// Why the scheduler did not start, or ended before it was told to.
#[derive(Debug, Error)]
pub enum SchedulerError {
    /// Internal topics are missing or cannot be worked with.
    #[error("the internal topics cannot be worked with; run `hooklane topics create`")]
    Topics(#[from] TopicsError),
    /// No consumer could be made.
    #[error("the consumer of the delay topics could not be made")]
    Consumer(#[from] ConsumerError),
    /// No producer could be made.
    #[error("the producer could not be made")]
    Producer(#[from] ProducerError),
    /// A metric is registered twice.
    #[error("metrics")]
    Metrics(#[from] MetricsError),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// It ended while it ran.
    #[error("the retry-scheduler cannot go on")]
    Owner(#[from] OwnerError),
}

/// What differs between production and a process that holds everything.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// How far the brokers can describe topics. One that can't (the embedded
    /// broker) can't stamp records either: then the producer's time counts.
    pub topic_check: TopicCheck,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            topic_check: TopicCheck::Full,
        }
    }
}

/// Runs a scheduler until its context's shutdown is requested.
///
/// Blocks the calling thread, which becomes the scheduler's one thread. Only
/// the context is shared, so several services can run in one process.
///
/// # Errors
/// When it cannot start, or cannot go on; what it held is in Kafka.
pub fn run(
    context: &ServiceContext,
    config: &Config,
    environment: &Environment,
) -> Result<(), SchedulerError> {
    let kafka = &context.common.kafka;
    let names = TopicNames::new(kafka.topic_prefix.clone());
    let settings = ClientSettings {
        brokers: kafka.brokers.clone(),
        properties: kafka.properties.expose().clone(),
        client_id: kafka
            .client_id
            .clone()
            .unwrap_or_else(|| context.binary.to_owned()),
    };
    let metrics = Metrics::register(&context.metrics, &config.limits())?;
    let lanes = topics::check(&settings, &names, environment.topic_check)?;
    let changed = Arc::new(AtomicBool::new(false));
    let watch = lanes::watch(
        settings.clone(),
        topics::specs(&names),
        lanes,
        changed.clone(),
        context.shutdown().clone(),
    );
    let watch = watch.map_err(SchedulerError::Thread)?;
    let started = Started {
        context,
        config,
        environment,
        settings,
        names,
        lanes,
        changed,
    };
    let result = started.own(metrics);
    if context.shutdown().is_requested() {
        context.lifecycle.step("stop counting lanes", || {
            // Should it have panicked, the panic hook has told of it.
            drop(watch.join());
        });
    }
    result
}

struct Started<'a> {
    context: &'a ServiceContext,
    config: &'a Config,
    environment: &'a Environment,
    settings: ClientSettings,
    names: TopicNames,
    lanes: NonZeroU16,
    changed: Arc<AtomicBool>,
}

impl Started<'_> {
    fn own(self, metrics: Metrics) -> Result<(), SchedulerError> {
        let context = self.context;
        let topics = Topics::new(&self.names);
        let outbox = Outbox::new(&self.settings)?;
        let layout = topics::layout(self.lanes, &topics, &outbox.producer)?;
        let joined = context.probes.condition("group joined");
        let mut reading = self.settings;
        for (name, value) in READ_AHEAD {
            reading
                .properties
                .entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        let group = format!("{}retry-scheduler", self.names.prefix());
        let mut consumer = GroupConsumer::new(&reading, &group)?;
        consumer.subscribe(&topics.delays)?;
        let owner = Owner::new(Parts {
            consumer,
            outbox,
            schedule: Schedule::new(layout, self.config.limits()),
            topics,
            metrics,
            wall: context.clock.clone(),
            boot: context.boot.clone(),
            heartbeat: context.probes.heartbeat("scheduler", STUCK),
            joined,
            create_time: self.environment.topic_check == TopicCheck::PartitionsOnly,
            lanes_changed: self.changed,
        });
        live(context, owner)
    }
}

fn live(context: &ServiceContext, mut owner: Owner) -> Result<(), SchedulerError> {
    let (lifecycle, shutdown) = (&context.lifecycle, context.shutdown());
    lifecycle.enter(Phase::Ready);
    let ran = owner.run(|| shutdown.is_requested());
    lifecycle.enter(Phase::Draining);
    let deadline = lifecycle.deadline();
    let drained = match ran {
        Ok(()) => lifecycle.step("finish what is sent", || owner.finish(deadline / 2)),
        Err(error) => Err(error),
    };
    if matches!(drained, Ok(false)) {
        tracing::warn!("records without a report at the deadline; the next owner repeats them");
    }
    lifecycle.enter(Phase::HandingOver);
    let consumer = owner.into_consumer();
    if !lifecycle.step("leave the group", || consumer.close(deadline / 5)) {
        tracing::warn!("the consumer did not close in time; the process ends without it");
    }
    drained?;
    Ok(())
}
