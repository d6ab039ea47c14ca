//! Which answer belongs to which commit, and when that was sent.
//!
//! The library answers with the offsets and nothing else. Commits with equal
//! offsets are answered oldest first here: a lease that is built on the send
//! time may then end too early, never too late.

use std::collections::VecDeque;
use std::time::Instant;

use crate::error::ClientError;
use crate::record::TopicPartition;

/// Names one asynchronous commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitToken(u64);

/// The answer to an asynchronous commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Which commit.
    pub token: CommitToken,
    /// A moment before the request left.
    pub sent: Instant,
    /// What was to be committed.
    pub offsets: Vec<(TopicPartition, i64)>,
    /// How it went; an error of one partition is an error of the whole.
    pub result: Result<(), ClientError>,
}

/// Commits without an answer that are remembered. A commit a second, each
/// answered within the session timeout, makes less than 50; when more are
/// open, the oldest is forgotten and its answer, if it comes, ignored.
const OPEN_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Commits {
    open: VecDeque<Open>,
    next: u64,
}

#[derive(Debug)]
struct Open {
    token: CommitToken,
    sent: Instant,
    /// Sorted, because the library orders them as it likes.
    offsets: Vec<(TopicPartition, i64)>,
}

impl Commits {
    pub(super) fn sent(&mut self, offsets: &[(TopicPartition, i64)], sent: Instant) -> CommitToken {
        let token = CommitToken(self.next);
        self.next += 1;
        if self.open.len() == OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back(Open {
            token,
            sent,
            offsets: sorted(offsets.to_vec()),
        });
        token
    }

    /// The commit that `offsets` answer; `None` for a synchronous one, whose
    /// caller has the answer already.
    pub(super) fn answered(
        &mut self,
        offsets: Vec<(TopicPartition, i64)>,
        result: Result<(), ClientError>,
    ) -> Option<Committed> {
        let offsets = sorted(offsets);
        let at = self.open.iter().position(|open| open.offsets == offsets)?;
        let open = self.open.remove(at)?;
        Some(Committed {
            token: open.token,
            sent: open.sent,
            offsets: open.offsets,
            result,
        })
    }
}

fn sorted(mut offsets: Vec<(TopicPartition, i64)>) -> Vec<(TopicPartition, i64)> {
    offsets.sort();
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn offsets(of: &[(i32, i64)]) -> Vec<(TopicPartition, i64)> {
        of.iter()
            .map(|(p, o)| (TopicPartition::new("t", *p), *o))
            .collect()
    }

    #[test]
    fn equal_commits_are_answered_oldest_first() {
        let mut commits = Commits::default();
        let early = Instant::now();
        let late = early + Duration::from_secs(1);
        let first = commits.sent(&offsets(&[(0, 5), (1, 7)]), early);
        let second = commits.sent(&offsets(&[(0, 5), (1, 7)]), late);
        let answer = commits
            .answered(offsets(&[(1, 7), (0, 5)]), Ok(()))
            .unwrap();
        assert_eq!((answer.token, answer.sent), (first, early));
        let answer = commits
            .answered(offsets(&[(0, 5), (1, 7)]), Ok(()))
            .unwrap();
        assert_eq!((answer.token, answer.sent), (second, late));
        assert!(
            commits
                .answered(offsets(&[(0, 5), (1, 7)]), Ok(()))
                .is_none()
        );
    }

    #[test]
    fn what_is_never_answered_is_forgotten_at_a_bound() {
        let mut commits = Commits::default();
        for offset in 0..1_000 {
            commits.sent(&offsets(&[(0, offset)]), Instant::now());
        }
        assert_eq!(commits.open.len(), OPEN_MAX);
        assert!(commits.answered(offsets(&[(0, 0)]), Ok(())).is_none());
        assert!(commits.answered(offsets(&[(0, 999)]), Ok(())).is_some());
    }
}
