//! What an activation wrote, read again: the answer to a write is no proof of a state (`spec/import.md`, "Activation").

use lifeboat_catalog::Kind;
use serde_json::Value;

use super::change::changes;
use super::run::Work;
use super::{Move, SwitchOptions, Transition, Turn, kinds};
use crate::compare::AGAIN;
use crate::error::Error;
use crate::events::Event;
use crate::report::Verdict;
use crate::target::read_now;

const READING_BACK: &str = "reading back";

impl Work<'_> {
    /// Reads what was changed and says of each whether it has the wanted state. What differs is read again twice, because
    /// reads may be stale.
    pub async fn read_back(
        &self,
        moves: &mut [Move],
        options: &SwitchOptions,
    ) -> Result<(), Error> {
        let changed = |at: &usize| moves[*at].turn == Turn::Change;
        let mut doubtful: Vec<usize> = (0..moves.len()).filter(changed).collect();
        let all = doubtful.len();
        if all == 0 {
            return Ok(());
        }
        self.observer.event(Event::Phase {
            name: READING_BACK,
            total: Some(all as u64),
        });
        for pause in std::iter::once(None).chain(AGAIN.map(Some)) {
            if let Some(pause) = pause {
                tokio::time::sleep(options.second.mul_f64(pause)).await;
            }
            for kind in kinds() {
                self.look(kind, moves, &doubtful, options.concurrency)
                    .await?;
            }
            doubtful.retain(|at| moves[*at].read_back != Some(Verdict::Equal));
            self.observer.event(Event::Progress {
                phase: READING_BACK,
                done: (all - doubtful.len()) as u64,
            });
            if doubtful.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn look(
        &self,
        kind: &'static Kind,
        moves: &mut [Move],
        doubtful: &[usize],
        concurrency: usize,
    ) -> Result<(), Error> {
        let of_kind = |at: &&usize| moves[**at].kind == kind.name;
        let looked: Vec<usize> = doubtful.iter().filter(of_kind).copied().collect();
        let ids = looked.iter().filter_map(|at| moves[*at].target.clone());
        let read = read_now(self.client, kind, ids.collect(), concurrency).await?;
        for (at, read) in looked.into_iter().zip(read) {
            let one = &mut moves[at];
            (one.read_back, one.reason) = match read {
                Ok(body) => self.judge(kind, &one.id, body.as_ref()),
                Err(why) => {
                    let why = format!("it cannot be read back: {why}");
                    (Some(Verdict::Unknown), Some(why))
                }
            };
        }
        Ok(())
    }

    fn judge(
        &self,
        kind: &Kind,
        id: &str,
        body: Option<&Value>,
    ) -> (Option<Verdict>, Option<String>) {
        let Some(body) = body else {
            let why = "it was written, and is gone now".to_owned();
            return (Some(Verdict::Missing), Some(why));
        };
        let left = changes(kind, body, &self.wanted(kind, id, body));
        if left.is_empty() {
            return (Some(Verdict::Equal), None);
        }
        let places: Vec<String> = left.iter().map(|(_, change)| told(change)).collect();
        let why = format!("it was written, and reads {}", places.join(", "));
        (Some(Verdict::Different), Some(why))
    }
}

/// `schedule PAUSED instead of UNPAUSED`.
fn told(left: &Transition) -> String {
    format!("{} {} instead of {}", left.place, left.before, left.after)
}
