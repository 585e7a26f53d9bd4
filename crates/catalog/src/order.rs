//! Order of creation among objects of one kind: jobs that run jobs, groups inside groups.
//!
//! Owns a stable topological order; circles and what hangs on them are reported, never broken silently.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::kind::{Kind, Target};
use crate::kinds;

/// Objects in an order in which each comes after those it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Ids that can be created one after the other; otherwise in the order given.
    pub sorted: Vec<String>,
    /// Groups of ids that name each other in a circle (an object that names itself is one alone), sorted.
    pub circles: Vec<Vec<String>>,
    /// Ids that are in no circle but lead into one.
    pub behind: Vec<String>,
}

/// Order of jobs by `run_job_task` and job-completion triggers. `jobs` are (id, body); ids outside the list do not count.
pub fn jobs(jobs: &[(String, &Value)]) -> Order {
    by_references(&kinds::jobs::KIND, Target::Job, jobs)
}

/// Order of groups, inner groups first. `groups` are (id, body).
pub fn groups(groups: &[(String, &Value)]) -> Order {
    by_references(&kinds::groups::KIND, Target::Group, groups)
}

fn by_references(kind: &Kind, to: Target, objects: &[(String, &Value)]) -> Order {
    let edges: Vec<(String, Vec<String>)> = objects
        .iter()
        .map(|(id, body)| {
            let needs = kind
                .found_references(body)
                .into_iter()
                .filter(|found| found.to == to);
            (id.clone(), needs.map(|found| found.value).collect())
        })
        .collect();
    topological(&edges)
}

/// Order of nodes given as (id, ids that must come first). Ids that are no node do not count.
pub fn topological(nodes: &[(String, Vec<String>)]) -> Order {
    let position: BTreeMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, (id, _))| (id.as_str(), at))
        .collect();
    let needs: Vec<BTreeSet<usize>> = nodes
        .iter()
        .map(|(_, needs)| {
            needs
                .iter()
                .filter_map(|id| position.get(id.as_str()).copied())
                .collect()
        })
        .collect();
    let sorted = kahn(&needs);
    let done: BTreeSet<usize> = sorted.iter().copied().collect();
    let rest: Vec<usize> = (0..nodes.len()).filter(|at| !done.contains(at)).collect();
    let name = |at: &usize| nodes[*at].0.clone();
    let mut order = Order {
        sorted: sorted.iter().map(name).collect(),
        ..Order::default()
    };
    for circle in circles(&rest, &needs) {
        if circle.len() > 1 || needs[circle[0]].contains(&circle[0]) {
            let mut circle: Vec<String> = circle.iter().map(name).collect();
            circle.sort();
            order.circles.push(circle);
        } else {
            order.behind.extend(circle.iter().map(name));
        }
    }
    order.circles.sort();
    order.behind.sort();
    order
}

/// Nodes in order of their needs, the earliest given first; what hangs on a circle is missing.
fn kahn(needs: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    for (at, needs) in needs.iter().enumerate() {
        for need in needs {
            wanted_by[*need].push(at);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|at| open[*at] == 0).collect();
    let mut sorted = Vec::with_capacity(needs.len());
    while let Some(at) = ready.pop_first() {
        sorted.push(at);
        for later in &wanted_by[at] {
            open[*later] -= 1;
            if open[*later] == 0 {
                ready.insert(*later);
            }
        }
    }
    sorted
}

/// Strongly connected components among `rest` (Kosaraju's two passes, without recursion).
fn circles(rest: &[usize], needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let inside: BTreeSet<usize> = rest.iter().copied().collect();
    let mut back: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in rest {
        for need in needs[*at].intersection(&inside) {
            back.entry(*need).or_default().push(*at);
        }
    }
    let forward = |at: usize| needs[at].intersection(&inside).copied().collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    let finished: Vec<usize> = rest
        .iter()
        .flat_map(|at| finish(*at, &forward, &mut seen))
        .collect();
    let backward = |at: usize| back.get(&at).cloned().unwrap_or_default();
    let mut seen = BTreeSet::new();
    finished
        .iter()
        .rev()
        .map(|at| finish(*at, &backward, &mut seen))
        .filter(|component| !component.is_empty())
        .collect()
}

/// Nodes reachable from `start` that were not seen, each after those it leads to.
fn finish(
    start: usize,
    next: &dyn Fn(usize) -> Vec<usize>,
    seen: &mut BTreeSet<usize>,
) -> Vec<usize> {
    let mut finished = Vec::new();
    let mut stack = Vec::new();
    if seen.insert(start) {
        stack.push((start, next(start)));
    }
    while let Some((at, open)) = stack.last_mut() {
        match open.pop() {
            Some(inner) if seen.insert(inner) => stack.push((inner, next(inner))),
            Some(_) => {}
            None => {
                finished.push(*at);
                stack.pop();
            }
        }
    }
    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(nodes: &[(&str, &[&str])]) -> Order {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(id, needs)| {
                (
                    (*id).to_owned(),
                    needs.iter().map(|n| (*n).to_owned()).collect(),
                )
            })
            .collect();
        topological(&nodes)
    }

    #[test]
    fn needs_come_first_and_the_rest_keeps_its_order() {
        let order = order(&[
            ("a", &["c"]),
            ("b", &[]),
            ("c", &["d", "elsewhere"]),
            ("d", &[]),
        ]);
        assert_eq!(order.sorted, ["b", "d", "c", "a"]);
        assert!(order.circles.is_empty() && order.behind.is_empty());
    }

    #[test]
    fn circles_are_named_and_what_hangs_on_them_too() {
        let order = order(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["b"]),
            ("self", &["self"]),
            ("x", &[]),
            ("y", &["a", "x"]),
        ]);
        assert_eq!(order.sorted, ["x"]);
        assert_eq!(
            order.circles,
            [
                vec!["b".to_owned(), "c".to_owned()],
                vec!["self".to_owned()]
            ]
        );
        assert_eq!(order.behind, ["a", "y"]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let nodes: Vec<(String, Vec<String>)> = (0..50_000)
            .map(|n: u32| (n.to_string(), vec![((n + 1) % 50_000).to_string()]))
            .collect();
        assert_eq!(topological(&nodes).circles[0].len(), 50_000);
    }
}
