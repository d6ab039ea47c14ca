//! The consumer group: who owns which lane.
//!
//! Like Kafka's classic protocol with cooperative assignment, seen from far:
//! a lane is taken from a live member only when it lets go, and from a silent
//! one when its session is over. A commit is checked for membership only,
//! never for ownership.

use std::collections::BTreeMap;
use std::time::Duration;

use hooklane_engine::Mono;
use hooklane_model::lane::Lane;

/// How long a member may be silent.
pub(crate) const SESSION: Duration = Duration::from_secs(45);
/// What the lease ends before the session does, as in the dispatcher.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// A member: a process that comes back after its session is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member(pub(crate) u64);

#[derive(Clone, Copy, Debug, Default)]
struct Assignment {
    owner: Option<Member>,
    /// The owner is asked to let go.
    leaving: bool,
}

/// The coordinator.
#[derive(Debug)]
pub(crate) struct Group {
    members: BTreeMap<Member, Mono>,
    lanes: Vec<Assignment>,
    next_member: u64,
}

impl Group {
    pub(crate) fn new(lanes: u16) -> Self {
        Self {
            members: BTreeMap::new(),
            lanes: (0..lanes).map(|_| Assignment::default()).collect(),
            next_member: 0,
        }
    }

    pub(crate) fn join(&mut self, now: Mono) -> Member {
        self.next_member += 1;
        let member = Member(self.next_member);
        self.members.insert(member, now);
        self.balance();
        member
    }

    /// Renews a session. Returns whether the member is one.
    pub(crate) fn hear(&mut self, member: Member, now: Mono) -> bool {
        match self.members.get_mut(&member) {
            Some(heard) => {
                *heard = (*heard).max(now);
                true
            }
            None => false,
        }
    }

    pub(crate) fn leave(&mut self, member: Member) {
        if self.members.remove(&member).is_some() {
            self.take_lanes_of_strangers();
            self.balance();
        }
    }

    /// Expels members whose session is over.
    pub(crate) fn expire(&mut self, now: Mono) {
        let before = self.members.len();
        self.members.retain(|_, heard| now.since(*heard) < SESSION);
        if self.members.len() != before {
            self.take_lanes_of_strangers();
            self.balance();
        }
    }

    /// A member has let a lane go.
    pub(crate) fn free(&mut self, member: Member, lane: Lane) {
        let assignment = &mut self.lanes[usize::from(lane.0)];
        if assignment.owner == Some(member) {
            *assignment = Assignment::default();
            self.balance();
        }
    }

    /// Moves a lane although nothing asks for it: a rebalance.
    pub(crate) fn shake(&mut self, lane: Lane) {
        let assignment = &mut self.lanes[usize::from(lane.0)];
        assignment.leaving = assignment.owner.is_some();
    }

    /// What a member should own, and what it should let go.
    pub(crate) fn of(&self, member: Member) -> (Vec<Lane>, Vec<Lane>) {
        let (mut keep, mut leave) = (Vec::new(), Vec::new());
        for (index, assignment) in (0u16..).zip(&self.lanes) {
            if assignment.owner == Some(member) {
                let list = if assignment.leaving {
                    &mut leave
                } else {
                    &mut keep
                };
                list.push(Lane(index));
            }
        }
        (keep, leave)
    }

    fn take_lanes_of_strangers(&mut self) {
        for assignment in &mut self.lanes {
            if assignment
                .owner
                .is_some_and(|m| !self.members.contains_key(&m))
            {
                *assignment = Assignment::default();
            }
        }
    }

    fn balance(&mut self) {
        let mut counts: BTreeMap<Member, usize> =
            self.members.keys().map(|member| (*member, 0)).collect();
        for assignment in &self.lanes {
            if let Some(count) = assignment.owner.and_then(|m| counts.get_mut(&m)) {
                *count += 1;
            }
        }
        for assignment in self.lanes.iter_mut().filter(|a| a.owner.is_none()) {
            let fewest = counts.iter_mut().min_by_key(|(_, count)| **count);
            let Some((member, count)) = fewest else {
                return;
            };
            assignment.owner = Some(*member);
            *count += 1;
        }
        let fewest = counts.values().copied().min().unwrap_or(0);
        for assignment in &mut self.lanes {
            let owner = assignment.owner.and_then(|m| counts.get_mut(&m));
            if let Some(count) = owner.filter(|count| **count > fewest + 1) {
                assignment.leaving = true;
                *count -= 1;
            }
        }
    }
}
