//! What an endpoint's spec puts into its requests, as a receiver gets them.

use std::net::SocketAddr;

use bytes::Bytes;
use hooklane_model::envelope::EventHead;
use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use hooklane_sender::{Delivery, Event, Recipient, Sender};

use crate::support::{Receiver, open_config, run, sender, status};

/// An endpoint at `address` whose spec says this besides.
fn recipient(sender: &Sender, address: SocketAddr, spec: &str) -> Recipient {
    let yaml = format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: 'http://{address}/hooks', signing: {{scheme: github, secrets: [{{valueFrom: \
         {{file: signs}}}}]}}{spec}}}"
    );
    let Manifest::Endpoint(endpoint) = parse_yaml(&yaml).unwrap().remove(0).manifest else {
        panic!("an endpoint");
    };
    let secrets = [Secret::from("a secret that signs".to_owned())];
    Recipient::try_new(sender, &endpoint.spec, &secrets).unwrap()
}

/// Goal: an endpoint's own headers arrive, in its requests and in no others.
/// Method: two endpoints of one receiver by turns, heads read off the wire.
#[test]
fn headers_of_a_spec_are_on_the_wire_of_its_requests_alone() {
    run(async {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (receiver, seen) = Receiver::keeping(answer).await;
        let sender = sender(open_config());
        let own = ", headers: {X-Acme-Team: 'billing, and more', x-acme-zone: eu}, \
                   userAgent: acme-hooks/1, extraHeaders: true";
        let recipients = [own, ""].map(|spec| recipient(&sender, receiver.address, spec));
        let head = EventHead {
            id: "evt 1".into(),
            source: "/shop".into(),
            event_type: "order.created".into(),
            ..EventHead::default()
        };
        let payload = Bytes::from_static(b"{\"n\":1}");
        for at in [0, 1, 0, 1] {
            let event = Event {
                head: &head,
                payload: &payload,
                first_seen: UnixMillis(0),
            };
            let delivery = Delivery {
                id: "dlv_1",
                attempt: 3,
                event,
            };
            let recipient = &recipients[at];
            let request = recipient.request(&delivery, UnixMillis(7_900)).unwrap();
            let report = sender
                .attempt(recipient.destination(), request, || true)
                .await;
            assert_eq!(status(&report), 200);
        }
        let seen = seen.all();
        assert_eq!(seen.len(), 4);
        for (n, request) in seen.iter().enumerate() {
            assert_eq!(request.body, payload);
            let values = |name: &str| -> Vec<&str> {
                let lines = request
                    .head
                    .lines()
                    .filter_map(|line| line.split_once(": "));
                lines
                    .filter_map(|(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
                    .collect()
            };
            assert_eq!(values("webhook-id"), ["dlv_1"]);
            assert_eq!(values("webhook-timestamp"), ["7"]);
            assert_eq!(values("host"), [receiver.address.to_string()]);
            assert_eq!(values("x-hub-signature-256").len(), 1);
            let with_own_headers = n % 2 == 0;
            for (name, value) in [
                ("x-acme-team", "billing, and more"),
                ("x-acme-zone", "eu"),
                ("webhook-attempt", "3"),
                ("webhook-event-id", "evt%201"),
                ("webhook-event-source", "/shop"),
                ("webhook-event-type", "order.created"),
            ] {
                let expected: &[&str] = if with_own_headers { &[value] } else { &[] };
                assert_eq!(values(name), expected, "{name}: {}", request.head);
            }
            let agent = values("user-agent");
            assert_eq!(agent.len(), 1, "{}", request.head);
            let ours = agent[0].starts_with("hooklane/");
            assert!(ours != with_own_headers, "{}", request.head);
            assert!(ours || agent[0] == "acme-hooks/1", "{}", request.head);
        }
    });
}
