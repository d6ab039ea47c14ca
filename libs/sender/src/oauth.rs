//! Access tokens by OAuth 2.0 client credentials (RFC 6749, 4.4).
//!
//! [`Tokens`] belongs to one endpoint under one spec, like its connections,
//! and is never shared: an endpoint lives in one lane, a lane in one worker,
//! so that what is one flight here is one for the endpoint. A token request is
//! made like any other, under the same egress policy, resolver, proxy, limits
//! and deadlines, and no redirect is followed.
//!
//! It is driven by those who wait for it. Whoever of them is dropped or runs
//! out of time leaves it to the others, and when none is left it ends. Here no
//! receiver is called and no limit is asked: what bounds token requests is
//! that there is one at a time, that a token serves until it expires, that a
//! failure is everybody's answer for a while, and that receivers can have
//! tokens thrown away only so often.

mod answer;
mod failure;
mod request;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared, WeakShared};
use hooklane_model::resource::OAuth2;
use hooklane_model::secret::Secret;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};

use self::answer::{BODY_MAX, Granted, granted};
use crate::destination::Destination;
use crate::recipient::RecipientError;
use crate::sender::{AttemptRequest, Sender};

pub use self::failure::{TokenFailure, TokenReason};

/// A token request has this long, or three quarters of the endpoint's timeout
/// if that is less: a token that comes later leaves no time to use it.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A token is not used for the last part of its life: it has to be valid when
/// the receiver looks at it, by the receiver's clock.
const SKEW_MAX: Duration = Duration::from_secs(30);

/// Whatever is said of its life, one token a second is enough.
const USED_MIN: Duration = Duration::from_secs(1);

/// How long a failure is the answer: doubled with each that follows, so that a
/// token server that is down is asked now and then, and not by every delivery.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest that a token server can have itself left alone (Retry-After).
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How often receivers can have a token thrown away: one that answers 401 to
/// every other delivery, whatever the token, costs no more requests than that.
const REPLACE_EVERY: Duration = Duration::from_secs(10);

/// What happened to the tokens of an endpoint.
#[derive(Debug)]
pub enum TokenEvent<'a> {
    /// A token request ended.
    Asked {
        /// How long it took.
        took: Duration,
        /// Why there is no token, if there is none.
        failure: Option<&'a TokenFailure>,
    },
    /// A token was thrown away because the receiver refused it.
    Replaced,
}

impl TokenEvent<'_> {
    /// Every result of a token request, for metrics.
    #[must_use]
    pub fn results() -> Vec<&'static str> {
        let failures = TokenReason::all().into_iter().map(TokenReason::as_str);
        [OK].into_iter().chain(failures).collect()
    }
}

/// The result of a request that brought a token.
pub const OK: &str = "ok";

type Observer = Box<dyn Fn(&TokenEvent<'_>)>;
type Flight = Shared<LocalBoxFuture<'static, Result<Token, TokenFailure>>>;
type WeakFlight = WeakShared<LocalBoxFuture<'static, Result<Token, TokenFailure>>>;

/// The tokens of one endpoint.
pub struct Tokens {
    destination: Rc<Destination>,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    state: RefCell<State>,
    observer: OnceCell<Observer>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The request that is under way, while somebody waits for it.
    flight: Option<WeakFlight>,
    /// What is answered until then instead of asking.
    failed: Option<(TokenFailure, Instant)>,
    failures_in_a_row: u32,
    /// When a receiver last had one thrown away.
    replaced_at: Option<Instant>,
}

/// An access token. Clones are the same token.
#[derive(Clone)]
pub struct Token(Rc<Inner>);

struct Inner {
    header: HeaderValue,
    given_at: Instant,
    use_until: Instant,
    accepted: Cell<bool>,
}

impl Token {
    /// The value of `authorization`; sensitive, so that Debug does not show it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.header.clone()
    }

    /// The receiver let a request with it in.
    pub fn accepted(&self) {
        self.0.accepted.set(true);
    }

    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Tokens {
    pub(crate) fn try_new(
        sender: &Sender,
        oauth2: &OAuth2,
        secret: &Secret,
        timeout: Duration,
    ) -> Result<Self, RecipientError> {
        let destination = sender.destination(&oauth2.token_url);
        let destination = destination.map_err(RecipientError::TokenUrl)?;
        let (headers, body) = request::prepare(oauth2, secret, destination.headers())?;
        Ok(Self {
            destination,
            headers,
            body,
            timeout: (timeout * 3 / 4).min(TIMEOUT_MAX),
            state: RefCell::default(),
            observer: OnceCell::new(),
        })
    }

    /// Sets who is told of token requests; the first one stays.
    pub fn observe(&self, observer: impl Fn(&TokenEvent<'_>) + 'static) {
        // Told of every event from the first on, or of none: see the caller.
        self.observer.set(Box::new(observer)).ok();
    }

    fn tell(&self, event: &TokenEvent<'_>) {
        if let Some(observer) = self.observer.get() {
            observer(event);
        }
    }

    /// A token to be used now: the one that is there, or one that is asked
    /// for, with everybody else who needs it.
    ///
    /// Cancel safe: the request goes on for those who still wait.
    ///
    /// # Errors
    /// Why there is none, and will not be for a while.
    pub async fn current(
        self: &Rc<Self>,
        sender: &Rc<Sender>,
        deadline: Instant,
    ) -> Result<Token, TokenFailure> {
        let flight = match self.at_hand(Instant::now()) {
            Some(answer) => return answer,
            None => self.join(sender),
        };
        match timeout_at(deadline, flight).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(TokenFailure::late()),
        }
    }

    /// What is known without asking.
    fn at_hand(&self, now: Instant) -> Option<Result<Token, TokenFailure>> {
        let state = self.state.borrow();
        if let Some(token) = &state.token
            && now < token.0.use_until
        {
            return Some(Ok(token.clone()));
        }
        let (failure, until) = state.failed.as_ref()?;
        (now < *until).then(|| Err(failure.clone()))
    }

    /// The request that is under way, or a new one.
    fn join(self: &Rc<Self>, sender: &Rc<Sender>) -> Flight {
        let mut state = self.state.borrow_mut();
        let running = state.flight.as_ref().and_then(WeakShared::upgrade);
        running.unwrap_or_else(|| {
            let asked = Rc::clone(self).ask(Rc::clone(sender));
            let flight = asked.boxed_local().shared();
            state.flight = flight.downgrade();
            flight
        })
    }

    async fn ask(self: Rc<Self>, sender: Rc<Sender>) -> Result<Token, TokenFailure> {
        let begun = Instant::now();
        let request = AttemptRequest {
            headers: self.headers.clone(),
            body: self.body.clone(),
            query: None,
            timeout: self.timeout,
        };
        // One byte more than is read tells a long answer from a cut one.
        let report = sender.exchange(&self.destination, request, BODY_MAX + 1, || true);
        let answer = granted(report.await.result);
        let result = {
            let mut state = self.state.borrow_mut();
            state.flight = None;
            match answer {
                Ok(granted) => Ok(state.take(granted, begun, sender.share())),
                Err(failure) => Err(state.fail(failure)),
            }
        };
        self.tell(&TokenEvent::Asked {
            took: begun.elapsed(),
            failure: result.as_ref().err(),
        });
        result
    }

    /// The receiver answered 401 to a request with `token`. Returns whether
    /// another one is to be tried. The one that is there is thrown away for
    /// it, if it is the same and may be the reason: it was accepted before, or
    /// is not new any more. A 401 to a token that has just been given out is
    /// the receiver's word like any other.
    pub fn rejected(&self, token: &Token) -> bool {
        let now = Instant::now();
        let lately = |at: Instant| now < at + REPLACE_EVERY;
        {
            let mut state = self.state.borrow_mut();
            // Otherwise another 401 was faster, or it is over.
            let same = |current: &Token| current.is(token);
            if !state.token.as_ref().is_some_and(same) {
                return true;
            }
            let new = !token.0.accepted.get() && lately(token.0.given_at);
            if new || state.replaced_at.is_some_and(lately) {
                return false;
            }
            state.token = None;
            state.replaced_at = Some(now);
        }
        self.tell(&TokenEvent::Replaced);
        true
    }
}

impl State {
    /// Keeps a token. `share` spreads the ends of tokens that were given out
    /// together.
    fn take(&mut self, granted: Granted, begun: Instant, share: f64) -> Token {
        let life = granted.lifetime;
        let used = (life - (life / 4).min(SKEW_MAX)).mul_f64(1.0 - 0.1 * share);
        let used = used.max(USED_MIN);
        let token = Token(Rc::new(Inner {
            header: granted.header,
            // From before it was asked for: it cannot be older than that.
            use_until: begun + used,
            given_at: Instant::now(),
            accepted: Cell::new(false),
        }));
        self.failed = None;
        self.failures_in_a_row = 0;
        self.token = Some(token.clone());
        token
    }

    fn fail(&mut self, failure: TokenFailure) -> TokenFailure {
        let doubled = PAUSE_MIN * 2_u32.saturating_pow(self.failures_in_a_row.min(8));
        let asked = failure.retry_after().min(ASKED_PAUSE_MAX);
        let pause = doubled.min(PAUSE_MAX).max(asked);
        self.failures_in_a_row += 1;
        self.failed = Some((failure.clone(), Instant::now() + pause));
        failure
    }
}
