//! The events: made up, or the lines of a file. All of them go to Kafka as
//! CloudEvents in binary mode.

use std::path::Path;

use serde_json::{Value, json};

use super::endpoints::TENANTS;
use super::error::DemoError;

/// The largest event: 1 MiB is what the topics take by default, and headers
/// count.
const EVENT_BYTES_MAX: usize = 1_000_000;
/// A longer type is no type.
const TYPE_BYTES_MAX: usize = 200;
/// The type of an event that names none.
const TYPE_DEFAULT: &str = "event";
/// The CloudEvents source of all events.
pub(super) const EVENT_SOURCE: &str = "/demo";

/// An event to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) tenant: &'static str,
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) payload: Vec<u8>,
}

/// Where events come from.
#[derive(Debug)]
pub(super) enum Events {
    /// Made up, without an end.
    Sample(Box<fastrand::Rng>),
    /// These, once.
    Lines(Vec<Event>),
}

impl Events {
    /// Reads and checks the file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or a line is no event.
    pub(super) fn prepare(file: Option<&Path>) -> Result<Self, DemoError> {
        let Some(file) = file else {
            // A fixed seed: two runs show the same events.
            return Ok(Self::Sample(Box::new(fastrand::Rng::with_seed(7))));
        };
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| DemoError::Input(format!("{name} cannot be read: {error}")))?;
        let events =
            parse(&text).map_err(|problem| DemoError::Input(format!("{name} {problem}")))?;
        Ok(Self::Lines(events))
    }

    /// The `index`th event; `None` after the last.
    pub(super) fn get(&mut self, index: usize) -> Option<Event> {
        match self {
            Self::Sample(random) => Some(sample(index, random)),
            Self::Lines(events) => events.get(index).cloned(),
        }
    }
}

/// The events of a file's text.
fn parse(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line.len() > EVENT_BYTES_MAX {
            let size = line.len();
            return Err(format!(
                "line {number} has {size} bytes; at most {EVENT_BYTES_MAX} make an event"
            ));
        }
        let value: Value = serde_json::from_str(line)
            .map_err(|error| format!("line {number} is not a JSON document: {error}"))?;
        events.push(of_line(number, line, &value));
    }
    if events.is_empty() {
        return Err("holds no events: write one JSON document a line".to_owned());
    }
    Ok(events)
}

/// An event says itself what it is and whose; who doesn't is shared out.
fn of_line(number: usize, line: &str, value: &Value) -> Event {
    let named = value["tenant"].as_str();
    let tenant = TENANTS.into_iter().find(|tenant| named == Some(*tenant));
    let event_type = value["type"]
        .as_str()
        .filter(|text| !text.is_empty() && text.len() <= TYPE_BYTES_MAX);
    Event {
        tenant: tenant.unwrap_or(TENANTS[number % TENANTS.len()]),
        id: format!("line-{number}"),
        event_type: event_type.unwrap_or(TYPE_DEFAULT).to_owned(),
        payload: line.as_bytes().to_vec(),
    }
}

/// Orders, payments and users in turn, for one tenant and then the other.
fn sample(index: usize, random: &mut fastrand::Rng) -> Event {
    let tenant = TENANTS[index % TENANTS.len()];
    let customer = random.u32(1..500);
    let total = random.u32(10..500);
    let (event_type, data) = match (index / TENANTS.len()) % 3 {
        0 => (
            "order.created",
            json!({"order": index, "customer": customer, "total": total, "currency": "EUR",
                   "items": [{"sku": "A-1042", "count": random.u32(1..9)}]}),
        ),
        1 => (
            random
                .choice(["payment.settled", "payment.refused"])
                .unwrap_or("payment.settled"),
            json!({"payment": index, "customer": customer, "amount": total, "method": "card"}),
        ),
        _ => (
            random
                .choice(["user.signed_up", "user.updated"])
                .unwrap_or("user.updated"),
            json!({"user": customer, "email": format!("user{customer}@{tenant}.example")}),
        ),
    };
    Event {
        tenant,
        id: format!("event-{index}"),
        event_type: event_type.to_owned(),
        payload: data.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_are() {
        let text = "{\"type\":\"order.created\",\"tenant\":\"globex\"}\n\n  [1, 2]\n";
        let events = parse(text).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(
            (events[0].tenant, &*events[0].event_type),
            ("globex", "order.created")
        );
        assert_eq!(
            (&*events[1].event_type, &*events[1].id),
            ("event", "line-3")
        );
        assert_eq!(events[1].payload, b"[1, 2]");
    }

    #[test]
    fn what_is_no_event_is_named_by_its_line() {
        let problem = parse("{}\n{\"half\":\n").unwrap_err();
        assert!(
            problem.starts_with("line 2 is not a JSON document: "),
            "{problem}"
        );
        let large = format!("\"{}\"", "x".repeat(EVENT_BYTES_MAX));
        assert!(
            parse(&large)
                .unwrap_err()
                .starts_with("line 1 has 1000002 bytes")
        );
        assert!(parse("\n").unwrap_err().contains("holds no events"));
        let missing = Events::prepare(Some(Path::new("/no/such/file"))).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("/no/such/file cannot be read: ")
        );
    }

    #[test]
    fn samples_concern_both_tenants_and_all_types() {
        let mut events = Events::prepare(None).unwrap();
        let six: Vec<Event> = (0..6).filter_map(|i| events.get(i)).collect();
        for tenant in TENANTS {
            for kind in ["order.", "payment.", "user."] {
                let is = |e: &Event| e.tenant == tenant && e.event_type.starts_with(kind);
                assert_eq!(six.iter().filter(|e| is(e)).count(), 1, "{tenant} {kind}");
            }
        }
    }
}
