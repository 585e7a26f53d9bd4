//! What is repeated after a failure, how often and after which pause (fact sheet, section 3.3).

use std::time::Duration;

use crate::Safety;
use crate::refusal::Refusal;

/// Repetitions of a call that fails inside the service: a fault of one object does not go away by waiting for minutes.
const FEW: u32 = 4;

/// Pause before a job is created again after "There were already N jobs created in past 3600 seconds".
const JOBS_CREATED_PAUSE: Duration = Duration::from_secs(60);

/// Fragments of messages that mean "try again" whatever the status (case sensitive).
const TRANSIENT: &[&str] = &[
    "com.databricks.backend.manager.util.UnknownWorkerEnvironmentException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "ClusterNotReadyException",
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "Timed out after ",
    "deadline exceeded",
];

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Report it.
    Final,
    /// Too many requests: nothing was done, wait and repeat, whatever the call.
    Throttled(Option<Duration>),
    /// Repeat, after the pause if one is given.
    Again(Option<Duration>),
}

/// Judges an error reply after `tries` attempts.
pub(crate) fn judge(refusal: &Refusal, safety: Safety, tries: u32) -> Verdict {
    if let Some(pause) = throttled(refusal) {
        return Verdict::Throttled(pause);
    }
    if safety == Safety::Create {
        return Verdict::Final;
    }
    let aborted = refusal.status == 409 && refusal.code.as_deref() == Some("ABORTED");
    let few = matches!(refusal.status, 408 | 500 | 502 | 504)
        || aborted
        || is_transient(&refusal.message);
    match refusal.status {
        503 => Verdict::Again(refusal.wait),
        _ if few && tries <= FEW => Verdict::Again(refusal.wait),
        _ => Verdict::Final,
    }
}

/// Judges a reply that did not arrive. `sent`: the request may have reached the service.
pub(crate) fn judge_network(sent: bool, safety: Safety) -> Verdict {
    if safety == Safety::Create && sent {
        Verdict::Final
    } else {
        Verdict::Again(None)
    }
}

/// `Some` for every form of "too many requests", with the pause if the reply names one.
pub(crate) fn throttled(refusal: &Refusal) -> Option<Option<Duration>> {
    let message = refusal.message.as_str();
    let limited = refusal.status == 429
        || refusal.code.as_deref() == Some("REQUEST_LIMIT_EXCEEDED")
        || (refusal.status >= 500 && message.contains("REQUEST_LIMIT_EXCEEDED"))
        || message.contains("RPC token bucket limit has been exceeded");
    if limited {
        return Some(refusal.wait);
    }
    // The number varies with the age of the workspace.
    let jobs =
        message.contains("There were already ") && message.contains(" jobs created in past ");
    (refusal.status == 400 && jobs).then(|| Some(refusal.wait.unwrap_or(JOBS_CREATED_PAUSE)))
}

/// A fault of the service by its message, whatever the status.
pub(crate) fn is_transient(message: &str) -> bool {
    let worker = message
        .find("worker env ")
        .is_some_and(|at| message[at..].contains(" not found"));
    worker || TRANSIENT.iter().any(|fragment| message.contains(fragment))
}

/// Pause after the given attempt (counted from 1) when the service names none: `min(10, attempt)` seconds and up to one
/// more, so that callers do not return in step. `second` is the length of a second.
pub(crate) fn backoff(attempt: u32, second: Duration) -> Duration {
    second * attempt.min(10) + second.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: Option<&str>, message: &str) -> Refusal {
        Refusal {
            status,
            code: code.map(str::to_owned),
            message: message.to_owned(),
            ..Refusal::default()
        }
    }

    fn judged(status: u16, code: Option<&str>, message: &str, safety: Safety) -> Verdict {
        judge(&refusal(status, code, message), safety, 1)
    }

    #[test]
    fn too_many_requests_is_repeated_for_every_call() {
        let jobs = "There were already 1000 jobs created in past 3600 seconds. Please try later";
        for safety in [Safety::Read, Safety::Idempotent, Safety::Create] {
            assert_eq!(judged(429, None, "slow", safety), Verdict::Throttled(None));
            assert_eq!(
                judged(500, Some("SCIM_500"), "REQUEST_LIMIT_EXCEEDED", safety),
                Verdict::Throttled(None)
            );
            assert_eq!(
                judged(400, Some("REQUEST_LIMIT_EXCEEDED"), "", safety),
                Verdict::Throttled(None)
            );
            assert_eq!(
                judged(400, Some("INVALID_STATE"), jobs, safety),
                Verdict::Throttled(Some(Duration::from_secs(60)))
            );
        }
        let asked = Refusal {
            wait: Some(Duration::from_secs(7)),
            ..refusal(429, None, "")
        };
        assert_eq!(
            judge(&asked, Safety::Create, 1),
            Verdict::Throttled(Some(Duration::from_secs(7)))
        );
    }

    #[test]
    fn a_create_is_repeated_for_nothing_else() {
        for status in [400, 408, 409, 500, 502, 503, 504] {
            assert_eq!(
                judged(status, Some("ABORTED"), "Unexpected error", Safety::Create),
                Verdict::Final,
                "{status}"
            );
        }
        assert_eq!(judge_network(true, Safety::Create), Verdict::Final);
        assert_eq!(judge_network(false, Safety::Create), Verdict::Again(None));
    }

    #[test]
    fn faults_of_the_service_are_repeated_a_few_times() {
        for safety in [Safety::Read, Safety::Idempotent] {
            for (status, code, message) in [
                (500, None, ""),
                (504, None, ""),
                (502, None, ""),
                (409, Some("ABORTED"), ""),
                (400, None, "Unknown worker environment WorkerEnvId(7)"),
                (404, None, "worker env 12 was not found"),
                (400, None, "Timed out after 5 s"),
            ] {
                let refusal = refusal(status, code, message);
                assert_eq!(
                    judge(&refusal, safety, 1),
                    Verdict::Again(None),
                    "{status} {message}"
                );
                assert_eq!(
                    judge(&refusal, safety, 5),
                    Verdict::Final,
                    "{status} {message}"
                );
            }
            assert_eq!(
                judge(&refusal(503, None, ""), safety, 50),
                Verdict::Again(None)
            );
            assert_eq!(judge_network(true, safety), Verdict::Again(None));
        }
    }

    #[test]
    fn refusals_are_final() {
        for (status, code) in [
            (400, "INVALID_PARAMETER_VALUE"),
            (400, "QUOTA_EXCEEDED"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "NOT_FOUND"),
            (409, "RESOURCE_CONFLICT"),
            (501, "NOT_IMPLEMENTED"),
        ] {
            assert_eq!(
                judged(status, Some(code), "no", Safety::Read),
                Verdict::Final,
                "{status} {code}"
            );
        }
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_one_of_jitter() {
        let second = Duration::from_secs(1);
        for (attempt, least) in [(1, 1), (2, 2), (10, 10), (99, 10)] {
            let pause = backoff(attempt, second);
            assert!(
                pause >= second * least && pause <= second * (least + 1),
                "{attempt}: {pause:?}"
            );
        }
    }
}
