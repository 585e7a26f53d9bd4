//! Rules that make calls fail, and scripted changes of the workspace between calls.

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Instead of the effect.
    #[default]
    Before,
    /// The effect happened, only the reply is lost or replaced.
    After,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers `status` with `body`.
    #[default]
    Status,
    /// Resets the connection without an answer.
    Reset,
    /// The first read after a write shows the state before it.
    Stale,
    /// After the matched calls no connection is served any more.
    Kill,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// `GET`, ...; empty for any.
    pub method: String,
    /// Path with `*` for any run of characters; empty for any.
    pub path: String,
    /// Text that the decoded query (`key=value&...`) must hold.
    pub query: String,
    /// What happens.
    pub kind: FaultKind,
    /// Status to answer, for [`FaultKind::Status`].
    pub status: u16,
    /// Body to answer; none for the usual one of that status.
    pub body: Option<String>,
    /// Content type of the body; none for JSON.
    pub content_type: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// Before or after the effect.
    pub when: When,
    /// Matching calls that pass first.
    pub skip: u64,
    /// Calls that are struck; 0 for all.
    pub times: u64,
}
