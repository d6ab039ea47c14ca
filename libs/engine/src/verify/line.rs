//! Whose turn it is to be asked: tenant by tenant, in order of arrival.

use std::collections::BTreeMap;

use hooklane_model::id::EndpointUid;

/// Requests of a worker that may be open at a time, beside its slots: enough
/// for [`super::PACE`] with receivers that answer within a third of a second.
const OPEN_MAX: usize = 32;
/// Of them, those of one tenant.
const OPEN_OF_TENANT: u32 = 4;

/// A place in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    tenant: String,
    number: u64,
}

/// Endpoints that are due. Bounded by the endpoints there are: each has one
/// place at most.
#[derive(Debug, Default)]
pub(super) struct Line {
    tenants: BTreeMap<String, Tenant>,
    /// Tenants with somebody in the line, by their places; each stands here
    /// once. A lane that is let go takes as many out as it has endpoints, from
    /// anywhere, so none may cost a look at all others.
    ring: BTreeMap<u64, String>,
    next: u64,
    open: usize,
}

#[derive(Debug, Default)]
struct Tenant {
    due: BTreeMap<u64, EndpointUid>,
    /// Its place in the ring, while somebody is due.
    place: u64,
    open: u32,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Takes a place at the end.
    pub(super) fn join(&mut self, tenant: &str, uid: EndpointUid) -> Ticket {
        let number = self.next;
        self.next += 1;
        let of = self.tenants.entry(tenant.to_owned()).or_default();
        if of.due.is_empty() {
            of.place = number;
            self.ring.insert(number, tenant.to_owned());
        }
        of.due.insert(number, uid);
        Ticket {
            tenant: tenant.to_owned(),
            number,
        }
    }

    /// Gives a place up.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let Some(of) = self.tenants.get_mut(&ticket.tenant) else {
            return;
        };
        if of.due.remove(&ticket.number).is_some() && of.due.is_empty() {
            self.ring.remove(&of.place);
        }
        self.forget(&ticket.tenant);
    }

    /// Who is next, if another request may be open. A tenant that has all it
    /// may have is passed over: there are few of those at a time.
    pub(super) fn next(&mut self) -> Option<EndpointUid> {
        if self.open >= OPEN_MAX {
            return None;
        }
        let tenants = &self.tenants;
        let may = |tenant: &String| tenants[tenant].open < OPEN_OF_TENANT;
        let (place, _) = self.ring.iter().find(|(_, tenant)| may(tenant))?;
        let place = *place;
        let tenant = self.ring.remove(&place)?;
        let of = self.tenants.get_mut(&tenant)?;
        let (_, uid) = of.due.pop_first()?;
        if of.due.is_empty() {
            self.forget(&tenant);
        } else {
            // Behind all others: the numbers of those who join go on from it.
            of.place = self.next;
            self.ring.insert(self.next, tenant);
            self.next += 1;
        }
        Some(uid)
    }

    /// A request of a tenant is open.
    pub(super) fn began(&mut self, tenant: &str) {
        self.open += 1;
        self.tenants.entry(tenant.to_owned()).or_default().open += 1;
    }

    /// A request of a tenant has ended.
    pub(super) fn ended(&mut self, tenant: &str) {
        self.open -= 1;
        if let Some(of) = self.tenants.get_mut(tenant) {
            of.open -= 1;
        }
        self.forget(tenant);
    }

    fn forget(&mut self, tenant: &str) {
        let nothing = |of: &Tenant| of.due.is_empty() && of.open == 0;
        if self.tenants.get(tenant).is_some_and(nothing) {
            self.tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &mut Line, tenant_of: impl Fn(EndpointUid) -> &'static str) -> Vec<u128> {
        let mut asked = Vec::new();
        while let Some(uid) = line.next() {
            line.began(tenant_of(uid));
            asked.push(uid.0);
        }
        asked
    }

    fn tenant_of(uid: EndpointUid) -> &'static str {
        if uid.0 < 100 { "crowd" } else { "other" }
    }

    #[test]
    fn a_crowd_that_hangs_keeps_nobody_else_waiting() {
        let mut line = Line::default();
        for uid in (0..50).chain([100, 101]) {
            let uid = EndpointUid(uid);
            line.join(tenant_of(uid), uid);
        }
        assert_eq!(ask(&mut line, tenant_of), [0, 100, 1, 101, 2, 3]);
        line.ended("other");
        line.join("other", EndpointUid(102));
        assert_eq!(ask(&mut line, tenant_of), [102]);
        line.ended("crowd");
        assert_eq!(ask(&mut line, tenant_of), [4]);
    }

    #[test]
    fn who_leaves_is_not_asked_and_nothing_is_left_of_it() {
        let mut line = Line::default();
        let one = line.join("crowd", EndpointUid(1));
        let two = line.join("crowd", EndpointUid(2));
        line.leave(&one);
        line.leave(&one);
        assert_eq!(ask(&mut line, tenant_of), [2]);
        line.leave(&two);
        line.ended("crowd");
        assert!(line.is_empty() && line.tenants.is_empty());
    }

    #[test]
    fn a_tenant_that_comes_back_stands_once_and_at_the_end() {
        let mut line = Line::default();
        let first = line.join("other", EndpointUid(100));
        for uid in [0, 1, 2] {
            line.join("crowd", EndpointUid(uid));
        }
        line.leave(&first);
        for uid in [101, 102] {
            line.join("other", EndpointUid(uid));
        }
        assert_eq!(line.ring.len(), 2);
        assert_eq!(ask(&mut line, tenant_of), [0, 101, 1, 102, 2]);
        assert!(line.is_empty());
    }

    #[test]
    fn so_many_are_open_at_a_time() {
        let mut line = Line::default();
        const TENANTS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let of = |uid: EndpointUid| TENANTS[usize::try_from(uid.0 % 10).unwrap()];
        for uid in (0..100).map(EndpointUid) {
            line.join(of(uid), uid);
        }
        assert_eq!(ask(&mut line, of).len(), OPEN_MAX);
    }
}
