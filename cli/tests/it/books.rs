//! The books, on records made by hand.

use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::producer::Outgoing;
use hooklane_kafka::record::TopicPartition;
use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, Target,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::ladder::Rung;
use hooklane_model::record::NOTE_HEADER;
use hooklane_model::time::UnixMillis;
use serde_json::{Value, json};

use crate::support::{DEADLINE, World, outgoing, until};

fn envelope(id: u128) -> Vec<u8> {
    let target = Target {
        delivery: DeliveryId(id),
        endpoint: EndpointUid(1),
        subscription: SubscriptionUid(1),
        attempt: 1,
        due: UnixMillis(0),
        delayed_at: UnixMillis(0),
        spills: 0,
    };
    let envelope = Envelope {
        origin: Origin::Ingest { run: 1 },
        event: EventHead::default(),
        position: SourcePosition::default(),
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp::default(),
        first_seen: UnixMillis(0),
        targets: vec![target],
    };
    envelope.encode(b"{}")
}

fn attempt(world: &World, partition: i32, id: u128, outcome: &str) {
    let value = json!([{"delivery": DeliveryId(id).to_string(), "outcome": outcome}]);
    let topic = world.names.attempts();
    world.store(&outgoing(&topic, partition, value.to_string().as_bytes()));
}

fn dead(world: &World, id: u128, kind: &str) {
    let note = json!({
        "kind": kind, "reason": "exhausted", "delivery": DeliveryId(id).to_string(),
        "endpointUid": "ep", "subscriptionUid": "sub", "eventId": "1", "eventSource": "s",
        "eventType": "t", "position": "t/0/0", "attempts": 1,
        "firstSeen": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T00:00:00Z",
    });
    let note = note.to_string();
    let topic = world.names.dead();
    world.store(&Outgoing {
        headers: &[(NOTE_HEADER, note.as_bytes())],
        ..outgoing(&topic, 1, b"bytes")
    });
}

/// Commits offsets as a member of a group.
fn commit(world: &World, group: &str, offsets: &[(&str, i32, i64)]) {
    let mut topics: Vec<String> = offsets
        .iter()
        .map(|(topic, ..)| (*topic).to_owned())
        .collect();
    topics.dedup();
    let mut member = GroupConsumer::new(&world.settings(), group).unwrap();
    member.subscribe(&topics).unwrap();
    until("an assignment", || {
        let Polled::Assigned(partitions) = member.poll(std::time::Duration::from_millis(50))?
        else {
            return None;
        };
        let from: Vec<_> = partitions.into_iter().map(|tp| (tp, Some(0))).collect();
        member.complete_assign(&from).unwrap();
        (!from.is_empty()).then_some(())
    });
    let offsets: Vec<_> = offsets
        .iter()
        .map(|(topic, partition, offset)| (TopicPartition::new(*topic, *partition), *offset))
        .collect();
    member.commit_sync(&offsets).unwrap();
    assert!(member.close(DEADLINE));
}

fn books(world: &World, code: u8) -> Value {
    let ran = world.run(&["books", "-o", "json"]);
    assert_eq!(ran.code, code, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_books_close_or_say_why_not() {
    let world = World::new();
    let empty = books(&world, 0);
    assert_eq!(
        (&empty["matched"], &empty["closes"]),
        (&json!(0), &json!(true))
    );

    let deliveries = world.names.deliveries();
    for (partition, id) in [(0, 1), (0, 2), (1, 3), (1, 4), (3, 5), (3, 6)] {
        world.store(&outgoing(&deliveries, partition, &envelope(id)));
    }
    attempt(&world, 0, 1, "retry");
    attempt(&world, 1, 1, "delivered");
    attempt(&world, 1, 1, "delivered");
    dead(&world, 2, "dead");
    dead(&world, 3, "expired");
    let minute = world.names.delay(Rung::M1);
    world.store(&outgoing(&minute, 1, &envelope(4)));
    let group = format!("{}dispatcher", world.names.prefix());
    // 4 waits on the rung, 5 and 6 in their lane.
    let commits = [(&*deliveries, 0, 2), (&*deliveries, 1, 2)];
    commit(&world, &group, &commits);
    let expected = json!({
        "closes": true, "matched": 6, "delivered": 1, "dead": 1, "expired": 1, "pending": 3,
        "lost": [], "lostCount": 0, "conflicts": [], "conflictCount": 0, "attempts": 3,
        "repeats": 1, "unmatched": 0, "unreadable": 0,
    });
    assert_eq!(books(&world, 0), expected);

    // 5 is passed over without a trace, and 2 gets a second end.
    commit(&world, &group, &[(&*deliveries, 3, 1)]);
    attempt(&world, 0, 2, "delivered");
    let open = books(&world, 1);
    assert_eq!(open["closes"], false);
    assert_eq!(open["pending"], 2);
    assert_eq!(open["lost"], json!([DeliveryId(5).to_string()]));
    let conflict = format!("{} delivered+dead", DeliveryId(2));
    assert_eq!(open["conflicts"], json!([conflict]));

    // The scheduler passes over 4.
    let scheduler = format!("{}retry-scheduler", world.names.prefix());
    commit(&world, &scheduler, &[(&*minute, 1, 1)]);
    assert_eq!(books(&world, 1)["lostCount"], 2);

    let ran = world.run(&["books"]);
    assert_eq!((ran.code, &*ran.err), (1, "the books do not close\n"));
    assert_eq!(
        ran.out,
        format!(
            "matched     6\ndelivered   2\ndead        1\nexpired     1\npending     1\n\
             lost        2\nconflicts   1\nattempts    4\nrepeats     1\n\
             lost: {}\nlost: {}\nconflict: {conflict}\n",
            DeliveryId(4),
            DeliveryId(5)
        )
    );
}
