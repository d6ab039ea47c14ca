//! The tasks that make a worker's attempts, one after the other.
//!
//! A task is several KiB, the whole state of an attempt, and aligned beyond
//! what malloc does fast. One for each attempt was a tenth of what the worker
//! did itself; so a task that has made an attempt waits for the next one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hooklane_engine::{AttemptResult, Mono, SendOrder, VerifyEnd, VerifyId, VerifyOrder, WorkId};
use hooklane_sender::Recipient;
use tokio::sync::Notify;

use crate::attempt::Attempts;
use crate::secrets::FirstRead;

/// Tasks kept for later. As many as are at work now and then; what was needed
/// once, while many receivers hung, is not kept for ever.
const IDLE_MAX: usize = 256;

/// Attempts that have started or ended, until the worker's next turn. Bounded
/// by the core's slots.
#[derive(Default)]
pub(super) struct Finished {
    /// Only those whose start the core waits for.
    pub(super) started: RefCell<Vec<WorkId>>,
    pub(super) results: RefCell<Vec<(WorkId, AttemptResult)>>,
    /// Orders whose wait for their endpoint's secrets is over, and when they
    /// wait no longer.
    pub(super) waited: RefCell<Vec<(Mono, SendOrder)>>,
    /// Receivers that were asked for their consent. Bounded by the core.
    pub(super) verified: RefCell<Vec<(VerifyId, VerifyEnd)>>,
    pub(super) wake: Notify,
}

impl Finished {
    pub(super) fn push(&self, work: WorkId, result: AttemptResult) {
        self.results.borrow_mut().push((work, result));
        self.wake.notify_one();
    }

    pub(super) fn verified(&self, id: VerifyId, end: VerifyEnd) {
        self.verified.borrow_mut().push((id, end));
        self.wake.notify_one();
    }
}

/// The tasks of one worker.
pub(super) struct Runners(Rc<Shared>);

struct Shared {
    attempts: Rc<Attempts>,
    finished: Rc<Finished>,
    idle: RefCell<Vec<Rc<Desk>>>,
}

/// Where a waiting task is given its next attempt.
#[derive(Default)]
struct Desk(RefCell<Order>);

#[derive(Default)]
struct Order {
    next: Option<(Rc<Recipient>, SendOrder)>,
    waker: Option<Waker>,
}

impl Desk {
    fn put(&self, recipient: Rc<Recipient>, order: SendOrder) {
        let mut desk = self.0.borrow_mut();
        desk.next = Some((recipient, order));
        if let Some(waker) = &desk.waker {
            waker.wake_by_ref();
        }
    }

    fn take(&self, cx: &Context<'_>) -> Poll<(Rc<Recipient>, SendOrder)> {
        let mut desk = self.0.borrow_mut();
        if let Some(next) = desk.next.take() {
            return Poll::Ready(next);
        }
        // A task's waker stays the same for as long as it lives.
        desk.waker.get_or_insert_with(|| cx.waker().clone());
        Poll::Pending
    }
}

impl Runners {
    pub(super) fn new(attempts: Rc<Attempts>, finished: Rc<Finished>) -> Self {
        Self(Rc::new(Shared {
            attempts,
            finished,
            idle: RefCell::default(),
        }))
    }

    /// Makes an attempt, from the worker's next turn on. Within its `LocalSet`.
    pub(super) fn start(&self, recipient: Rc<Recipient>, order: SendOrder) {
        let idle = self.0.idle.borrow_mut().pop();
        if let Some(desk) = idle {
            return desk.put(recipient, order);
        }
        let desk = Rc::new(Desk::default());
        desk.put(recipient, order);
        tokio::task::spawn_local(work(self.0.clone(), desk));
    }

    /// Gives an order back when `read` is done, at the latest after `wait`.
    /// Within its `LocalSet`.
    pub(super) fn wait(&self, read: Arc<FirstRead>, wait: Duration, order: (Mono, SendOrder)) {
        let finished = self.0.finished.clone();
        tokio::task::spawn_local(async move {
            let _late = tokio::time::timeout(wait, read.done()).await;
            finished.waited.borrow_mut().push(order);
            finished.wake.notify_one();
        });
    }
}

impl Runners {
    /// Asks a receiver for its consent. Rare, and few at a time: a task each.
    pub(super) fn verify(&self, recipient: Rc<Recipient>, order: VerifyOrder) {
        let shared = self.0.clone();
        tokio::task::spawn_local(async move {
            let end = shared.attempts.verify(&recipient, &order).await;
            shared.finished.verified(order.id, end);
        });
    }
}

async fn work(shared: Rc<Shared>, desk: Rc<Desk>) {
    loop {
        let (recipient, order) = poll_fn(|cx| desk.take(cx)).await;
        let word = || {
            shared.finished.started.borrow_mut().push(order.work);
            shared.finished.wake.notify_one();
        };
        let result = shared.attempts.make(&recipient, &order, word).await;
        shared.finished.push(order.work, result);
        let mut idle = shared.idle.borrow_mut();
        if idle.len() >= IDLE_MAX {
            return;
        }
        idle.push(desk.clone());
    }
}
