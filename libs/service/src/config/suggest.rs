//! The nearest known name to one that nobody knows.

/// The candidate that differs least from `name`, if it is near enough to be
/// what was meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        // The section that a name stands in is not what was meant by it.
        .filter(|candidate| shared(name, candidate) < parts(candidate).count())
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit(name, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Most edits at which `candidate` may be what was meant by `name`: a third of
/// the letters in which they can differ. The sections they share say nothing:
/// nobody who writes `dispatcher.nope` means `dispatcher.slots`.
fn limit(name: &str, candidate: &str) -> usize {
    let shared = shared(name, candidate);
    let own: usize = parts(name)
        .skip(shared)
        .map(|part| part.chars().count())
        .sum();
    (own / 3).max(2)
}

/// How many parts two names begin with in common.
fn shared(a: &str, b: &str) -> usize {
    parts(a)
        .zip(parts(b))
        .take_while(|(a, b)| a.eq_ignore_ascii_case(b))
        .count()
}

/// The parts of a path (`a.b`) or of a variable (`A__B`).
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('.').flat_map(|part| part.split("__"))
}

/// Edits (insert, delete, replace) between two names, letter case ignored.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let replace = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("brokers", "borkers", 2),
            ("Queue", "queues", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_offered() {
        let known = ["kafka.brokers", "log.level"];
        assert_eq!(
            nearest("kafka.broker", known.into_iter()),
            Some("kafka.brokers")
        );
        assert_eq!(nearest("redis.url", known.into_iter()), None);
        let known = ["dispatcher.slots", "dispatcher", "retry_scheduler"];
        for far in ["dispatcher.nope", "retry_scheduler.foo"] {
            assert_eq!(nearest(far, known.into_iter()), None, "{far}");
        }
        assert_eq!(
            nearest("dispatcher.slot", known.into_iter()),
            Some("dispatcher.slots")
        );
        assert_eq!(
            nearest("dispacher.slots", known.into_iter()),
            Some("dispatcher.slots")
        );
    }
}
