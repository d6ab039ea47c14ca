//! Puts ingest together, runs it and takes it apart.

use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use hooklane_kafka::config_feed::{ConfigFeed, FeedEvent};
use hooklane_kafka::consumer::GroupConsumer;
use hooklane_kafka::settings::{ClientSettings, MAX_POLL_INTERVAL};
use hooklane_kafka::topics::{TopicCheck, TopicPlan, internal_topics, record_bytes_max, verify};
use hooklane_model::topic::TopicNames;
use hooklane_service::lifecycle::Phase;
use hooklane_service::run::ServiceContext;

use crate::config::Config;
use crate::error::IngestError;
use crate::intake::{Intake, Parts, follow};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::view::View;

/// How long questions to the brokers may take at start.
const START_WAIT: Duration = Duration::from_secs(30);
/// Batches of changes that may wait for the loop, which takes them every few
/// milliseconds; when it is full the feed's thread waits, and reads on later.
const FEED_QUEUE: usize = 16;
const FEED_TURN: Duration = Duration::from_millis(50);

/// Runs ingest until its context's shutdown is requested. Blocks: it is the
/// one thread of ingest.
///
/// # Errors
/// When it cannot start, or cannot go on. What is done is committed all the
/// same, and what is not is read again by the next one.
pub fn run(
    context: &ServiceContext,
    config: &Config,
    check: TopicCheck,
) -> Result<(), IngestError> {
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
    let metrics = Metrics::register(&context.metrics)?;
    let loaded = context.probes.condition("config loaded");
    let subscribed = context.probes.condition("subscribed");
    let heartbeat = context.probes.heartbeat("ingest", MAX_POLL_INTERVAL);
    let lanes = check_topics(&settings, &names, config, check)?;
    let outbox = Outbox::new(&settings, &names, config, START_WAIT)?;
    let (tell, feed) = sync_channel(FEED_QUEUE);
    let reader = ConfigFeed::start(&settings, &names, move |event| {
        // Once the loop is gone nobody needs to know.
        drop(tell.send(event));
    })?;
    let mut view = View::default();
    if !load(context, &feed, &mut view, &heartbeat, &metrics) {
        heartbeat.retire();
        drop(feed);
        reader.stop();
        return Ok(());
    }
    loaded.set(true);
    metrics.subscriptions.set_len(view.subscriptions());
    metrics.config_offset.set(view.stamp.offset);
    let group = config
        .group
        .clone()
        .unwrap_or_else(|| format!("{}ingest", names.prefix()));
    let parts = Parts {
        consumer: GroupConsumer::new(&settings, &group)?,
        outbox,
        view,
        feed,
        settings,
        lanes,
        open_bytes_max: config.open_bytes_max,
        metrics,
        clock: context.clock.clone(),
        heartbeat,
    };
    let mut intake = Intake::new(parts);
    let ran = intake.subscribe().and_then(|()| {
        subscribed.set(true);
        context.lifecycle.enter(Phase::Ready);
        intake.run(|| context.shutdown().is_requested())
    });
    subscribed.set(false);
    let ended = end(context, intake, ran.is_ok());
    context
        .lifecycle
        .step("stop configuration", || reader.stop());
    ran.and(ended)
}

fn check_topics(
    settings: &ClientSettings,
    names: &TopicNames,
    config: &Config,
    check: TopicCheck,
) -> Result<NonZeroU16, IngestError> {
    let plan = TopicPlan {
        // The deliveries topic itself says how many lanes there are.
        lanes: NonZeroU16::MIN,
        replication: 1,
        record_bytes_max: record_bytes_max(config.source_record_bytes_max),
    };
    let verified = verify(settings, &internal_topics(names, &plan), check, START_WAIT)?;
    for (topic, difference) in &verified.warnings {
        if difference.setting != "partitions" {
            tracing::warn!(%topic, %difference, "topic differs from what is advised");
        }
    }
    Ok(verified.lanes)
}

/// Waits for the whole configuration; `false` if ingest is to stop before.
fn load(
    context: &ServiceContext,
    feed: &Receiver<FeedEvent>,
    view: &mut View,
    heartbeat: &hooklane_service::probes::Heartbeat,
    metrics: &Metrics,
) -> bool {
    loop {
        heartbeat.beat();
        if context.shutdown().is_requested() {
            return false;
        }
        match feed.recv_timeout(FEED_TURN) {
            Ok(event) => {
                let followed = follow(view, event);
                if followed.problem {
                    metrics.config_problems.inc();
                }
                if followed.loaded {
                    return true;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The feed's thread has ended: its panic is the process's end.
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Takes ingest apart in order: drain, commit, leave, flush.
fn end(context: &ServiceContext, mut intake: Intake, drain: bool) -> Result<(), IngestError> {
    let lifecycle = &context.lifecycle;
    let deadline = lifecycle.deadline();
    lifecycle.enter(Phase::Draining);
    let drained = if drain {
        let open = lifecycle.step("wait for acknowledgements", || intake.drain(deadline / 2));
        if let Ok(open @ 1..) = open {
            tracing::warn!(
                open,
                "offsets are not acknowledged; their events are repeated"
            );
        }
        open.map(drop)
    } else {
        Ok(())
    };
    lifecycle.enter(Phase::HandingOver);
    let committed = lifecycle.step("commit", || intake.commit_finally(deadline / 10));
    if let Ok(false) = committed {
        tracing::warn!("the last offsets are not committed; their events are repeated");
    }
    let (consumer, outbox) = intake.dismantle();
    if !lifecycle.step("leave the group", || consumer.close(deadline / 10)) {
        tracing::warn!("the consumer did not close in time; the process ends without it");
    }
    if !lifecycle.step("flush", || outbox.flush(deadline / 10)) {
        tracing::warn!("records without an acknowledgement; their events are repeated");
    }
    drained.and(committed.map(drop))
}
