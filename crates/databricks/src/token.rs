//! Tokens that end: who has one, when the next one is fetched, and who waits for it (spec/credentials.md, "Renewal").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::Secret;
use crate::error::Problem;
use crate::secret::Cleaner;

/// Azure Databricks refuses tokens with 30 s or less to live; this is in seconds and leaves room for the way.
const MARGIN: u32 = 40;
/// A token is replaced early when less of its life is left than this many seconds, or than half of it.
const EARLY: u32 = 20 * 60;
/// Seconds until an early replacement that failed is tried again.
const REST: u32 = 60;
/// Longest time for one token, all its requests and repetitions included.
const LONGEST: Duration = Duration::from_secs(100);

const MANAGEMENT_TOKEN: &str = "x-databricks-azure-sp-management-token";
const RESOURCE_ID: &str = "x-databricks-azure-workspace-resource-id";

/// Why there is no token. The text is clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoToken {
    /// The credentials do not give one; else whoever gives it was not reached and may be later.
    pub(crate) refused: bool,
    pub(crate) what: String,
}

impl NoToken {
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self {
            refused: true,
            what: what.into(),
        }
    }

    pub(crate) fn unreachable(what: impl Into<String>) -> Self {
        Self {
            refused: false,
            what: what.into(),
        }
    }
}

/// What a method gives: the values of headers, and how long they are good.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) bearer: Secret,
    /// The second token of a service principal of Entra ID.
    pub(crate) management: Option<Secret>,
    /// Azure's id of the workspace.
    pub(crate) resource_id: Option<String>,
    /// Time left to live; `None` when nobody says.
    pub(crate) life: Option<Duration>,
}

impl Token {
    pub(crate) fn bearer(bearer: Secret, life: Option<Duration>) -> Self {
        Self {
            bearer,
            management: None,
            resource_id: None,
            life,
        }
    }

    /// The one place where credentials become headers.
    fn headers(&self) -> Result<HeaderMap, NoToken> {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| {
                NoToken::refused("the token has characters that no header can have")
            })?;
            value.set_sensitive(true);
            Ok(value)
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            value(&format!("Bearer {}", self.bearer.expose()))?,
        );
        if let Some(token) = &self.management {
            headers.insert(MANAGEMENT_TOKEN, value(token.expose())?);
        }
        if let Some(id) = &self.resource_id {
            headers.insert(RESOURCE_ID, value(id)?);
        }
        Ok(headers)
    }
}

/// A method that gives tokens.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// A new token; nothing is kept from an earlier one.
    async fn fetch(&self) -> Result<Token, NoToken>;
}

/// A token in use.
pub(crate) struct Held {
    pub(crate) headers: HeaderMap,
    number: u64,
    life: Duration,
    ends: Option<Instant>,
}

/// The tokens of one client.
pub(crate) struct Tokens {
    method: &'static str,
    /// `None` for a token that cannot be renewed.
    source: Option<Box<dyn Fetch>>,
    cleaner: Cleaner,
    /// Length of a second: tests have shorter ones.
    second: Duration,
    state: Mutex<State>,
    /// Held by the one caller that fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Held>>,
    fetched: u64,
    failed: Option<(Instant, NoToken)>,
}

enum Standing {
    /// Nothing to do.
    Good(Arc<Held>),
    /// Good, but better replaced while there is time.
    Old(Arc<Held>),
    /// None, or one that the service would refuse.
    Gone,
}

impl Tokens {
    /// One token for ever.
    pub(crate) fn fixed(
        method: &'static str,
        token: &Secret,
        cleaner: Cleaner,
    ) -> Result<Self, NoToken> {
        let tokens = Self::new(method, None, cleaner, Duration::ZERO);
        tokens.keep(Token::bearer(token.clone(), None))?;
        Ok(tokens)
    }

    /// Tokens of a source; none is fetched yet.
    pub(crate) fn of(
        method: &'static str,
        source: Box<dyn Fetch>,
        cleaner: Cleaner,
        second: Duration,
    ) -> Self {
        Self::new(method, Some(source), cleaner, second)
    }

    fn new(
        method: &'static str,
        source: Option<Box<dyn Fetch>>,
        cleaner: Cleaner,
        second: Duration,
    ) -> Self {
        Self {
            method,
            source,
            cleaner,
            second,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn can_renew(&self) -> bool {
        self.source.is_some()
    }

    /// A token that the service takes. Callers that come while one is fetched wait for that one and share its failure;
    /// as long as the old one is good, one caller fetches and the others go on.
    pub(crate) async fn get(&self) -> Result<Arc<Held>, NoToken> {
        let asked = Instant::now();
        match self.standing() {
            Standing::Good(held) => Ok(held),
            Standing::Old(held) => {
                let Ok(_one) = self.fetching.try_lock() else {
                    return Ok(held);
                };
                match self.standing() {
                    Standing::Good(held) => Ok(held),
                    Standing::Old(held) => self.fetch().await.or(Ok(held)),
                    Standing::Gone => self.fetch().await,
                }
            }
            Standing::Gone => {
                let _one = self.fetching.lock().await;
                match self.standing() {
                    Standing::Good(held) | Standing::Old(held) => Ok(held),
                    Standing::Gone => self.fetch_unless_failed(asked).await,
                }
            }
        }
    }

    /// Another token than this one, which the service refused before its time.
    pub(crate) async fn renew(&self, refused: &Held) -> Result<Arc<Held>, NoToken> {
        let asked = Instant::now();
        let _one = self.fetching.lock().await;
        {
            let mut state = self.lock();
            if let Some(current) = state
                .current
                .take_if(|current| current.number != refused.number)
            {
                state.current = Some(Arc::clone(&current));
                return Ok(current);
            }
            // The others must not try it again meanwhile.
            state.current = None;
        }
        self.fetch_unless_failed(asked).await
    }

    fn standing(&self) -> Standing {
        let state = self.lock();
        let Some(held) = state.current.as_ref().map(Arc::clone) else {
            return Standing::Gone;
        };
        let Some(ends) = held.ends else {
            return Standing::Good(held);
        };
        let now = Instant::now();
        let left = ends.saturating_duration_since(now);
        let failed = state.failed.as_ref().map(|(at, _)| *at);
        let rests = failed.is_some_and(|at| now < at + self.second * REST);
        if left <= self.second * MARGIN {
            Standing::Gone
        } else if left < (held.life / 2).min(self.second * EARLY) && !rests {
            Standing::Old(held)
        } else {
            Standing::Good(held)
        }
    }

    /// The failure of another caller that began to wait before this one did is this one's failure, too.
    async fn fetch_unless_failed(&self, asked: Instant) -> Result<Arc<Held>, NoToken> {
        let failed = self.lock().failed.clone();
        match failed {
            Some((at, failure)) if at > asked => Err(failure),
            _ => self.fetch().await,
        }
    }

    async fn fetch(&self) -> Result<Arc<Held>, NoToken> {
        let Some(source) = &self.source else {
            return Err(NoToken::refused("it cannot be renewed"));
        };
        let fetched = match tokio::time::timeout(LONGEST, source.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(NoToken::unreachable(format!(
                "no answer in {} s",
                LONGEST.as_secs()
            ))),
        };
        let kept = fetched.and_then(|token| self.keep(token));
        if let Err(failure) = &kept {
            self.lock().failed = Some((Instant::now(), failure.clone()));
        }
        kept
    }

    fn keep(&self, token: Token) -> Result<Arc<Held>, NoToken> {
        self.cleaner.learn(&token.bearer);
        if let Some(management) = &token.management {
            self.cleaner.learn(management);
        }
        let headers = token.headers()?;
        let mut state = self.lock();
        state.fetched += 1;
        let held = Arc::new(Held {
            headers,
            number: state.fetched,
            life: token.life.unwrap_or_default(),
            // A life beyond what a clock holds is no end.
            ends: token.life.and_then(|life| Instant::now().checked_add(life)),
        });
        state.failed = None;
        state.current = Some(Arc::clone(&held));
        Ok(held)
    }

    /// The failure as callers of the client see it.
    pub(crate) fn problem(&self, failure: NoToken) -> Problem {
        Problem::Token {
            method: self.method,
            refused: failure.refused,
            what: failure.what,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives tokens `t1`, `t2`, ... that live so many seconds; fails while told so; takes five seconds for each.
    #[derive(Clone, Default)]
    struct Source {
        life: u64,
        fetches: Arc<AtomicU32>,
        broken: Arc<Mutex<Option<NoToken>>>,
    }

    #[async_trait]
    impl Fetch for Source {
        async fn fetch(&self) -> Result<Token, NoToken> {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
            match self.broken.lock().unwrap().clone() {
                Some(failure) => Err(failure),
                None => Ok(Token::bearer(
                    Secret::new(format!("t{number}")),
                    Some(Duration::from_secs(self.life)),
                )),
            }
        }
    }

    fn tokens(life: u64) -> (Arc<Tokens>, Source) {
        let source = Source {
            life,
            ..Source::default()
        };
        let cleaner = Cleaner::new(Vec::new());
        let tokens = Tokens::of(
            "test",
            Box::new(source.clone()),
            cleaner,
            Duration::from_secs(1),
        );
        (Arc::new(tokens), source)
    }

    fn name(held: &Held) -> String {
        held.headers[AUTHORIZATION]
            .to_str()
            .unwrap()
            .replace("Bearer ", "")
    }

    async fn got(tokens: &Tokens) -> String {
        name(&tokens.get().await.unwrap())
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_until_less_than_half_of_its_life_is_left() {
        let (tokens, _) = tokens(600);
        assert_eq!(got(&tokens).await, "t1");
        pass(299).await;
        assert_eq!(got(&tokens).await, "t1");
        pass(2).await;
        assert_eq!(got(&tokens).await, "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn long_lives_are_renewed_twenty_minutes_before_their_end() {
        let (tokens, _) = tokens(24 * 3600);
        assert_eq!(got(&tokens).await, "t1");
        pass(24 * 3600 - 20 * 60 - 1).await;
        assert_eq!(got(&tokens).await, "t1");
        pass(2).await;
        assert_eq!(got(&tokens).await, "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_wait_for_one_fetch() {
        let (tokens, source) = tokens(600);
        let calls = (0..20).map(|_| {
            let tokens = Arc::clone(&tokens);
            tokio::spawn(async move { got(&tokens).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), "t1");
        }
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_old_one_is_good_nobody_else_waits() {
        let (tokens, source) = tokens(600);
        got(&tokens).await;
        pass(400).await;
        let first = tokio::spawn({
            let tokens = Arc::clone(&tokens);
            async move { got(&tokens).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(got(&tokens).await, "t1");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
        assert_eq!(first.await.unwrap(), "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_is_no_failure_while_the_token_is_good() {
        let (tokens, source) = tokens(600);
        got(&tokens).await;
        *source.broken.lock().unwrap() = Some(NoToken::unreachable("down"));
        pass(400).await;
        assert_eq!(got(&tokens).await, "t1");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
        // It is not tried again for a minute.
        pass(30).await;
        assert_eq!(got(&tokens).await, "t1");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
        pass(60).await;
        assert_eq!(got(&tokens).await, "t1");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 3);
        // Forty seconds before its end it counts as ended.
        pass(60).await;
        assert_eq!(tokens.get().await.err(), Some(NoToken::unreachable("down")));
        *source.broken.lock().unwrap() = None;
        assert_eq!(got(&tokens).await, "t5");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_a_failure() {
        let (tokens, source) = tokens(600);
        *source.broken.lock().unwrap() = Some(NoToken::refused("no"));
        let calls = (0..20).map(|_| {
            let tokens = Arc::clone(&tokens);
            tokio::spawn(async move { tokens.get().await.err() })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), Some(NoToken::refused("no")));
        }
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
        assert!(tokens.get().await.is_err());
        assert_eq!(
            source.fetches.load(Ordering::SeqCst),
            2,
            "a later caller tries again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_once() {
        let (tokens, source) = tokens(600);
        let first = tokens.get().await.unwrap();
        let calls = (0..20).map(|_| {
            let (tokens, first) = (Arc::clone(&tokens), Arc::clone(&first));
            tokio::spawn(async move { name(&tokens.renew(&first).await.unwrap()) })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), "t2");
        }
        assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_is_given_up() {
        struct Silent;
        #[async_trait]
        impl Fetch for Silent {
            async fn fetch(&self) -> Result<Token, NoToken> {
                std::future::pending().await
            }
        }
        let tokens = Tokens::of(
            "test",
            Box::new(Silent),
            Cleaner::new(Vec::new()),
            Duration::from_secs(1),
        );
        let failure = tokens.get().await.err().unwrap();
        assert!(
            !failure.refused && failure.what.contains("100 s"),
            "{failure:?}"
        );
    }
}
