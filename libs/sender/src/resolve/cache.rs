//! What is known of names and what is being asked, within bounds.
//!
//! Time is given, so that bounds can be shown without waiting for them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Answers, ResolveError};

/// Names kept. When full, expired ones go, then all that are not being asked
/// for: a rare, cheap reset. At most 4,096 x 64 addresses are 4.5 MB.
const NAMES_MAX: usize = 4_096;
/// Names being asked for at once, the waiting included; beyond it an attempt
/// fails as ours at once instead of waiting for a place it won't get in time.
pub(super) const ASKED_MAX: usize = 1_024;
/// An answer is used for at least that long, whatever its TTL: with a TTL of 0
/// each connect would be a lookup.
const TTL_MIN: Duration = Duration::from_secs(5);
/// And for at most that long, so that a change takes effect.
const TTL_MAX: Duration = Duration::from_secs(60);
/// How long "no such name" is believed.
const ABSENT_TTL: Duration = Duration::from_secs(15);
/// How long servers that gave no answer are not asked again for a name.
const FAILED_TTL: Duration = Duration::from_secs(5);

pub(super) type Outcome = Result<Answers, ResolveError>;
pub(super) type Asking = watch::Receiver<Option<Outcome>>;
pub(super) type Saying = watch::Sender<Option<Outcome>>;

/// What there is for somebody who wants a name's addresses.
pub(super) enum Begun {
    /// They are known, or it is known that there are none.
    Known(Outcome),
    /// Somebody asks already.
    Asked(Asking),
    /// Ask, and tell those who will have come.
    Ask(Saying, Asking),
}

/// The names of one resolver.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<Box<str>, (Instant, Outcome)>,
    asked: HashMap<Box<str>, Asking>,
}

impl Names {
    pub(super) fn begin(&mut self, name: &str, now: Instant) -> Begun {
        if let Some((until, outcome)) = self.known.get(name)
            && *until > now
        {
            return Begun::Known(outcome.clone());
        }
        if let Some(answer) = self.asked.get(name) {
            return Begun::Asked(answer.clone());
        }
        if self.asked.len() >= ASKED_MAX {
            return Begun::Known(Err(ResolveError::Busy));
        }
        let (say, answer) = watch::channel(None);
        self.asked.insert(name.into(), answer.clone());
        Begun::Ask(say, answer)
    }

    /// Keeps what a question came to; `ttl` is the zone's, for addresses.
    pub(super) fn keep(&mut self, name: Box<str>, outcome: Outcome, ttl: Duration, now: Instant) {
        self.asked.remove(&name);
        if self.known.len() >= NAMES_MAX {
            self.known.retain(|_, (until, _)| *until > now);
        }
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        let ttl = match &outcome {
            Ok(_) => ttl.clamp(TTL_MIN, TTL_MAX),
            Err(ResolveError::NoAddress | ResolveError::TooMany(_)) => ABSENT_TTL,
            Err(_) => FAILED_TTL,
        };
        self.known.insert(name, (now + ttl, outcome));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn found() -> Outcome {
        Ok([IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34))].into())
    }

    fn is_known(names: &mut Names, name: &str, now: Instant) -> bool {
        matches!(names.begin(name, now), Begun::Known(_))
    }

    /// How long an outcome is used, in seconds, whatever the zone says.
    #[test]
    fn times_have_a_floor_and_a_ceiling() {
        let cases: [(Outcome, u64, u32); 7] = [
            (found(), 0, 5),
            (found(), 30, 30),
            (found(), u64::from(u32::MAX), 60),
            (Err(ResolveError::NoAddress), 86_400, 15),
            (Err(ResolveError::TooMany(65)), 0, 15),
            (Err(ResolveError::Timeout(SECOND)), 86_400, 5),
            (Err(ResolveError::Gone), 0, 5),
        ];
        for (outcome, ttl, seconds) in cases {
            let shown = format!("{outcome:?} {ttl}");
            let (mut names, now) = (Names::default(), Instant::now());
            names.keep("a".into(), outcome, Duration::from_secs(ttl), now);
            let last = now + SECOND * (seconds - 1);
            assert!(is_known(&mut names, "a", last), "{shown}");
            let after = now + SECOND * seconds;
            assert!(!is_known(&mut names, "a", after), "{shown}");
        }
    }

    #[test]
    fn as_many_names_as_a_tenant_makes_up_are_not_kept() {
        let (mut names, now) = (Names::default(), Instant::now());
        for n in 0..3 * NAMES_MAX {
            names.keep(format!("{n}").into(), found(), SECOND, now);
            assert!(names.known.len() <= NAMES_MAX);
        }
    }

    #[test]
    fn expired_names_make_room_before_others_do() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.keep("lasting".into(), found(), SECOND * 60, now);
        for n in 1..NAMES_MAX {
            names.keep(format!("{n}").into(), found(), SECOND, now);
        }
        let later = now + SECOND * 10;
        names.keep("new".into(), found(), SECOND, later);
        assert!(is_known(&mut names, "lasting", later));
        assert!(is_known(&mut names, "new", later));
    }

    #[test]
    fn questions_under_way_have_a_bound_and_are_not_asked_twice() {
        let (mut names, now) = (Names::default(), Instant::now());
        let asking: Vec<_> = (0..ASKED_MAX)
            .map(|n| names.begin(&format!("{n}"), now))
            .collect();
        assert!(asking.iter().all(|it| matches!(it, Begun::Ask(..))));
        assert!(matches!(names.begin("7", now), Begun::Asked(_)));
        assert!(matches!(
            names.begin("one more", now),
            Begun::Known(Err(ResolveError::Busy))
        ));
        names.keep("7".into(), found(), SECOND, now);
        assert!(matches!(names.begin("one more", now), Begun::Ask(..)));
    }
}
