//! The callbacks of a group member: they note and never decide.
//!
//! They run inside the owner's own poll, so the locks here are never
//! contended; they exist because the library asks for a shared context.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::statistics::HighWatermarks;
use crate::client::{log_error, log_line};

/// A rebalance that the callback saw.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) assign: bool,
    pub(super) partitions: Vec<(String, i32)>,
    pub(super) cooperative: bool,
    pub(super) lost: bool,
}

#[derive(Debug, Default)]
pub(super) struct GroupContext {
    /// Bounded by one poll: the library returns after each rebalance, and
    /// the owner takes it before it polls again.
    noted: Mutex<Vec<Noted>>,
    high: Mutex<HighWatermarks>,
    closing: AtomicBool,
}

impl GroupContext {
    /// From here on rebalances are completed at once, because nobody polls
    /// for them any more.
    pub(super) fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut *self.noted.lock().expect(NO_PANIC))
    }

    pub(super) fn high_watermarks(&self) -> HighWatermarks {
        self.high.lock().expect(NO_PANIC).clone()
    }

    fn note(&self, noted: Noted) {
        self.noted.lock().expect(NO_PANIC).push(noted);
    }
}

const NO_PANIC: &str = "no code that can panic runs under this lock";

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats_raw(&self, json: &[u8]) {
        match super::statistics::high_watermarks(json) {
            Ok(high) => *self.high.lock().expect(NO_PANIC) = high,
            Err(error) => tracing::warn!(%error, "statistics of the client are unreadable"),
        }
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let protocol = client.rebalance_protocol();
        let cooperative = matches!(protocol, RebalanceProtocol::Cooperative);
        if self.closing.load(Ordering::Relaxed) {
            if let Err(error) = complete(client, assign, cooperative, list) {
                tracing::debug!(%error, "rebalance dropped while closing");
            }
            return;
        }
        self.note(Noted {
            assign,
            partitions: partitions_of(list),
            cooperative,
            lost: client.assignment_lost(),
        });
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements()
        .iter()
        .map(|e| (e.topic().to_owned(), e.partition()))
        .collect()
}

/// Gives the library the call it waits for, as its own default does.
pub(super) fn complete(
    client: &BaseConsumer<GroupContext>,
    assign: bool,
    cooperative: bool,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match (assign, cooperative) {
        (true, true) => client.incremental_assign(list),
        (true, false) => client.assign(list),
        (false, true) => client.incremental_unassign(list),
        (false, false) => client.unassign(),
    }
}
