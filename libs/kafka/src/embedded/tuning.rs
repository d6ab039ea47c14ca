//! The one setting of the mock cluster that has no safe interface.
//!
//! The first member of a classic group waits 3 s for others by default, and a
//! change of membership under the new protocol two heartbeats of 3 s. Every
//! demonstration and every test of a group would pay that.

use rdkafka::ClientContext;
use rdkafka::bindings;
use rdkafka::client::Client;

/// How long the first join waits for more members.
const FIRST_JOIN_DELAY_MS: i32 = 0;
/// Heartbeats under the new protocol.
const HEARTBEAT_MS: i32 = 100;

/// Makes joins quick in the mock cluster of `client`, if it has one.
#[allow(
    unsafe_code,
    reason = "rdkafka has no safe call for these two settings of its mock cluster, and they save \
              3 s in every test and demonstration that joins a group"
)]
pub(super) fn quick_joins<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the pointer is that of a live client, which owns the cluster and
    // outlives this call; both functions lock the cluster themselves, and null
    // is what a client without one returns.
    unsafe {
        let cluster = bindings::rd_kafka_handle_mock_cluster(client.native_ptr());
        if cluster.is_null() {
            return;
        }
        bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_JOIN_DELAY_MS);
        bindings::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, HEARTBEAT_MS);
    }
}
